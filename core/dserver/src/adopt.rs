//! Decides where the blocks of a pushed volume are kept, and whether they are lost. Pure.

use sdfs_types::MemberState;

/// What becomes of a pushed volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adoption {
    /// Its blocks are in this space.
    Kept(usize),
    /// It is kept from now on in this space.
    New(usize),
    /// This server is said to have it in sync and does not.
    Lost,
    /// There is nothing to keep.
    Not,
}

/// A space that works, as a home for volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) number: usize,
    pub(crate) free_bytes: u64,
    pub(crate) volumes: usize,
}

/// Decides for one volume. `kept_in`: the working space that keeps it; `is_trusted`: whether all
/// that was acknowledged there is known to be there.
pub(crate) fn adopt(
    state: Option<MemberState>,
    kept_in: Option<usize>,
    is_trusted: bool,
    homes: &[Home],
) -> Adoption {
    let roomiest = || {
        let share = |home: &&Home| home.free_bytes / (home.volumes as u64 + 1);
        homes.iter().max_by_key(share).map(|home| home.number)
    };
    match (state, kept_in) {
        (Some(MemberState::InSync), Some(_)) if !is_trusted => Adoption::Lost,
        (Some(MemberState::InSync), None) => Adoption::Lost,
        (Some(MemberState::Syncing), None) => match roomiest() {
            Some(number) => Adoption::New(number),
            None => Adoption::Lost,
        },
        (_, Some(number)) => Adoption::Kept(number),
        (Some(MemberState::Out) | None, None) => Adoption::Not,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MemberState::{InSync, Out, Syncing};

    #[test]
    fn every_case_has_its_outcome() {
        let homes = [
            Home {
                number: 0,
                free_bytes: 100,
                volumes: 3,
            },
            Home {
                number: 1,
                free_bytes: 90,
                volumes: 1,
            },
        ];
        let table = [
            // state, kept in, trusted, homes, outcome
            (Some(InSync), Some(0), true, &homes[..], Adoption::Kept(0)),
            (Some(InSync), Some(0), false, &homes, Adoption::Lost),
            (Some(InSync), None, true, &homes, Adoption::Lost),
            (Some(Syncing), Some(0), false, &homes, Adoption::Kept(0)),
            (Some(Syncing), None, true, &homes, Adoption::New(1)),
            (Some(Syncing), None, true, &[], Adoption::Lost),
            (Some(Out), Some(0), true, &homes, Adoption::Kept(0)),
            (Some(Out), None, true, &homes, Adoption::Not),
            (None, None, true, &homes, Adoption::Not),
        ];
        for (state, kept_in, is_trusted, homes, outcome) in table {
            let found = adopt(state, kept_in, is_trusted, homes);
            assert_eq!(found, outcome, "{state:?} {kept_in:?} {is_trusted}");
        }
    }
}
