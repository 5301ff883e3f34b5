//! Which version a rewritten block gets.

use sdfs_types::BlockVersion;

use crate::limits::VERSIONS_TRIED_MAX;

/// The version a writer proposes for a block, and the ones after it when that is taken by bytes
/// nobody committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VersionChoice {
    previous: BlockVersion,
    proposed: BlockVersion,
    tried: u32,
}

impl VersionChoice {
    /// For a writer that has seen `previous` committed.
    pub(crate) fn after(previous: BlockVersion) -> VersionChoice {
        VersionChoice {
            previous,
            proposed: previous.next(),
            tried: 1,
        }
    }

    /// What to write under.
    pub(crate) fn proposed(&self) -> BlockVersion {
        self.proposed
    }

    /// Goes on to the next version because other bytes have this one; never to the committed
    /// one, which readers still read. `false` when too many are taken.
    pub(crate) fn taken(&mut self) -> bool {
        self.tried += 1;
        self.proposed = self.proposed.next();
        if self.proposed == self.previous {
            self.proposed = self.proposed.next();
        }
        self.tried <= VERSIONS_TRIED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_follow_the_committed_one() {
        let table = [(0, 1, 2), (1, 2, 3), (65_534, 65_535, 1), (65_535, 1, 2)];
        for (previous, first, second) in table {
            let mut choice = VersionChoice::after(BlockVersion(previous));
            assert_eq!(choice.proposed(), BlockVersion(first), "after {previous}");
            assert!(choice.taken());
            assert_eq!(choice.proposed(), BlockVersion(second), "after {previous}");
        }
    }

    #[test]
    fn a_writer_gives_up_in_the_end() {
        let mut choice = VersionChoice::after(BlockVersion(7));
        let tries = (0..).take_while(|_| choice.taken()).count();
        assert_eq!(u32::try_from(tries), Ok(VERSIONS_TRIED_MAX - 1));
    }

    proptest! {
        #[test]
        fn committed_bytes_are_never_overwritten(previous: u16, taken in 0u32..256) {
            let mut choice = VersionChoice::after(BlockVersion(previous));
            for _ in 0..taken {
                choice.taken();
                prop_assert_ne!(choice.proposed(), BlockVersion(previous));
                prop_assert!(choice.proposed().is_written());
            }
        }
    }
}
