//! Whoever types: at the console logged in to, and what only another server can do, at that one's.

use std::io;

use super::link::{Answer, End, Link, Login};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};

/// The refusal of what is to be typed at another server's console.
const ELSEWHERE: &str = "elsewhere";

/// An open session, and the way to others.
pub(super) struct Typist {
    home: (Link, Login),
    /// Every console there is.
    logins: Vec<Login>,
    is_json: bool,
    /// Another server's console that waits for a name to be confirmed.
    away: Option<(Link, Login)>,
}

impl Typist {
    pub(super) fn new(home: (Link, Login), logins: Vec<Login>, is_json: bool) -> Outcome<Typist> {
        let mut typist = Typist {
            home,
            logins,
            is_json,
            away: None,
        };
        if is_json {
            said(&mut typist.home, "json on")?;
        }
        Ok(typist)
    }

    /// Whose console it is.
    pub(super) fn login(&self) -> &Login {
        &self.home.1
    }

    /// The servers that have a console.
    pub(super) fn servers(&self) -> Vec<String> {
        self.logins
            .iter()
            .map(|login| login.server.clone())
            .collect()
    }

    /// Types a line and reads the answer. A line that is for another server, of whom this console
    /// says so, is typed at that one's, and its confirmation as well.
    pub(super) fn line(&mut self, line: &str) -> Outcome<Answer> {
        if let Some(mut away) = self.away.take() {
            return Ok(said(&mut away, line).unwrap_or_else(lost_with));
        }
        if line.split_whitespace().eq(["events", "follow"]) {
            let (link, login) = &mut self.home;
            let show = |line: &str| crate::output::write_out(format!("{line}\n").as_bytes());
            return link.follow(line, show).map_err(|error| gone(login, &error));
        }
        let answer = said(&mut self.home, line)?;
        let is_for_another = matches!(&answer.end, End::Refused { code, .. } if code == ELSEWHERE);
        let named = line.split_whitespace().nth(1).filter(|_| is_for_another);
        let other = self
            .logins
            .iter()
            .find(|login| named == Some(&login.server));
        let Some(other) = other else {
            return Ok(answer);
        };
        match self.at_another(other, line) {
            Ok((away, answer)) => {
                let waits = matches!(answer.end, End::Confirm(_));
                self.away = waits.then_some(away);
                Ok(answer)
            }
            // This session goes on.
            Err(failure) => Ok(Answer {
                body: String::new(),
                end: End::Refused {
                    code: "not_reached".to_owned(),
                    what: failure.what,
                },
            }),
        }
    }

    fn at_another(&self, login: &Login, line: &str) -> Outcome<((Link, Login), Answer)> {
        let mut away = (Link::open(login)?, login.clone());
        if self.is_json {
            said(&mut away, "json on")?;
        }
        let answer = said(&mut away, line)?;
        Ok((away, answer))
    }
}

/// What a name typed to confirm came to whose console has gone. The own session goes on.
fn lost_with(failure: Failure) -> Answer {
    Answer {
        body: String::new(),
        end: End::Refused {
            code: "unknown".to_owned(),
            what: format!(
                "{}; it may have been done or not: `servers` shows",
                failure.what
            ),
        },
    }
}

fn said((link, login): &mut (Link, Login), line: &str) -> Outcome<Answer> {
    link.ask(line).map_err(|error| gone(login, &error))
}

fn gone(login: &Login, error: &io::Error) -> Failure {
    let plain = crate::failure::plain(error);
    let what = format!("the console of {} has gone: {plain}", login.server);
    Failure::new(Code::Unreachable, what)
}

#[cfg(test)]
mod tests {
    use super::super::fake::console;
    use super::*;

    #[test]
    fn a_session_outlives_another_servers_end() {
        const ELSEWHERE: &str = "error elsewhere stop d at its own console\n";
        let (home, _typed) = console("m", &[&[ELSEWHERE, "  name  m\nok\n"]]);
        // It asks back, and is gone before the answer.
        let (other, _typed) = console("d", &[&["confirm by typing d\n"]]);
        let link = Link::open(&home).expect("a session");
        let logins = vec![home.clone(), other];
        let mut typist = Typist::new((link, home), logins, false).expect("a typist");
        let asked = typist.line("stop d").expect("answered");
        assert_eq!(asked.end, End::Confirm("d".to_owned()));
        let lost = typist.line("d").expect("the session goes on");
        let End::Refused { code, what } = lost.end else {
            panic!("{lost:?}");
        };
        assert_eq!(code, "unknown");
        assert!(what.contains("the console of d has gone"), "{what}");
        let status = typist.line("status").expect("answered");
        assert_eq!((&*status.body, status.end), ("  name  m\n", End::Done));
    }
}
