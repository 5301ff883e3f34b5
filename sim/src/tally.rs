//! Which faults took effect: a link that is cut while nobody sends, or a write that is to fail and
//! never comes, has struck nobody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::faults::Kind;

/// Faults of a run that took effect, by kind. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Mutex<BTreeMap<Kind, u64>>>);

/// One fault, which tells when it takes effect. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Strike {
    kind: Kind,
    is_counted: Arc<AtomicBool>,
    tally: Tally,
}

impl Tally {
    /// A fault that is about to strike.
    #[must_use]
    pub(crate) fn strike(&self, kind: Kind) -> Strike {
        Strike {
            kind,
            is_counted: Arc::default(),
            tally: self.clone(),
        }
    }

    /// How many of a kind took effect.
    #[must_use]
    pub(crate) fn of(&self, kind: Kind) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&kind).copied().unwrap_or(0)
    }
}

impl Strike {
    /// Counts it, once.
    pub(crate) fn took_effect(&self) {
        if !self.is_counted.swap(true, Ordering::Relaxed) {
            let counts = self.tally.0.lock();
            *counts
                .unwrap_or_else(PoisonError::into_inner)
                .entry(self.kind)
                .or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strike_counts_once() {
        let tally = Tally::default();
        let (one, other) = (tally.strike(Kind::Killed), tally.strike(Kind::Killed));
        assert_eq!(tally.of(Kind::Killed), 0);
        one.took_effect();
        one.clone().took_effect();
        assert_eq!(tally.of(Kind::Killed), 1);
        other.took_effect();
        assert_eq!(tally.of(Kind::Killed), 2);
        assert_eq!(tally.of(Kind::Rot), 0);
    }
}
