//! Every operation ends, by its deadline, and once.

use super::{Judged, Violation};
use crate::history::Operation;

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    judged.history.iter().filter_map(wrong).collect()
}

fn wrong(operation: &Operation) -> Option<Violation> {
    let how = match &operation.end {
        None => "has not ended".to_owned(),
        Some((end, _)) if *end > operation.due => format!("ended at {} ms", end.as_millis()),
        Some(_) if operation.ends != 1 => format!("ended {} times", operation.ends),
        Some(_) => return None,
    };
    let (client, what, name) = (operation.client, operation.what, &operation.name);
    let begin = operation.begin.as_millis();
    let what = format!("client {client} {what:?} {name} begun at {begin} ms {how}");
    Some(Violation::new("every call ends once", what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, Outcome, What};
    use std::time::Duration;

    fn wrong_after(ends: &[u64]) -> bool {
        let history = History::default();
        let number = history.begin(Operation {
            client: 0,
            what: What::Delete,
            name: "/a".to_owned(),
            begin: Duration::ZERO,
            end: None,
            ends: 0,
            retries: 0,
            due: Duration::from_millis(10),
        });
        for at_ms in ends {
            history.end(number, Duration::from_millis(*at_ms), Outcome::Absent);
        }
        history
            .all()
            .iter()
            .any(|operation| wrong(operation).is_some())
    }

    #[test]
    fn a_call_ends_once_and_in_time() {
        assert!(!wrong_after(&[10]));
        assert!(wrong_after(&[]));
        assert!(wrong_after(&[11]));
        assert!(wrong_after(&[5, 6]));
    }
}
