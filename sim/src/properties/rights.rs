//! Nobody reads or writes a block without a right to it, or writes one for an epoch that is over.

use super::{Judged, Violation};

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let tried = judged.found.iter().flat_map(|found| &found.intrusions);
    tried
        .filter(|tried| !tried.was_refused)
        .map(|tried| Violation::new("grants and epochs are checked", tried.what.clone()))
        .collect()
}
