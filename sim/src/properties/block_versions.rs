//! A name of bytes, file and version and block and its version, means the same bytes for ever:
//! whoever lists it says the same length and checksum.

use super::{Judged, Violation};

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let changed = judged.changed.iter();
    changed
        .map(|what| Violation::new("a name means one block", what.clone()))
        .collect()
}
