//! What must hold in every run, one property a file.

mod calls_end_once;
mod copies_agree;
mod descriptors;
mod grants;
mod mesh;
mod one_winner;
mod registers;
mod rot;

use std::fmt;

use crate::copies::Copies;
use crate::history::Operation;
use crate::intruder::Intrusion;

pub(crate) use mesh::mesh_reforms;
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
    /// The copies of what there is.
    pub(crate) copies: Vec<Copies>,
    /// What was tried without a right to it.
    pub(crate) intrusions: Vec<Intrusion>,
}

/// What a run is judged by.
pub(crate) struct Judged<'a> {
    /// All operations.
    pub(crate) history: &'a [Operation],
    /// Those of them that read every name twice after everything else had ended.
    pub(crate) last_reads: &'a [Operation],
    /// What was found in the end; `None` when nobody could look in time.
    pub(crate) found: Option<&'a Found>,
}

/// Everything that should not have happened.
#[must_use]
pub(crate) fn judge(judged: &Judged<'_>) -> Vec<Violation> {
    let properties = [
        registers::check,
        calls_end_once::check,
        one_winner::check,
        descriptors::check,
        grants::check,
        copies_agree::check,
    ];
    properties.iter().flat_map(|check| check(judged)).collect()
}
