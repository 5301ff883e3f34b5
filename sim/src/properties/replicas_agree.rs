//! The members of a raft group that have come to the same entry of its log have the same state, and
//! all of them come there.

use super::Violation;
use crate::cluster::Cluster;
use crate::replicas::{Compared, compare};

/// What differs.
#[must_use]
pub(crate) fn replicas_agree(cluster: &Cluster) -> Vec<Violation> {
    let what = match compare(cluster) {
        Compared::Same => return Vec::new(),
        Compared::Apart(who) => vec![format!("{who} are not as far as each other")],
        Compared::Different(what) => what,
    };
    let what = what.into_iter();
    what.map(|what| Violation::new("replicas agree", what))
        .collect()
}
