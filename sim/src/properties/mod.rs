//! What must hold in every run, one property a file.

mod block_versions;
mod calls_end_once;
mod copies_agree;
mod descriptors;
mod heal_is_true;
mod leaders;
mod listing;
mod mesh;
mod no_leaks;
mod nobody_panics;
mod one_winner;
mod registers;
mod replicas_agree;
mod requests_once;
mod rights;
mod rot;
mod writes_go_on;

use std::collections::BTreeSet;
use std::fmt;

use crate::copies::Copies;
use crate::history::Operation;
use crate::intruder::Intrusion;
use crate::leaders::Leaders;
use crate::panics::Panic;
use crate::repeater::Repeat;

pub(crate) use mesh::mesh_reforms;
pub(crate) use replicas_agree::replicas_agree;
pub(crate) use rot::rot_is_repaired;

/// A property that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub property: &'static str,
    /// How.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(property: &'static str, what: impl Into<String>) -> Self {
        Self {
            property,
            what: what.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.what)
    }
}

/// What was found after everything had ended.
pub(crate) struct Found {
    /// The copies of what there is, at the moment when the cluster said that it had healed.
    pub(crate) at_heal: Vec<Copies>,
    /// Those after a scrub.
    pub(crate) after_scrub: Vec<Copies>,
    /// The names of all files; or why they could not be listed.
    pub(crate) listed: Result<BTreeSet<String>, String>,
    /// What was tried without a right to it.
    pub(crate) intrusions: Vec<Intrusion>,
    /// What was kept that nobody needs.
    pub(crate) leaks: Vec<String>,
}

/// What a run is judged by.
pub(crate) struct Judged<'a> {
    /// How many clients worked.
    pub(crate) clients: usize,
    /// All operations.
    pub(crate) history: &'a [Operation],
    /// Those of them that read every name twice after everything else had ended.
    pub(crate) last_reads: &'a [Operation],
    /// What was found in the end; `None` when nobody could look in time.
    pub(crate) found: Option<&'a Found>,
    /// Changes asked for twice.
    pub(crate) repeats: &'a [Repeat],
    /// Copies missed while faults struck, at members in sync.
    pub(crate) missed: &'a [Copies],
    /// Names of bytes that meant others another time.
    pub(crate) changed: &'a [String],
    /// Who followed whom when.
    pub(crate) leaders: &'a Leaders,
    /// Panics of programs on any host.
    pub(crate) panics: &'a [Panic],
}

/// Everything that should not have happened.
#[must_use]
pub(crate) fn judge(judged: &Judged<'_>) -> Vec<Violation> {
    let properties = [
        nobody_panics::check,
        registers::check,
        calls_end_once::check,
        requests_once::check,
        writes_go_on::check,
        listing::check,
        one_winner::check,
        descriptors::check,
        rights::check,
        copies_agree::check,
        heal_is_true::check,
        block_versions::check,
        leaders::check,
        no_leaks::check,
    ];
    properties.iter().flat_map(|check| check(judged)).collect()
}
