//! Nobody reads or writes a block without a right to it.

use super::{Judged, Violation};

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let tried = judged.found.iter().flat_map(|found| &found.intrusions);
    tried
        .filter(|tried| !tried.was_refused)
        .map(|tried| Violation::new("grants are checked", tried.what.clone()))
        .collect()
}
