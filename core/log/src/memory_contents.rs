//! The bytes of a file on a disk in memory: what is written, what is durable, and what a crash
//! leaves of the difference.

use std::collections::BTreeSet;

/// Unit in which writes reach the medium: a crash keeps or loses whole sectors.
const SECTOR_BYTES: usize = 512;

/// What a crash loses of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashLoss {
    /// Nothing, as when only the process dies.
    Nothing,
    /// Everything.
    Everything,
    /// Any sector and any name, by the seed.
    Some(u64),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    pub(crate) current: Vec<u8>,
    pub(crate) durable: Vec<u8>,
    pub(crate) dirty: BTreeSet<usize>,
}

impl Contents {
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.current.len() < end {
            self.current.resize(end, 0);
        }
        self.current[offset..end].copy_from_slice(bytes);
        self.dirty
            .extend(offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
    }

    pub(crate) fn sync(&mut self) {
        self.durable.resize(self.current.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let range = sector_range(sector, self.current.len());
            self.durable[range.clone()].copy_from_slice(&self.current[range]);
        }
    }

    pub(crate) fn surviving(&self, choice: &mut Choice) -> Self {
        let mut durable = self.durable.clone();
        for sector in self.dirty.iter().filter(|_| choice.keeps()) {
            let range = sector_range(*sector, self.current.len());
            if durable.len() < range.end {
                durable.resize(range.end, 0);
            }
            durable[range.clone()].copy_from_slice(&self.current[range]);
        }
        Self {
            current: durable.clone(),
            durable,
            dirty: BTreeSet::new(),
        }
    }
}

fn sector_range(sector: usize, bytes: usize) -> std::ops::Range<usize> {
    (sector * SECTOR_BYTES).min(bytes)..((sector + 1) * SECTOR_BYTES).min(bytes)
}

/// Decides for each sector whether it survives.
pub(crate) struct Choice {
    loss: CrashLoss,
    state: u64,
}

impl Choice {
    pub(crate) fn new(loss: CrashLoss) -> Self {
        let seed = if let CrashLoss::Some(seed) = loss {
            seed
        } else {
            0
        };
        Self { loss, state: seed }
    }

    pub(crate) fn keeps(&mut self) -> bool {
        match self.loss {
            CrashLoss::Nothing => true,
            CrashLoss::Everything => false,
            CrashLoss::Some(_) => {
                // SplitMix64 (Steele, Lea, Flood 2014).
                self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = self.state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (z ^ (z >> 31)) & 1 == 1
            }
        }
    }
}
