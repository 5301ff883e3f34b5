//! Every member in sync keeps every block of every file, with the bytes the meta-data names, and
//! says so when it is asked: as soon as the cluster has healed, before anything is scrubbed, and
//! again after a scrub.

use super::{Judged, Violation};

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let Some(found) = judged.found else {
        return vec![Violation::new("copies agree", "nobody could look at them")];
    };
    let healed = found.at_heal.iter().map(|copies| ("healed", copies));
    let scrubbed = found.after_scrub.iter().map(|copies| ("scrubbed", copies));
    let wrong = healed.chain(scrubbed).filter(|(_, c)| !c.agree());
    wrong
        .map(|(when, copies)| {
            let (name, block, members) = (&copies.name, copies.block, &copies.members);
            let what = format!("{when} {name} {block}: {members:?}, not {}", copies.crc32c);
            Violation::new("copies agree", what)
        })
        .collect()
}
