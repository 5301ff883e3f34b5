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

/// Which spaces keep a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeptIn {
    /// None, or the latest of them has failed.
    Nowhere,
    /// This one, alone or later than the others.
    Home(usize),
    /// This one, since an earlier epoch than the volume is in.
    Earlier(usize),
    /// This one and another, and nothing says which of them lacks something.
    Unclear(usize),
}

/// A space that works, as a home for volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) number: usize,
    pub(crate) free_bytes: u64,
    pub(crate) volumes: usize,
}

/// Decides for one volume. `is_trusted`: whether all that was acknowledged where it is kept is
/// known to be there.
pub(crate) fn adopt(
    state: Option<MemberState>,
    kept_in: KeptIn,
    is_trusted: bool,
    homes: &[Home],
) -> Adoption {
    let roomiest = || {
        let share = |home: &&Home| home.free_bytes / (home.volumes as u64 + 1);
        homes.iter().max_by_key(share).map(|home| home.number)
    };
    match (state, kept_in) {
        (Some(MemberState::InSync), KeptIn::Home(_) | KeptIn::Earlier(_)) if !is_trusted => {
            Adoption::Lost
        }
        (Some(MemberState::InSync), KeptIn::Nowhere | KeptIn::Unclear(_)) => Adoption::Lost,
        (Some(MemberState::Syncing), KeptIn::Nowhere) => match roomiest() {
            Some(number) => Adoption::New(number),
            None => Adoption::Lost,
        },
        // Another space that comes back later must not be taken for the later home.
        (Some(MemberState::Syncing), KeptIn::Earlier(number) | KeptIn::Unclear(number)) => {
            Adoption::New(number)
        }
        (_, KeptIn::Home(number) | KeptIn::Earlier(number) | KeptIn::Unclear(number)) => {
            Adoption::Kept(number)
        }
        (Some(MemberState::Out) | None, KeptIn::Nowhere) => Adoption::Not,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use KeptIn::{Earlier, Home as In, Nowhere, Unclear};
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
            (Some(InSync), In(0), true, &homes[..], Adoption::Kept(0)),
            (Some(InSync), In(0), false, &homes, Adoption::Lost),
            (Some(InSync), Nowhere, true, &homes, Adoption::Lost),
            (Some(InSync), Unclear(0), true, &homes, Adoption::Lost),
            (Some(Syncing), In(0), false, &homes, Adoption::Kept(0)),
            (Some(InSync), Earlier(0), true, &homes, Adoption::Kept(0)),
            (Some(InSync), Earlier(0), false, &homes, Adoption::Lost),
            (Some(Syncing), Earlier(0), true, &homes, Adoption::New(0)),
            (Some(Syncing), Nowhere, true, &homes, Adoption::New(1)),
            (Some(Syncing), Nowhere, true, &[], Adoption::Lost),
            (Some(Syncing), Unclear(0), true, &homes, Adoption::New(0)),
            (Some(Out), In(0), true, &homes, Adoption::Kept(0)),
            (Some(Out), Nowhere, true, &homes, Adoption::Not),
            (None, Nowhere, true, &homes, Adoption::Not),
        ];
        for (state, kept_in, is_trusted, homes, outcome) in table {
            let found = adopt(state, kept_in, is_trusted, homes);
            assert_eq!(found, outcome, "{state:?} {kept_in:?} {is_trusted}");
        }
    }
}
