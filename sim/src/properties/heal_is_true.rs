//! Copies that are said to be in sync are: whenever the map says so of all copies of a volume, each
//! of them has the blocks of every file there is. Looked at while faults strike, and at the moment
//! when all is said to be healed.

use super::{Judged, Violation};

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let healed = judged.found.iter().flat_map(|found| &found.at_heal);
    let missed = healed.filter(|copies| copies.are_all_in_sync && copies.are_missed());
    judged
        .missed
        .iter()
        .chain(missed)
        .map(|copies| Violation::new("healing is true", format!("{copies:?}")))
        .collect()
}
