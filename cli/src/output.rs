//! The only way to standard output: text for people, one JSON value for programs.

use std::io::{self, IsTerminal, Write};
use std::process;

use serde::Serialize;

use crate::exit::Code;
use crate::failure::Failure;

/// Where a command prints and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    is_json: bool,
    is_coloured: bool,
}

/// What a piece of text says, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// A heading.
    Bold,
    /// Less important.
    Dim,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Not as it should be.
    Bad,
}

impl Output {
    /// Colours only on a terminal, and not when `NO_COLOR` is set (no-color.org).
    pub(crate) fn new(is_json: bool) -> Output {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Output {
            is_json,
            is_coloured: wanted && !is_json && io::stdout().is_terminal(),
        }
    }

    /// Whether one JSON value is wanted.
    pub(crate) fn is_json(self) -> bool {
        self.is_json
    }

    /// Prints a line for people; nothing when JSON is wanted.
    pub(crate) fn say(self, line: &str) {
        if !self.is_json {
            write_out(format!("{line}\n").as_bytes());
        }
    }

    /// Prints the one JSON value, when that is wanted.
    pub(crate) fn json(self, value: &impl Serialize) {
        if self.is_json {
            write_out(format!("{}\n", json_text(value)).as_bytes());
        }
    }

    /// Text in a colour, or plain.
    pub(crate) fn ink(self, ink: Ink, text: &str) -> String {
        if !self.is_coloured {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Good => "32",
            Ink::Warn => "33",
            Ink::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Tells of a failure on standard error.
    pub(crate) fn fail(self, failure: &Failure) {
        let text = if self.is_json {
            let value = serde_json::json!({
                "error": failure.what,
                "advice": failure.advice,
                "code": failure.code.number(),
            });
            json_text(&value)
        } else {
            format!("sdfs: {failure}")
        };
        warn(&text);
    }
}

/// A line on standard error. Nothing can be done when even that is gone.
pub(crate) fn warn(line: &str) {
    writeln!(io::stderr(), "{line}").unwrap_or(());
}

/// Bytes to standard output. A reader that has gone away wants no more, so the process ends as
/// any other in a pipe does; other troubles are told.
pub(crate) fn write_out(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    let Err(error) = written else { return };
    if error.kind() == io::ErrorKind::BrokenPipe {
        process::exit(i32::from(Code::Done.number()));
    }
    let failure = Failure::system("write to standard output", &error);
    warn(&format!("sdfs: {failure}"));
    process::exit(i32::from(failure.code.number()));
}

fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}
