//! Keeps one place in the program from filling the log: what is said too often is counted, and
//! the count is said.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sdfs_server_group::limits::TRACE_TARGET;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of one place in the program that are written in [`WINDOW`].
const LINES_MAX: u32 = 20;
/// See [`LINES_MAX`].
const WINDOW: Duration = Duration::from_secs(10);
/// Lines of a trace in [`WINDOW`]: whoever has them told wants all, but not a full disk.
const TRACE_LINES_MAX: u32 = 5_000;

/// Drops the lines of places that say too much. Levels below info are for who asked for them.
#[derive(Debug, Default)]
pub(crate) struct Repeats(Mutex<HashMap<Identifier, Said>>);

/// What one place said since `begun`.
#[derive(Debug, Clone, Copy)]
struct Said {
    begun: Instant,
    lines: u32,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Written,
    Dropped,
    /// Written, and so many before it were not.
    After(u32),
}

impl Said {
    fn line(&mut self, lines_max: u32, now: Instant) -> Verdict {
        if now.saturating_duration_since(self.begun) >= WINDOW {
            let dropped = self.lines.saturating_sub(lines_max);
            *self = Said {
                begun: now,
                lines: 1,
            };
            return match dropped {
                0 => Verdict::Written,
                dropped => Verdict::After(dropped),
            };
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines > lines_max {
            Verdict::Dropped
        } else {
            Verdict::Written
        }
    }
}

impl Repeats {
    fn line(&self, place: Identifier, lines_max: u32, now: Instant) -> Verdict {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let here = said.entry(place).or_insert(Said {
            begun: now,
            lines: 0,
        });
        here.line(lines_max, now)
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let place = event.metadata();
        if *place.level() > Level::INFO || place.target() == module_path!() {
            return true;
        }
        let lines_max = match place.target() {
            TRACE_TARGET => TRACE_LINES_MAX,
            _ => LINES_MAX,
        };
        match self.line(place.callsite(), lines_max, Instant::now()) {
            Verdict::Written => true,
            Verdict::Dropped => false,
            Verdict::After(dropped) => {
                let (file, line) = (place.file().unwrap_or(""), place.line().unwrap_or(0));
                tracing::warn!(
                    dropped,
                    of = format!("{} {file}:{line}", place.target()),
                    "lines like the next one were too many to be written"
                );
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted_and_told() {
        let begun = Instant::now();
        let mut said = Said { begun, lines: 0 };
        for _ in 0..LINES_MAX {
            assert_eq!(said.line(LINES_MAX, begun), Verdict::Written);
        }
        for _ in 0..7 {
            assert_eq!(said.line(LINES_MAX, begun + WINDOW / 2), Verdict::Dropped);
        }
        assert_eq!(said.line(LINES_MAX, begun + WINDOW), Verdict::After(7));
        assert_eq!(said.line(LINES_MAX, begun + WINDOW), Verdict::Written);
        assert_eq!(said.line(LINES_MAX, begun + 2 * WINDOW), Verdict::Written);
    }
}
