//! The faults of a run as a file: a seed, which draws the cluster and what its clients do, and
//! what was done to it.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::deeds::Done;

/// The faults of a run, in the order of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Script {
    /// The seed of everything else.
    pub seed: u64,
    deeds: VecDeque<Done>,
}

impl Script {
    pub(crate) fn new(seed: u64, deeds: Vec<Done>) -> Self {
        Self {
            seed,
            deeds: deeds.into(),
        }
    }

    /// Reads a script.
    ///
    /// # Errors
    /// When the file cannot be read, or is none.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        ron::from_str(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let pretty = ron::ser::PrettyConfig::new().depth_limit(2);
        let text = ron::ser::to_string_pretty(self, pretty).map_err(io::Error::other)?;
        fs::write(path, text + "\n")
    }

    /// The numbers of its faults.
    #[must_use]
    pub fn strikes(&self) -> BTreeSet<u32> {
        self.deeds.iter().map(|done| done.strike).collect()
    }

    /// Only some of its faults, each with what takes it away.
    #[must_use]
    pub fn with(&self, strikes: &BTreeSet<u32>) -> Self {
        let kept = self.deeds.iter();
        let kept = kept.filter(|done| strikes.contains(&done.strike));
        Self {
            seed: self.seed,
            deeds: kept.cloned().collect(),
        }
    }

    /// Each of its deeds as a line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let line = |done: &Done| {
            let (at_ms, strike, kind) = (done.at_ms, done.strike, done.kind);
            format!("{at_ms:>7} {strike:>3} {kind:?}: {:?}", done.deed)
        };
        self.deeds.iter().map(line).collect()
    }

    /// The next deed that is due.
    pub(crate) fn due(&mut self, now_ms: u64) -> Option<Done> {
        self.deeds.pop_front_if(|done| done.at_ms <= now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deeds::Deed;
    use crate::faults::Kind;
    use crate::random::Random;

    fn script() -> Script {
        let done = |at_ms, strike, kind, deed| Done {
            at_ms,
            strike,
            kind,
            deed,
        };
        let rot = Deed::Rot {
            server: 4,
            folder: "/space/log".into(),
            bits: 2,
            random: Random::of(7, "rot"),
        };
        let links = vec![("127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap())];
        let deeds = vec![
            done(5, 1, Kind::LinkCut, Deed::Cut(links.clone())),
            done(7, 2, Kind::Rot, rot),
            done(9, 1, Kind::LinkCut, Deed::Mend(links)),
        ];
        Script::new(7, deeds)
    }

    #[test]
    fn a_script_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ron");
        script().write(&path).unwrap();
        assert_eq!(Script::read(&path).unwrap(), script());
        fs::write(&path, "(seed: 1)").unwrap();
        let fault = Script::read(&path).unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_fault_goes_with_its_end() {
        let one = script().with(&BTreeSet::from([1]));
        assert_eq!(one.lines().len(), 2);
        assert_eq!(one.strikes(), BTreeSet::from([1]));
    }

    #[test]
    fn deeds_come_when_they_are_due() {
        let mut script = script();
        assert_eq!(script.due(4), None);
        assert_eq!(script.due(7).map(|done| done.strike), Some(1));
        assert_eq!(script.due(7).map(|done| done.strike), Some(2));
        assert_eq!(script.due(7), None);
    }
}
