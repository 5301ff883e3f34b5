//! What may follow what is typed: commands, their words, servers, paths. And how it looks.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::io;
use std::time::Duration;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use sdfs_server::HELP;
use tokio::time::Instant;

use super::link::{Answer, End, Link, Login};
use crate::output::{Ink, Output};

/// Commands whose arguments are names of servers.
const OF_SERVERS: [&str; 5] = ["drain", "leave", "replace", "stop", "transfer-leader"];
/// Commands whose arguments are names in the cluster.
const OF_PATHS: [&str; 4] = ["files", "stat", "blocks", "explain"];
/// Words that may come second.
const SECOND: [(&str, &[&str]); 8] = [
    ("drain", &["stop"]),
    ("events", &["follow"]),
    ("heal", &["pause", "start", "limit"]),
    ("json", &["on", "off"]),
    ("log", &["usual", "error", "warn", "info", "debug", "trace"]),
    ("rebalance", &["stop"]),
    ("scrub", &["start"]),
    ("trace", &["on", "off"]),
];
/// How long somebody who has pressed Tab waits, whatever is to be done for it.
const NAMES_WAIT: Duration = Duration::from_millis(300);
/// How long names are not asked for after nobody told any: without a majority nobody does.
const NAMES_PAUSE: Duration = Duration::from_secs(10);
/// What a server says as it closes a session that has rested or lasted for too long.
const LAST_WORDS: [&str; 2] = ["idle", "old"];
/// Refusals that say nothing of what was asked.
const CANNOT_TELL: [&str; 5] = ["no_quorum", "no_mserver", "not_reached", "busy", "unknown"];

/// Knows what may follow.
pub(super) struct Words {
    servers: Vec<String>,
    login: Login,
    /// A session of its own for looking up names, opened with the first.
    names: RefCell<Option<Link>>,
    /// When nobody told any names.
    untold: Cell<Option<Instant>>,
    /// Whether a name is being confirmed: that is to be typed, so nothing completes it.
    pub(super) is_confirming: Cell<bool>,
    out: Output,
}

/// What is being typed.
#[derive(Debug, PartialEq, Eq)]
enum Typing<'a> {
    /// The name of a command.
    Command(&'a str),
    /// A server's name, or another word that may stand there.
    Word(&'a str, &'static [&'static str], bool),
    /// A path: its directory and the beginning of its last name.
    Path(&'a str, &'a str),
    /// Something else.
    Other,
}

fn typing(line: &str) -> Typing<'_> {
    let Some((command, rest)) = line.split_once(' ') else {
        return Typing::Command(line);
    };
    let is_second = !rest.contains(' ');
    if command == "help" && is_second {
        return Typing::Command(rest);
    }
    let path = match rest.split_once(' ') {
        Some(("on" | "off", path)) if command == "trace" => Some(path),
        _ => OF_PATHS.contains(&command).then_some(rest),
    };
    if let Some(path) = path.filter(|path| !path.contains([' ', '"'])) {
        let cut = path.rfind('/').map_or(0, |slash| slash + 1);
        return Typing::Path(&path[..cut], &path[cut..]);
    }
    let second = SECOND
        .iter()
        .find(|(name, _)| *name == command && is_second);
    let words = second.map_or(&[][..], |(_, words)| words);
    let is_of_servers = OF_SERVERS.contains(&command);
    if words.is_empty() && !is_of_servers {
        return Typing::Other;
    }
    Typing::Word(
        rest.rsplit(' ').next().unwrap_or(rest),
        words,
        is_of_servers,
    )
}

impl Words {
    pub(super) fn new(servers: Vec<String>, login: &Login, out: Output) -> Words {
        Words {
            servers,
            login: login.clone(),
            names: RefCell::default(),
            untold: Cell::default(),
            is_confirming: Cell::default(),
            out,
        }
    }

    /// Where the word that is being typed begins, and the words it may become.
    fn following(&self, line: &str) -> (usize, Vec<String>) {
        let (begin, all) = match typing(line) {
            _ if self.is_confirming.get() => ("", Vec::new()),
            Typing::Command(begin) => {
                let names = HELP.iter().map(|help| help.name.to_owned());
                (begin, names.collect())
            }
            Typing::Word(begin, words, is_of_servers) => {
                let words = words.iter().map(|word| (*word).to_owned());
                let servers = self.servers.iter().filter(|_| is_of_servers).cloned();
                (begin, words.chain(servers).collect())
            }
            Typing::Path(directory, begin) => (begin, self.names_in(directory)),
            Typing::Other => ("", Vec::new()),
        };
        let fitting = all.into_iter().filter(|word| word.starts_with(begin));
        (line.len() - begin.len(), fitting.collect())
    }

    /// The first thousand names in a directory; none when nobody tells in time.
    fn names_in(&self, directory: &str) -> Vec<String> {
        let now = Instant::now();
        if self.untold.get().is_some_and(|at| now < at + NAMES_PAUSE) {
            return Vec::new();
        }
        match self.listed(directory, now + NAMES_WAIT) {
            Some((link, names)) => {
                self.names.replace(Some(link));
                names
            }
            None => {
                self.untold.set(Some(now));
                Vec::new()
            }
        }
    }

    /// The names, and the link that told them. A session that has rested for too long was closed
    /// by the server, and is opened anew.
    fn listed(&self, directory: &str, end: Instant) -> Option<(Link, Vec<String>)> {
        let directory = if directory.is_empty() { "/" } else { directory };
        let line = format!("files {directory}");
        if let Some(mut link) = self.names.take() {
            match listing(link.ask_by(&line, end)) {
                Listing::Names(names) => return Some((link, names)),
                Listing::Nothing => return None,
                Listing::Over => {}
            }
        }
        let mut link = Link::open_by(&self.login, end).ok()?;
        let told = link.ask_by("json on", end).ok()?;
        match listing(link.ask_by(&line, end)) {
            Listing::Names(names) if told.end == End::Done => Some((link, names)),
            _ => None,
        }
    }
}

/// What came of asking for names.
#[derive(Debug, PartialEq, Eq)]
enum Listing {
    /// They were told, if only that there are none.
    Names(Vec<String>),
    /// Nobody can tell, or not in time.
    Nothing,
    /// The session was over before it was asked for.
    Over,
}

fn listing(asked: io::Result<Answer>) -> Listing {
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => return Listing::Nothing,
        Err(_) => return Listing::Over,
    };
    match &answer.end {
        End::Refused { code, .. } if LAST_WORDS.contains(&&**code) => Listing::Over,
        // A directory that is not there, or that the user may not read, has no names for him.
        End::Refused { code, .. } if !CANNOT_TELL.contains(&&**code) => Listing::Names(Vec::new()),
        End::Refused { .. } | End::Confirm(_) => Listing::Nothing,
        End::Done => Listing::Names(names_of(&answer.body)),
    }
}

/// The names of a listing. Those that would have to stand in quotes are left to be typed.
fn names_of(listing: &str) -> Vec<String> {
    // A refusal lists nothing.
    let value: serde_json::Value = serde_json::from_str(listing).unwrap_or_default();
    let rows = value["rows"].as_array().map_or(&[][..], Vec::as_slice);
    let name = |row: &serde_json::Value| {
        let slash = if row["kind"] == "directory" { "/" } else { "" };
        let name = row["name"].as_str()?;
        // What ends a word or a line at the server, or is more than a letter to a terminal, would
        // be an order of whoever gave the name.
        let is_apart = |l: char| l.is_whitespace() || l.is_control() || matches!(l, '"' | '\\');
        let is_plain = !name.contains(is_apart);
        is_plain.then(|| format!("{name}{slash}"))
    };
    rows.iter().filter_map(name).collect()
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        place: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (begin, words) = self.following(&line[..place]);
        let pair = |word: String| Pair {
            display: word.clone(),
            replacement: word,
        };
        Ok((begin, words.into_iter().map(pair).collect()))
    }
}

/// How a command goes on. Shown, and never typed for anybody.
pub(super) struct Usage(&'static str);

impl Hint for Usage {
    fn display(&self) -> &str {
        self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Words {
    type Hint = Usage;

    fn hint(&self, line: &str, place: usize, _: &Context<'_>) -> Option<Usage> {
        if self.is_confirming.get() || place < line.len() {
            return None;
        }
        usage_after(line).map(Usage)
    }
}

/// What follows a command that has just been typed.
fn usage_after(line: &str) -> Option<&'static str> {
    let name = line.strip_suffix(' ')?;
    let help = HELP.iter().find(|help| help.name == name)?;
    help.usage.strip_prefix(line)
}

impl Highlighter for Words {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        let (name, rest) = line.split_at(line.find(' ').unwrap_or(line.len()));
        let is_known = HELP.iter().any(|help| help.name == name);
        let is_whole = !rest.is_empty();
        let ink = match (is_known, is_whole) {
            _ if self.is_confirming.get() || name.is_empty() => return Cow::Borrowed(line),
            (true, _) => Ink::Bold,
            (false, true) => Ink::Bad,
            (false, false) => return Cow::Borrowed(line),
        };
        Cow::Owned(format!("{}{rest}", self.out.ink(ink, name)))
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        let ink = if self.is_confirming.get() {
            Ink::Warn
        } else {
            Ink::Good
        };
        Cow::Owned(self.out.ink(ink, prompt))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(self.out.ink(Ink::Dim, hint))
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

impl Validator for Words {}
impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::super::fake::{SILENCE, console};
    use super::*;

    const NAMES: &str = "{\"ok\":true,\"rows\":[{\"name\":\"a\",\"kind\":\"file\"}]}\n";
    const JSON: &str = "{\"ok\":true}\n";

    fn words(login: &Login) -> Words {
        Words::new(Vec::new(), login, Output::new(false))
    }

    #[test]
    fn names_are_told_after_a_rest() {
        // As the server closes a session that has rested, it says so.
        const RESTED: &str = "{\"ok\":true,\"rows\":[{\"name\":\"a\",\"kind\":\"file\"}]}\n\
            {\"error\":{\"code\":\"idle\",\"what\":\"x\"},\"ok\":false}\n";
        let (login, _typed) = console("m", &[&[JSON, RESTED], &[JSON, NAMES, NAMES]]);
        let words = words(&login);
        for _ in 0..3 {
            assert_eq!(words.following("stat /").1, ["a"]);
        }
    }

    #[test]
    fn nobody_waits_for_names_again_and_again() {
        let (login, typed) = console("m", &[&[JSON, SILENCE], &[JSON, NAMES]]);
        let words = words(&login);
        for _ in 0..5 {
            let begun = Instant::now();
            assert_eq!(words.following("stat /").1, [""; 0]);
            assert!(begun.elapsed() < 3 * NAMES_WAIT, "{:?}", begun.elapsed());
        }
        // A login, the kind of answer, the names: asked once.
        assert_eq!(typed.try_iter().count(), 3);
        // After a while they are asked for again.
        words.untold.set(Instant::now().checked_sub(NAMES_PAUSE));
        assert_eq!(words.following("stat /").1, ["a"]);
    }

    #[test]
    fn a_refusal_says_whether_to_ask_again() {
        let refused = |code: &str| {
            let end = End::Refused {
                code: code.to_owned(),
                what: String::new(),
            };
            let body = String::new();
            listing(Ok(Answer { body, end }))
        };
        assert_eq!(refused("not_found"), Listing::Names(Vec::new()));
        assert_eq!(refused("no_quorum"), Listing::Nothing);
        assert_eq!(refused("old"), Listing::Over);
        let failed = |kind: io::ErrorKind| listing(Err(kind.into()));
        assert_eq!(failed(io::ErrorKind::TimedOut), Listing::Nothing);
        assert_eq!(failed(io::ErrorKind::UnexpectedEof), Listing::Over);
    }

    #[test]
    fn what_is_typed_is_understood() {
        let table = [
            ("he", Typing::Command("he")),
            ("help he", Typing::Command("he")),
            ("drain d", Typing::Word("d", &["stop"], true)),
            ("drain stop d", Typing::Word("d", &[], true)),
            ("transfer-leader root m", Typing::Word("m", &[], true)),
            ("json o", Typing::Word("o", &["on", "off"], false)),
            ("stat /pictures/ph", Typing::Path("/pictures/", "ph")),
            ("files ", Typing::Path("", "")),
            ("files /a after b", Typing::Other),
            ("stat \"/a", Typing::Other),
            ("trace o", Typing::Word("o", &["on", "off"], false)),
            ("trace on /pictures/ph", Typing::Path("/pictures/", "ph")),
            ("trace off ", Typing::Path("", "")),
            ("events f", Typing::Word("f", &["follow"], false)),
            ("events 3", Typing::Word("3", &["follow"], false)),
            ("top 3", Typing::Other),
        ];
        for (line, expected) in table {
            assert_eq!(typing(line), expected, "{line}");
        }
    }

    #[test]
    fn names_to_be_quoted_are_not_offered() {
        let listing = r#"{"ok":true,"rows":[{"name":"a","kind":"directory"},
            {"name":"b","kind":"file"},{"name":"c d","kind":"file"},
            {"name":"x\ndrain","kind":"file"},{"name":"x\u00a0d-1","kind":"file"},
            {"name":"x\u001b[2J","kind":"file"}]}"#;
        assert_eq!(names_of(listing), ["a/", "b"]);
        assert!(names_of("no JSON").is_empty());
    }

    #[test]
    fn a_command_says_how_it_goes_on() {
        assert_eq!(usage_after("stat "), Some("PATH"));
        assert_eq!(usage_after("stat"), None);
        assert_eq!(usage_after("stat /a "), None);
        assert_eq!(usage_after("quit "), None);
    }
}
