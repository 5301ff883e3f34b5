//! Paths whose operations the logs tell of: turned on and off at every mserver, for each finds
//! them in the calls of its own clients.

use std::collections::BTreeMap;

use sdfs_types::calls::trace_paths::{TraceOrder, TracePaths, TracedNow, TracedPath};
use sdfs_types::limits::TRACED_MS;
use sdfs_types::{Refusal, Role, clock};
use serde_json::json;

use super::Console;
use super::reply::Reply;
use crate::ask::{AskFault, ask_each};

/// What the mservers made of an order.
#[derive(Default)]
struct Told {
    /// What each of those that did it tells of then.
    done: Vec<(String, Vec<TracedNow>)>,
    /// Who does not tell of the path.
    strangers: usize,
    /// Who did not do it, and why.
    missed: Vec<(String, AskFault)>,
}

async fn order(console: &Console, user: &str, order: TraceOrder) -> Told {
    let call = TracePaths {
        user: user.to_owned(),
        order,
    };
    let mut told = Told::default();
    let mesh = console.server.mesh();
    for (_, name, _, answer) in ask_each(mesh, &[Role::Mserver], &call).await {
        match answer {
            Ok(paths) => told.done.push((name.to_string(), paths)),
            Err(AskFault::Refused {
                refusal: Refusal::NotFound { .. },
                ..
            }) => told.strangers += 1,
            Err(fault) => told.missed.push((name.to_string(), fault)),
        }
    }
    told
}

impl Told {
    /// The refusal when nobody has done it.
    fn refusal(&self, what: &TracedPath) -> Option<Reply> {
        if !self.done.is_empty() {
            return None;
        }
        if self.strangers > 0 && self.missed.is_empty() {
            let why = format!("the logs do not tell of {what}");
            return Some(Reply::refused("not_found", why));
        }
        let fault = self.missed.first().map(|(_, fault)| fault);
        Some(Reply::unanswered(fault.unwrap_or(&AskFault::NoMserver)))
    }

    /// Who has not done it, as the end of a sentence.
    fn but(&self) -> String {
        let missed = self.missed.iter();
        let named = missed.map(|(name, fault)| format!("; not {name}: {fault}"));
        named.collect()
    }
}

/// Has the logs tell of a path for a while.
pub(super) async fn on(console: &Console, user: &str, what: &TracedPath) -> Reply {
    let told = order(console, user, TraceOrder::On(what.clone())).await;
    told.refusal(what).unwrap_or_else(|| {
        Reply::Said(format!(
            "each server logs what it does for {what}, with one id for each operation, until {}{}",
            time_of_day(clock::now_ms() + TRACED_MS),
            told.but()
        ))
    })
}

/// Has them tell of it no more.
pub(super) async fn off(console: &Console, user: &str, what: &TracedPath) -> Reply {
    let told = order(console, user, TraceOrder::Off(what.clone())).await;
    told.refusal(what).unwrap_or_else(|| {
        if told.missed.is_empty() {
            return Reply::Done;
        }
        Reply::Said(format!("the logs tell of {what} no more{}", told.but()))
    })
}

/// What they tell of, since when, and at which mservers.
pub(super) async fn show(console: &Console, user: &str) -> Reply {
    let told = order(console, user, TraceOrder::Show).await;
    if let (true, Some((_, fault))) = (told.done.is_empty(), told.missed.first()) {
        return Reply::unanswered(fault);
    }
    let mut paths: BTreeMap<String, (TracedNow, Vec<String>)> = BTreeMap::new();
    for (name, traced) in told.done {
        for now in traced {
            let (_, names) = paths
                .entry(now.what.to_string())
                .or_insert_with(|| (now, Vec::new()));
            names.push(name.clone());
        }
    }
    if paths.is_empty() {
        return Reply::Said("the logs tell of no path".to_owned());
    }
    let rows = paths.into_iter().map(|(path, (now, names))| {
        [
            json!(path),
            json!(now.by),
            json!(now.since_ms),
            json!(now.until_ms),
            json!(names),
        ]
    });
    Reply::rows(["path", "by", "since_ms", "until_ms", "mservers"], rows)
}

/// Hours and minutes, in the time zone that logs are in.
fn time_of_day(at_ms: u64) -> String {
    let minutes = at_ms / 60_000;
    format!("{:02}:{:02} UTC", minutes / 60 % 24, minutes % 60)
}

#[cfg(test)]
mod tests {
    use sdfs_server_group::CallError;

    use super::*;

    fn missed() -> Vec<(String, AskFault)> {
        vec![("m-3".to_owned(), CallError::NotConnected.into())]
    }

    #[test]
    fn who_was_missed_is_named() {
        let what = TracedPath::parse("/a").expect("a path");
        let told = |done: usize, strangers, missed| Told {
            done: vec![("m-1".to_owned(), Vec::new()); done],
            strangers,
            missed,
        };
        let outcome = |told: Told| told.refusal(&what).map(|reply| reply.outcome());
        assert_eq!(outcome(told(1, 0, missed())), None);
        assert_eq!(outcome(told(1, 1, vec![])), None);
        assert_eq!(outcome(told(0, 3, vec![])), Some("not_found"));
        // Who was missed may still tell of it.
        assert_eq!(outcome(told(0, 2, missed())), Some("not_reached"));
        assert_eq!(outcome(told(0, 0, missed())), Some("not_reached"));
        assert_eq!(outcome(told(0, 0, vec![])), Some("no_mserver"));
        assert!(told(1, 0, missed()).but().starts_with("; not m-3: "));
        assert_eq!(told(1, 0, vec![]).but(), "");
    }

    #[test]
    fn times_are_told_by_the_minute() {
        assert_eq!(time_of_day(0), "00:00 UTC");
        assert_eq!(time_of_day(86_399_999), "23:59 UTC");
        assert_eq!(time_of_day(86_400_000 + 3_660_000), "01:01 UTC");
    }
}
