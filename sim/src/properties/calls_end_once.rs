//! Every operation ends, and by its deadline.

use super::{Judged, Violation};

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let late = judged.history.iter().filter(|operation| {
        let end = operation.end.as_ref().map(|(end, _)| *end);
        end.is_none_or(|end| end > operation.due)
    });
    late.map(|operation| {
        let what = format!("client {} {:?}", operation.client, operation.what);
        let (name, begin) = (&operation.name, operation.begin.as_millis());
        Violation::new(
            "every call ends",
            format!("{what} {name} begun at {begin} ms"),
        )
    })
    .collect()
}
