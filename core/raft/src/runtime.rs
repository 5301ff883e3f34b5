//! The runtime openraft runs on: tokio's, with two changes to how it sleeps.
//!
//! - Each group has a tick of its own phase, and a process has several groups. Deadlines are put
//!   off to a grid all groups of the process share, so that one wakeup serves them all.
//!   openraft knows no value of a runtime, only its type, so the grid belongs to the process.
//! - openraft gathers what its log has finished for a microsecond. The shortest sleep of tokio is
//!   a millisecond, which each commit of a busy group would wait for; so short a sleep ends at
//!   once here, unless the clock stands still.

use futures::future::{Either, Ready, ready};
use openraft::{AsyncRuntime, Instant, OptionalSend};
use openraft_rt_tokio::{TokioInstant, TokioRuntime};
use std::cell::Cell;
use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::limits::{SLEEP_SHORTEST, SLEEPS_PER_HEARTBEAT};

/// Microseconds between two lines of the grid.
static GRID_US: AtomicU64 = AtomicU64::new(GRID_US_NONE);

/// As long as no group has started each microsecond is a line.
const GRID_US_NONE: u64 = 1;

/// Where the grid begins: at this process's first sleep, so that servers do not tick together.
static BEGIN: OnceLock<TokioInstant> = OnceLock::new();

thread_local! {
    /// When the last short sleep of this thread began, and until when it was to last. Whoever asks
    /// for the same once more looks at a clock that stands still, as a simulated one does, and
    /// would ask for ever.
    static SHORT: Cell<Option<(TokioInstant, TokioInstant)>> = const { Cell::new(None) };
}

/// Has the grid fit groups with this heartbeat. The shortest heartbeat of a process counts.
pub(crate) fn sleep_for(heartbeat: Duration) {
    let step = (heartbeat / SLEEPS_PER_HEARTBEAT).as_micros() as u64;
    let fit = |grid| (grid == GRID_US_NONE || step < grid).then_some(step.max(GRID_US_NONE));
    // A grid that fits already stays.
    let set = GRID_US.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fit);
    set.unwrap_or_else(|fitting| fitting);
}

/// Tokio's runtime but for [`AsyncRuntime::sleep_until`].
#[derive(Debug)]
pub(crate) struct Runtime(TokioRuntime);

type Of<T> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;

impl AsyncRuntime for Runtime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = Of<T>;
    type Sleep = Either<Ready<()>, <TokioRuntime as AsyncRuntime>::Sleep>;
    type Instant = TokioInstant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> =
        <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <TokioRuntime as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        TokioRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        Either::Right(TokioRuntime::sleep(duration))
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        let now = TokioInstant::now();
        if deadline <= now {
            return Either::Left(ready(()));
        }
        if deadline <= now + SLEEP_SHORTEST {
            let asked = Some((now, deadline));
            let is_asked_again = SHORT.replace(asked) == asked;
            return if is_asked_again {
                Either::Right(TokioRuntime::sleep_until(deadline))
            } else {
                Either::Left(ready(()))
            };
        }
        let begin = *BEGIN.get_or_init(|| now);
        let put_off = rest_of_step(deadline - begin, GRID_US.load(Ordering::Relaxed));
        Either::Right(TokioRuntime::sleep_until(deadline + put_off))
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        TokioRuntime::thread_rng()
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }

    fn block_on<F: Future<Output = T>, T>(&mut self, future: F) -> T {
        self.0.block_on(future)
    }
}

/// What `passed` lacks to a whole number of steps of so many microseconds.
fn rest_of_step(passed: Duration, step_us: u64) -> Duration {
    let over_us = passed.as_micros() as u64 % step_us;
    Duration::from_micros((step_us - over_us) % step_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each deadline is put off to the next line and never brought forward.
    #[test]
    fn deadlines_meet_on_the_grid() {
        for (passed, rest) in [(0, 0), (1, 39), (39, 1), (40, 0), (41, 39), (1_000, 0)] {
            let passed = Duration::from_millis(passed);
            let rest = Duration::from_millis(rest);
            assert_eq!(rest_of_step(passed, 40_000), rest, "{passed:?}");
        }
    }

    /// The grid is that of the shortest heartbeat, and a sleep of a microsecond ends at once.
    #[tokio::test]
    async fn the_grid_is_of_the_shortest_heartbeat() {
        for (heartbeat_ms, grid_us) in [(5_000, 1_000_000), (50, 10_000), (200, 10_000)] {
            sleep_for(Duration::from_millis(heartbeat_ms));
            assert!(GRID_US.load(Ordering::Relaxed) <= grid_us, "{heartbeat_ms}");
        }
        let soon = TokioInstant::now() + Duration::from_micros(1);
        assert!(matches!(Runtime::sleep_until(soon), Either::Left(_)));
        let later = TokioInstant::now() + Duration::from_secs(60);
        assert!(matches!(Runtime::sleep_until(later), Either::Right(_)));
    }

    /// Also where a short sleep takes no time on the clock, the moment comes.
    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_clock_that_stands_still() {
        let moment = TokioInstant::now() + SLEEP_SHORTEST;
        let mut sleeps = 0;
        while TokioInstant::now() < moment {
            Runtime::sleep_until(moment).await;
            sleeps += 1;
            assert!(sleeps < 10, "the clock stands still");
        }
    }
}
