//! Of those who want a name that must be free, one gets it, until it is removed.

use std::time::Duration;

use super::{Judged, Violation};
use crate::history::{Operation, What};

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let is_winner =
        |o: &&Operation| matches!(o.what, What::PutNew(_) | What::RenameTo(_)) && o.is_done();
    let winners: Vec<&Operation> = judged.history.iter().filter(is_winner).collect();
    let mut violations = Vec::new();
    for (place, one) in winners.iter().enumerate() {
        for other in winners[..place]
            .iter()
            .filter(|other| other.name == one.name)
        {
            if !judged.history.iter().any(|o| is_between(o, one, other)) {
                let what = format!("{}: {:?} and {:?}", one.name, one.what, other.what);
                violations.push(Violation::new("one winner a name", what));
            }
        }
    }
    violations
}

/// Whether an operation may have freed the name after one winner had it and before the other did.
fn is_between(freeing: &Operation, one: &Operation, other: &Operation) -> bool {
    let end = |o: &Operation| o.end.as_ref().map_or(Duration::MAX, |(end, _)| *end);
    let frees = matches!(freeing.what, What::Delete | What::RenameAway);
    let frees = frees && (freeing.is_done() || freeing.is_unknown());
    let until = if freeing.is_unknown() {
        Duration::MAX
    } else {
        end(freeing)
    };
    frees
        && freeing.name == one.name
        && freeing.begin < end(one).max(end(other))
        && until > one.begin.min(other.begin)
}
