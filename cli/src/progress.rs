//! Progress of a transfer: a bar on a terminal, nothing in a pipe.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::warn;

/// The progress of one transfer.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar on standard error when that is a terminal and `is_wanted`.
    pub(crate) fn new(what: &str, total_bytes: Option<u64>, is_wanted: bool) -> Progress {
        if !is_wanted || !io::stderr().is_terminal() {
            return Progress {
                bar: ProgressBar::hidden(),
            };
        }
        let bar = match total_bytes {
            Some(bytes) => ProgressBar::new(bytes),
            None => ProgressBar::new_spinner(),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let template = match total_bytes {
            Some(_) => {
                "{msg}  {bar:24}  {bytes:>10} of {total_bytes}  \
                 {binary_bytes_per_sec:>12}  {eta} left"
            }
            None => "{msg}  {bytes:>10}  {binary_bytes_per_sec:>12}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━━─"));
        }
        bar.set_message(what.to_owned());
        Progress { bar }
    }

    /// So many more bytes are done.
    pub(crate) fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// So many bytes are done in all.
    pub(crate) fn reach(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// So many bytes are not done after all.
    pub(crate) fn retreat(&self, bytes: u64) {
        let left = self.bar.position().saturating_sub(bytes);
        self.bar.set_position(left);
    }

    /// Says what the bar is about.
    pub(crate) fn tell(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// A line on standard error, above the bar.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| warn(line));
    }

    /// Takes the bar away; what is printed next says what was done.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
