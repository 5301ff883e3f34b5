//! Nobody follows a leader again that it has left for a later one.
//!
//! openraft orders leaders by term and, within one, by number (`leader_id_adv`): a second one of a
//! term may follow the first, never the other way round.

use super::{Judged, Violation};

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let back = judged.leaders.back().iter();
    back.map(|what| Violation::new("leaders follow each other", what.clone()))
        .collect()
}
