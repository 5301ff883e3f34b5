//! No descriptor is issued twice.

use std::collections::BTreeMap;

use super::{Judged, Violation};
use crate::history::Outcome;

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let mut owners = BTreeMap::new();
    let mut violations = Vec::new();
    for operation in judged.history {
        let Some((_, Outcome::Done(Some(descriptor)))) = &operation.end else {
            continue;
        };
        let owner = (&operation.name, operation.what);
        if let Some(other) = owners.insert(*descriptor, owner) {
            let what = format!("{descriptor} is {owner:?} and {other:?}");
            violations.push(Violation::new("no descriptor twice", what));
        }
    }
    violations
}
