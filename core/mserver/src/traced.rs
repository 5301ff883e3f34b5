//! The paths whose operations the logs tell of, as this mserver was told.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use sdfs_server_group::{Deadline, Trace, tell};
use sdfs_types::calls::Call;
use sdfs_types::calls::trace_paths::{TraceOrder, TracePaths, TracedNow, TracedPath};
use sdfs_types::limits::{TRACED_MS, TRACED_PATHS_MAX};
use sdfs_types::{Access, FilePath, Refusal, clock};

use crate::core::Core;

/// Paths that are told of. Calls of all tasks look here, which must cost nothing while there are
/// none.
#[derive(Default)]
pub(crate) struct TracedPaths {
    is_any: AtomicBool,
    paths: watch::Sender<Vec<TracedNow>>,
}

impl TracedPaths {
    /// What a call is asked for: told when it names a path that is told of.
    pub(crate) fn turned<C: Call>(&self, trace: Trace, call: &C) -> Trace {
        if !self.is_any.load(Ordering::Relaxed) {
            return trace;
        }
        let now_ms = clock::now_ms();
        let meant = {
            let traced = self.paths.borrow();
            let is_meant = |path: &&FilePath| {
                let mut traced = traced.iter().filter(|one| now_ms < one.until_ms);
                traced.any(|one| one.what.means(path))
            };
            call.paths().into_iter().find(is_meant)
        };
        let Some(path) = meant else {
            return trace;
        };
        let trace = trace.told();
        tell!(trace, call = ?C::KIND, %path, "asked for");
        trace
    }

    /// Carries out an order; what is told of then.
    fn order(&self, order: TraceOrder, by: &str, now_ms: u64) -> Result<Vec<TracedNow>, Refusal> {
        let mut done = Ok(());
        self.paths.send_modify(|paths| {
            paths.retain(|one| now_ms < one.until_ms);
            done = changed(paths, order, by, now_ms);
            self.is_any.store(!paths.is_empty(), Ordering::Relaxed);
        });
        done.map(|()| self.paths.borrow().clone())
    }
}

fn changed(
    paths: &mut Vec<TracedNow>,
    order: TraceOrder,
    by: &str,
    now_ms: u64,
) -> Result<(), Refusal> {
    let at =
        |paths: &[TracedNow], what: &TracedPath| paths.iter().position(|one| one.what == *what);
    match order {
        TraceOrder::Show => {}
        TraceOrder::Off(what) => match at(paths, &what) {
            Some(at) => drop(paths.remove(at)),
            None => return Err(Refusal::NotFound { path: what.path }),
        },
        TraceOrder::On(what) => {
            let former = at(paths, &what).map(|at| paths.remove(at));
            if paths.len() >= TRACED_PATHS_MAX {
                return Err(Refusal::OutOfRange {
                    what: "the number of paths the logs tell of".to_owned(),
                    value: (paths.len() + 1).to_string(),
                    allowed: format!("at most {TRACED_PATHS_MAX}"),
                });
            }
            paths.push(TracedNow {
                what,
                by: by.to_owned(),
                since_ms: former.map_or(now_ms, |former| former.since_ms),
                until_ms: now_ms + TRACED_MS,
            });
        }
    }
    Ok(())
}

/// Answers `TracePaths`.
pub(crate) async fn answer(
    core: &Core,
    call: TracePaths,
    deadline: Deadline,
) -> Result<Vec<TracedNow>, Refusal> {
    let TracePaths { user, order } = call;
    let is_admin = || {
        let users = core.root.users();
        users.check(&user, Access::Admin, &FilePath::root())
    };
    if is_admin().is_err() {
        // This mserver may be behind.
        core.root_barrier(deadline).await?;
        is_admin()?;
    }
    if order != TraceOrder::Show {
        tracing::info!(%user, ?order, "an order for the logs is given");
    }
    core.traced.order(order, &user, clock::now_ms())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_types::RequestId;
    use sdfs_types::calls::names::{Freshness, Rename, Stat};

    const TRACE: Trace = Trace::from_wire((7, 0));

    fn traced(text: &str) -> TracedPath {
        TracedPath::parse(text).unwrap()
    }

    fn stat(path: &str) -> Stat {
        Stat {
            path: FilePath::parse(path).unwrap(),
            freshness: Freshness::default(),
        }
    }

    #[test]
    fn calls_about_traced_paths_are_told() {
        let paths = TracedPaths::default();
        let now_ms = clock::now_ms();
        assert_eq!(paths.turned(TRACE, &stat("/a")), TRACE);
        let on = TraceOrder::On(traced("/a"));
        let stand = paths.order(on.clone(), "ann", now_ms).unwrap();
        assert_eq!((stand.len(), stand[0].since_ms), (1, now_ms));
        assert_eq!(paths.turned(TRACE, &stat("/a")), TRACE.told());
        assert_eq!(paths.turned(TRACE, &stat("/ab")), TRACE);
        assert_eq!(paths.turned(Trace::NONE, &stat("/a")), Trace::NONE);
        let rename = Rename {
            request: RequestId {
                client: 1,
                sequence: 1,
            },
            from: FilePath::parse("/b").unwrap(),
            to: FilePath::parse("/a").unwrap(),
            replace: false,
        };
        assert_eq!(paths.turned(TRACE, &rename), TRACE.told());
        let again = paths.order(on, "bob", now_ms + 5).unwrap();
        assert_eq!(again[0].since_ms, now_ms);
        assert_eq!(again[0].until_ms, now_ms + 5 + TRACED_MS);
        let off = TraceOrder::Off(traced("/a"));
        assert_eq!(paths.order(off.clone(), "ann", now_ms), Ok(vec![]));
        assert_eq!(paths.turned(TRACE, &stat("/a")), TRACE);
        assert!(paths.order(off, "ann", now_ms).is_err());
    }

    #[test]
    fn forgotten_paths_end_by_themselves() {
        let paths = TracedPaths::default();
        let begun_ms = clock::now_ms() - TRACED_MS;
        paths
            .order(TraceOrder::On(traced("/a/")), "ann", begun_ms)
            .unwrap();
        assert_eq!(paths.turned(TRACE, &stat("/a/b")), TRACE);
        let stand = paths.order(TraceOrder::Show, "ann", begun_ms + TRACED_MS);
        assert_eq!(stand, Ok(vec![]));
    }

    #[test]
    fn so_many_paths_and_no_more() {
        let paths = TracedPaths::default();
        for number in 0..TRACED_PATHS_MAX {
            let on = TraceOrder::On(traced(&format!("/{number}")));
            paths.order(on, "ann", 1).unwrap();
        }
        let more = paths.order(TraceOrder::On(traced("/more")), "ann", 1);
        assert!(matches!(more, Err(Refusal::OutOfRange { .. })));
        let again = paths.order(TraceOrder::On(traced("/0")), "ann", 1).unwrap();
        assert_eq!(again.len(), TRACED_PATHS_MAX);
    }
}
