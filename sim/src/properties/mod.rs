//! What must hold in every run, one property a file.

mod calls_end_once;
mod copies_agree;
mod descriptors;
mod mesh;
mod one_winner;
mod registers;
mod rot;

use std::fmt;

use crate::copies::Copies;
use crate::history::Operation;

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

/// What a run is judged by.
pub(crate) struct Judged<'a> {
    /// All operations.
    pub(crate) history: &'a [Operation],
    /// Those of them that read every name twice after everything else had ended.
    pub(crate) last_reads: &'a [Operation],
    /// The copies of what there is in the end; `None` when they could not be looked at in time.
    pub(crate) copies: Option<&'a [Copies]>,
}

/// Everything that should not have happened.
#[must_use]
pub(crate) fn judge(judged: &Judged<'_>) -> Vec<Violation> {
    let properties = [
        registers::check,
        calls_end_once::check,
        one_winner::check,
        descriptors::check,
        copies_agree::check,
    ];
    properties.iter().flat_map(|check| check(judged)).collect()
}
