//! One session: greeting, login, then commands, each answered before the next is read.

use std::net::SocketAddr;
use std::sync::Arc;

use sdfs_net_layer::Stream;
use sdfs_types::calls::activity::{Happened, Severity};
use sdfs_types::{CLUSTER_USER, clock, readable};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout_at};

use super::command::{Change, Command, CommandFault, command};
use super::counters::Ended;
use super::line::{LineFault, Lines};
use super::login::{CLUSTER_LOGIN_LABEL, greeting_of, login, signed_text};
use super::look::{EVENT_COLUMNS, event_row, severity_name};
use super::reply::Reply;
use super::top::Top;
use super::words::words;
use super::{Console, Person, explain, files, heal, look, order, trace};
use crate::ask::{self, AskFault};
use crate::limits::{
    IDLE_WAIT, LOGIN_WAIT, READ_BYTES, SESSION_LIFE, WRITE_WAIT, WRONG_LOGIN_PAUSE,
};
use sdfs_server_group::{Role, UserKey};
use sdfs_types::calls::behalf::{CheckLogin, LoginChecked};

/// Bytes of randomness in a challenge: nobody meets one twice.
const CHALLENGE_BYTES: usize = 32;

/// A session.
pub(crate) struct Session {
    console: Arc<Console>,
    stream: Stream,
    lines: Lines,
    from: SocketAddr,
    number: u64,
    ends: Instant,
    is_json: bool,
    /// Who it is, after the login.
    user: String,
    is_admin: bool,
    top: Top,
}

impl Session {
    pub(crate) fn new(
        console: Arc<Console>,
        stream: Stream,
        (from, number): (SocketAddr, u64),
    ) -> Session {
        Session {
            console,
            stream,
            lines: Lines::default(),
            from,
            number,
            ends: Instant::now() + SESSION_LIFE,
            is_json: false,
            user: String::new(),
            is_admin: false,
            top: Top::default(),
        }
    }

    /// Serves until it ends, and says why.
    pub(crate) async fn run(mut self) -> Ended {
        let ended = match self.enter().await {
            Ok(()) => self.serve().await,
            Err(ended) => ended,
        };
        self.console.counters.count_ended(ended);
        let number = self.number;
        self.console.people.send_modify(|people| {
            people.remove(&number);
        });
        ended
    }

    async fn enter(&mut self) -> Result<(), Ended> {
        let mut random = [0; CHALLENGE_BYTES];
        getrandom::fill(&mut random).map_err(|_| Ended::NoChallenge)?;
        let challenge: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mesh = self.console.server.mesh().clone();
        let status = self.console.server.status();
        let greeting = greeting_of(&mesh.config().cluster, &status.name, &challenge);
        self.write(&format!("{greeting}\n")).await?;
        let line = match self.line(Instant::now() + LOGIN_WAIT).await {
            Err(Ended::Idle) => return Err(Ended::NoLogin),
            line => line?,
        };
        let words = words(&line).unwrap_or_default();
        let Some((user, proof)) = login(&words) else {
            let text = "first comes: login USER PROOF";
            self.answer(&Reply::refused("no_login", text)).await?;
            return Err(Ended::NoLogin);
        };
        if user == CLUSTER_USER {
            let key = UserKey(mesh.derive_key(CLUSTER_LOGIN_LABEL));
            return match key.is_signature(&signed_text(&greeting, user), &proof) {
                true => {
                    self.announce();
                    self.welcome(CLUSTER_USER.to_owned(), true).await
                }
                false => self.send_away(user).await,
            };
        }
        let asked = CheckLogin {
            user: user.to_owned(),
            challenge: signed_text(&greeting, user),
            proof,
        };
        let judged = match mesh.nearest(Role::Mserver) {
            Some(mserver) => ask::ask(&mesh, mserver, &asked).await,
            None => Err(AskFault::NoMserver),
        };
        match judged {
            Ok(LoginChecked::Right { is_admin }) => self.welcome(asked.user, is_admin).await,
            Ok(LoginChecked::Wrong) => self.send_away(&asked.user).await,
            Ok(LoginChecked::CannotTell) => {
                let text = "the mserver asked may be behind, and cannot tell whether that is right";
                self.answer(&Reply::refused("cannot_tell", text)).await?;
                Err(Ended::NoLogin)
            }
            Err(fault) => {
                self.answer(&Reply::unanswered(&fault)).await?;
                Err(Ended::NoLogin)
            }
        }
    }

    /// Nobody comes in with the cluster's secret unseen.
    fn announce(&self) {
        let from = self.from;
        tracing::warn!(%from, "a login at the console with the cluster's secret");
        let told = format!("somebody at {from} came in with the cluster's secret");
        let told = (Severity::Warning, told);
        // Events are a convenience: the log has it.
        self.console.tell.try_send(told).unwrap_or(());
    }

    async fn send_away(&mut self, user: &str) -> Result<(), Ended> {
        tracing::warn!(%user, from = %self.from, "a wrong login at the console");
        // Guessing takes time.
        sleep(WRONG_LOGIN_PAUSE).await;
        let text = "the user or the proof is wrong";
        self.answer(&Reply::refused("wrong_login", text)).await?;
        Err(Ended::WrongLogin)
    }

    async fn welcome(&mut self, user: String, is_admin: bool) -> Result<(), Ended> {
        let person = Person {
            user: user.clone(),
            from: self.from,
            since_ms: clock::now_ms(),
        };
        let number = self.number;
        self.console.people.send_modify(|people| {
            people.insert(number, person);
        });
        (self.user, self.is_admin) = (user, is_admin);
        self.answer(&Reply::Done).await
    }

    async fn serve(&mut self) -> Ended {
        loop {
            let line = match self.line(Instant::now() + IDLE_WAIT).await {
                Ok(line) => line,
                Err(ended) => return self.send_off(ended).await,
            };
            let command = match command(&line) {
                Ok(Command::Nothing) => continue,
                Ok(Command::Quit) => {
                    self.answer(&Reply::Done).await.unwrap_or(());
                    return Ended::Quit;
                }
                command => command,
            };
            let trace = self.console.server.mesh().fresh_trace();
            if let Err(ended) = trace.scope(self.obey(command)).await {
                return self.send_off(ended).await;
            }
        }
    }

    /// Says why the session ends, where somebody may read it.
    async fn send_off(&mut self, ended: Ended) -> Ended {
        if let Some(reply) = last_words(ended) {
            // The session ends either way.
            self.answer(&reply).await.unwrap_or(());
        }
        ended
    }

    /// Answers one command.
    async fn obey(&mut self, command: Result<Command, CommandFault>) -> Result<(), Ended> {
        let is_stop = matches!(command, Ok(Command::Change(Change::Stop(_))));
        let reply = match command {
            Ok(Command::Change(change)) => self.change(change).await?,
            Ok(Command::Follow) => self.follow().await?,
            Ok(command) => {
                let may_be_old = command.may_be_old();
                let reply = self.look(command).await;
                if may_be_old { self.dated(reply) } else { reply }
            }
            Err(fault @ CommandFault::Unknown(_)) => Reply::refused("unknown_command", fault),
            Err(fault) => Reply::refused("usage", fault),
        };
        let is_refused = matches!(reply, Reply::Refused { .. });
        self.console.counters.count_command(is_refused);
        self.answer(&reply).await?;
        if is_stop && !is_refused {
            self.console.hands.stop();
            return Err(Ended::Quit);
        }
        Ok(())
    }

    async fn look(&mut self, command: Command) -> Reply {
        let console = &self.console;
        let user = &self.user;
        match command {
            Command::Help(of) => look::help(of.as_deref()),
            Command::Json(is_json) => {
                self.is_json = is_json;
                Reply::Done
            }
            Command::Status => look::status(console),
            Command::Servers => look::servers(console).await,
            Command::Rtt => look::rtt(console).await,
            Command::Groups => look::groups(console),
            Command::Volumes => look::volumes(console),
            Command::Spaces => look::spaces(console),
            Command::Events(count) => look::events(console, count),
            Command::Config => look::config(console),
            Command::Sessions => look::sessions(console),
            Command::Audit(_) if !self.is_admin => order::denied(user),
            Command::Audit(count) => look::audit(console, count).await,
            Command::Top => self.top.look(&self.console),
            Command::Files { path, after } => files::list(console, user, path, after).await,
            Command::Stat(path) => files::stat(console, user, path).await,
            Command::Blocks(path) => files::blocks(console, user, path).await,
            Command::Explain(path) => explain::explain(console, user, path).await,
            Command::Slow => look::slow(console),
            // Names that somebody is creating are not everybody's to see.
            Command::Locks if !self.is_admin => order::denied(user),
            Command::Locks => look::locks(console).await,
            Command::Users => look::users(console, user).await,
            Command::Heal => heal::heal(console).await,
            Command::Scrub => heal::scrub(console).await,
            Command::Maintenance => heal::maintenance(console, user).await,
            Command::Traced => trace::show(console, user).await,
            Command::Nothing | Command::Quit | Command::Follow | Command::Change(_) => Reply::Done,
        }
    }

    /// Tells events as they happen, until a line is typed.
    async fn follow(&mut self) -> Result<Reply, Ended> {
        let mut lately = self.console.lately.clone();
        let mut told = lately.borrow_and_update().told;
        let ends = self.ends;
        loop {
            tokio::select! {
                changed = lately.changed() => {
                    if changed.is_err() {
                        return Ok(Reply::Done);
                    }
                    let now = Arc::clone(&lately.borrow_and_update());
                    let text: String = now
                        .since(told)
                        .map(|event| event_line(event, self.is_json))
                        .collect();
                    told = now.told;
                    self.write(&text).await?;
                }
                line = self.line(ends) => return line.map(|_| Reply::Done),
            }
        }
    }

    /// Says that an answer may be old, when no majority is heard.
    fn dated(&self, reply: Reply) -> Reply {
        let since_ms = self.console.lately.borrow().alone_since_ms;
        // What was so a moment ago, as at the start, may be over.
        let since_ms = since_ms.filter(|_| !self.console.server.status().hears_majority);
        match (since_ms, &reply) {
            (None, _) | (_, Reply::Refused { .. }) => reply,
            (Some(since_ms), _) => Reply::Old {
                why: format!(
                    "this side is the minority since {}: what others have decided since is not \
                     known here",
                    readable::moment(since_ms)
                ),
                answer: Box::new(reply),
            },
        }
    }

    async fn change(&mut self, change: Change) -> Result<Reply, Ended> {
        if !self.is_admin {
            return Ok(order::denied(&self.user));
        }
        if let Some(reply) = order::objection(&self.console, &change) {
            return Ok(reply);
        }
        if let Some(name) = change.to_confirm() {
            let name = name.to_owned();
            self.answer(&Reply::Confirm(name.clone())).await?;
            let typed = self.line(Instant::now() + IDLE_WAIT).await?;
            if typed.trim() != name {
                return Ok(Reply::refused("not_confirmed", "nothing was done"));
            }
        }
        let who = Person {
            user: self.user.clone(),
            from: self.from,
            since_ms: clock::now_ms(),
        };
        Ok(order::carry_out(&self.console, &who, &change).await)
    }

    async fn answer(&mut self, reply: &Reply) -> Result<(), Ended> {
        let text = reply.text(self.is_json);
        self.write(&text).await
    }

    async fn write(&mut self, text: &str) -> Result<(), Ended> {
        let deadline = Instant::now() + WRITE_WAIT;
        let written = async {
            self.stream.write_all(text.as_bytes()).await?;
            // Under TLS a part of it may wait otherwise.
            self.stream.flush().await
        };
        match timeout_at(deadline, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => Err(Ended::SlowReader),
        }
    }

    /// The next line, when it comes in time.
    async fn line(&mut self, deadline: Instant) -> Result<String, Ended> {
        let is_last = self.ends <= deadline;
        let deadline = deadline.min(self.ends);
        loop {
            match self.lines.next() {
                Ok(Some(line)) => return Ok(line),
                Ok(None) => {}
                Err(LineFault::TooLong) => return Err(Ended::TooLong),
                Err(LineFault::Garbage) => return Err(Ended::Garbage),
            }
            let mut bytes = [0; READ_BYTES];
            match timeout_at(deadline, self.stream.read(&mut bytes)).await {
                Ok(Ok(count)) if count > 0 => self.lines.push(&bytes[..count]),
                Ok(_) if self.lines.has_rest() => return Err(Ended::HalfLine),
                Ok(_) => return Err(Ended::Gone),
                Err(_) if is_last => return Err(Ended::Old),
                Err(_) => return Err(Ended::Idle),
            }
        }
    }
}

/// A followed event: no line of an answer's end, for the answer goes on.
fn event_line(event: &Happened, is_json: bool) -> String {
    if is_json {
        let named = EVENT_COLUMNS.into_iter().zip(event_row(event));
        let event: Map<String, Value> = named
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        return format!("{}\n", json!({ "event": event }));
    }
    Reply::line([
        readable::moment(event.at_ms),
        severity_name(event.severity).to_owned(),
        event.what.clone(),
    ])
}

/// What is said to who is sent away.
fn last_words(ended: Ended) -> Option<Reply> {
    Some(match ended {
        Ended::TooLong => Reply::refused("too_long", "the line is too long"),
        Ended::Garbage => Reply::refused("garbage", "that is no text"),
        Ended::Idle => Reply::refused("idle", "nothing was typed for too long"),
        Ended::Old => Reply::refused("old", "the session has lasted as long as one may"),
        _ => return None,
    })
}
