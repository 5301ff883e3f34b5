//! No program panics, whatever strikes it: that is a fault of its own.

use super::{Judged, Violation};

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let panics = judged.panics.iter();
    panics
        .map(|panic| Violation::new("nobody panics", format!("{} at {}", panic.host, panic.why)))
        .collect()
}
