//! A person at a console: a line editor with history, completion and colours.

use std::io;
use std::path::{Path, PathBuf};

use ratatui::crossterm::event::DisableBracketedPaste;
use ratatui::crossterm::execute;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config as EditorConfig, Editor};

use super::complete::Words;
use super::history;
use super::link::{End, Login};
use super::show;
use super::typist::Typist;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::{Ink, Output};
use crate::panic_hook;

/// Lines that are remembered.
const HISTORY_LINES_MAX: usize = 1_000;

/// An editor, and where it remembers.
struct Desk {
    editor: Editor<Words, DefaultHistory>,
    history: Option<PathBuf>,
}

/// Until the person has had enough.
pub(super) fn talk(mut typist: Typist, out: Output) -> Outcome {
    let words = Words::new(typist.servers(), typist.login(), out);
    let mut desk = Desk::open(words).map_err(no_terminal)?;
    let Login { server, user, .. } = typist.login();
    out.say(&format!("at {server} as {user}; `help` lists the commands"));
    let usual = format!("{server}> ");
    let mut to_confirm: Option<String> = None;
    loop {
        let prompt = to_confirm.as_ref().map(|name| format!("type {name}> "));
        let Some(line) = desk.line(prompt.as_ref().unwrap_or(&usual), prompt.is_some())? else {
            return Ok(());
        };
        // Blank lines are not answered. At a confirmation they would be: with a refusal.
        if line.trim().is_empty() && to_confirm.is_none() {
            continue;
        }
        let is_last = to_confirm.is_none() && matches!(line.trim(), "quit" | "exit");
        let answer = typist.line(&line)?;
        show(&answer);
        to_confirm = None;
        match answer.end {
            End::Done if is_last => return Ok(()),
            End::Done => {}
            End::Confirm(name) => to_confirm = Some(name),
            End::Refused { what, .. } => out.say(&out.ink(Ink::Bad, &what)),
        }
    }
}

fn no_terminal(error: ReadlineError) -> Failure {
    Failure::new(
        Code::Local,
        format!("cannot read from the terminal: {error}"),
    )
}

/// The editor takes the terminal over while a line is typed, and gives it back as it unwinds: a
/// panic, also in what completes words, ends the process before.
fn give_back_at_a_panic() {
    let Ok(usual) = tcgetattr(io::stdin()) else {
        return;
    };
    panic_hook::before_that(move || {
        // A terminal that is gone wants nothing back.
        tcsetattr(io::stdin(), OptionalActions::Now, &usual).unwrap_or(());
        execute!(io::stdout(), DisableBracketedPaste).unwrap_or(());
        // What follows stands on a line of its own.
        crate::output::warn("");
    });
}

impl Desk {
    fn open(words: Words) -> rustyline::Result<Desk> {
        give_back_at_a_panic();
        let settings = EditorConfig::builder()
            .completion_type(CompletionType::List)
            .max_history_size(HISTORY_LINES_MAX)?
            .build();
        let mut editor = Editor::with_config(settings)?;
        editor.set_helper(Some(words));
        let variable = std::env::var_os;
        let mut desk = Desk {
            editor,
            history: history::place(variable("XDG_STATE_HOME"), variable("HOME")),
        };
        desk.keep(|editor, file| {
            history::prepare(file)?;
            editor.load_history(file)
        });
        Ok(desk)
    }

    /// The next line; `None` when there will be none.
    fn line(&mut self, prompt: &str, is_confirming: bool) -> Outcome<Option<String>> {
        if let Some(words) = self.editor.helper() {
            words.is_confirming.set(is_confirming);
        }
        loop {
            let line = match self.editor.readline(prompt) {
                Ok(line) => line,
                // At a confirmation it takes the command back: a name nobody has is no yes.
                Err(ReadlineError::Interrupted) if is_confirming => {
                    return Ok(Some("-".to_owned()));
                }
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => return Ok(None),
                Err(error) => return Err(no_terminal(error)),
            };
            // A pasted line break would be another command, and a name that confirms it.
            if line
                .chars()
                .any(|letter| letter.is_control() && letter != '\t')
            {
                crate::output::warn("one line at a time, and letters only");
                continue;
            }
            if !is_confirming && history::is_kept(&line) {
                let added = self.editor.add_history_entry(&line);
                // The line before it, typed again, is not added.
                if added.is_ok_and(|is_added| is_added) {
                    self.keep(Editor::append_history);
                }
            }
            return Ok(Some(line));
        }
    }

    /// Does something with the file; one that cannot be used is not used any more.
    fn keep(
        &mut self,
        deed: impl FnOnce(&mut Editor<Words, DefaultHistory>, &Path) -> rustyline::Result<()>,
    ) {
        let Some(file) = self.history.take() else {
            return;
        };
        match deed(&mut self.editor, &file) {
            Ok(()) => self.history = Some(file),
            Err(error) => tracing::warn!(%error, file = %file.display(), "no history is kept"),
        }
    }
}
