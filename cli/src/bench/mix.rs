//! Which operation comes next in a mixed work.

use bytes::Bytes;

use super::args::Work;

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Create a file.
    Create,
    /// Store a file.
    Put,
    /// Read a file.
    Get,
    /// Look at a name.
    Stat,
    /// List a page.
    List,
    /// Delete a file that was stored before.
    Delete,
}

/// A mixed work in per cent.
const MIX: [(Operation, u64); 5] = [
    (Operation::Get, 60),
    (Operation::Put, 20),
    (Operation::Stat, 10),
    (Operation::List, 5),
    (Operation::Delete, 5),
];

/// The operation of `work` that `dice` chooses.
pub(crate) fn operation(work: Work, dice: u64) -> Operation {
    match work {
        Work::Create => Operation::Create,
        Work::Put => Operation::Put,
        Work::Get => Operation::Get,
        Work::Ls => Operation::List,
        Work::Mixed => {
            let mut left = dice % 100;
            for (operation, per_cent) in MIX {
                if left < per_cent {
                    return operation;
                }
                left -= per_cent;
            }
            Operation::Get
        }
    }
}

/// Random numbers for load, not for secrets: xorshift64* (Vigna, 2016).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// From any seed.
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }
}

/// Bytes that do not compress, always the same of one length.
pub(crate) fn random_bytes(length: u64) -> Bytes {
    let mut dice = Dice::new(length);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&dice.roll().to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mix_is_as_documented() {
        assert_eq!(MIX.iter().map(|(_, per_cent)| per_cent).sum::<u64>(), 100);
        let mut dice = Dice::new(7);
        let rolls = 100_000;
        let gets = (0..rolls)
            .filter(|_| operation(Work::Mixed, dice.roll()) == Operation::Get)
            .count();
        assert!((58_000..62_000).contains(&gets), "{gets}");
    }
}
