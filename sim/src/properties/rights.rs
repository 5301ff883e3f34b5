//! Nobody reads or writes a block without a right to it, or writes one for an epoch that is over.

use super::{Judged, Violation};
use crate::history::{Operation, Outcome};

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    const PROPERTY: &str = "grants and epochs are checked";
    let Some(found) = judged.found else {
        return Vec::new();
    };
    let is_read = |o: &Operation| matches!(o.end, Some((_, Outcome::Read(_))));
    if found.intrusions.is_empty() && judged.last_reads.iter().any(is_read) {
        return vec![Violation::new(PROPERTY, "nothing was tried")];
    }
    let tried = found.intrusions.iter();
    tried
        .filter(|tried| !tried.was_refused)
        .map(|tried| Violation::new(PROPERTY, tried.what.clone()))
        .collect()
}
