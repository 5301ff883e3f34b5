//! Every member in sync keeps every block of every file, with the bytes the meta-data names, and
//! says so when it is asked.

use super::{Judged, Violation};
use crate::copies::Kept;

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let Some(found) = judged.found else {
        return vec![Violation::new("copies agree", "nobody could look at them")];
    };
    let wrong = found.copies.iter().filter(|copies| {
        let mut members = copies.members.iter();
        let expected = Kept::Crc(copies.crc32c);
        copies.members.is_empty() || members.any(|(_, kept)| *kept != expected)
    });
    wrong
        .map(|copies| {
            let (name, block, members) = (&copies.name, copies.block, &copies.members);
            let what = format!("{name} {block}: {members:?}, not {}", copies.crc32c);
            Violation::new("copies agree", what)
        })
        .collect()
}
