//! What was deleted or replaced is given back: no dserver keeps blocks of a file that has no record
//! any more, no record stays without a name, and no volume stays where it has moved away from.
//!
//! Only files whose put was acknowledged at the first attempt of each of its calls and blocks. An
//! attempt that was given up may leave a block under a version the record never gets, and a put
//! that nobody acknowledged may leave its blocks: `sdfs verify --repair` is for these.

use super::{Judged, Violation};

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let leaks = judged.found.iter().flat_map(|found| &found.leaks);
    leaks
        .map(|what| Violation::new("nothing leaks", what.clone()))
        .collect()
}
