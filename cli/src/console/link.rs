//! A connection with a console: greeting, login, lines and their answers. Blocking: whoever types
//! waits for the answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sdfs_net_layer::{Stream, Transport};
use sdfs_server::{greeting_of, signed_text};
use sdfs_server_group::UserKey;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout, timeout_at};

use crate::exit::Code;
use crate::failure::{Failure, Outcome};

/// How long a connection may take to stand, with TLS where that is wanted.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// Longest answer: a thousand names of the longest kind.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Whose console it is to be, and who comes.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) cluster: String,
    pub(crate) server: String,
    pub(crate) address: SocketAddr,
    pub(crate) user: String,
    pub(crate) key: UserKey,
    pub(crate) transport: Arc<dyn Transport>,
    /// How long a whole answer may take, and the connection with the login.
    pub(crate) wait: Duration,
}

/// An open session.
pub(crate) struct Link {
    runtime: Runtime,
    stream: BufReader<Stream>,
    /// How long a whole answer may take.
    wait: Duration,
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was done.
    Done,
    /// Refused, with a word for programs and a sentence.
    Refused { code: String, what: String },
    /// The name is to be typed.
    Confirm(String),
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The lines before the last.
    pub(crate) body: String,
    /// The last.
    pub(crate) end: End,
}

impl Link {
    /// Connects and logs in. A server that is another than the configuration says at this address
    /// gets no proof.
    pub(crate) fn open(login: &Login) -> Outcome<Link> {
        Link::open_by(login, Instant::now() + login.wait)
    }

    /// As [`Link::open`], all of it until `end`.
    pub(crate) fn open_by(login: &Login, end: Instant) -> Outcome<Link> {
        let fault = |error: io::Error| Link::unreachable(login, &error);
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::system("start the runtime", &error))?;
        let connecting = login.transport.connect(login.address);
        let stream = until(&runtime, end.min(Instant::now() + CONNECT_WAIT), connecting);
        let stream = stream.map_err(fault)?;
        let mut link = Link {
            runtime,
            stream: BufReader::new(stream),
            wait: login.wait,
        };
        let greeting = link.line(end).map_err(fault)?;
        let challenge = greeting.rsplit(' ').next().unwrap_or("");
        if greeting != greeting_of(&login.cluster, &login.server, challenge) {
            let what = format!(
                "{} does not greet as the console of {} of {}: {}",
                login.address,
                login.server,
                login.cluster,
                greeting.escape_default()
            );
            return Err(Failure::new(Code::Config, what));
        }
        let proof = login.key.sign(&signed_text(&greeting, &login.user));
        let proof: String = proof.iter().map(|byte| format!("{byte:02x}")).collect();
        let answer = link
            .ask_by(&format!("login {} {proof}", login.user), end)
            .map_err(fault)?;
        match answer.end {
            End::Done => Ok(link),
            End::Refused { code, what } if code == "no_mserver" => {
                let server = &login.server;
                let way = format!("`sdfs console --emergency {server}` lets you look all the same");
                Err(refusal(&code, &what).advise(way))
            }
            End::Refused { code, what } => Err(refusal(&code, &what)),
            End::Confirm(_) => Err(Failure::new(Code::Fault, "the console asks back at login")),
        }
    }

    fn unreachable(login: &Login, error: &io::Error) -> Failure {
        let plain = crate::failure::plain(error);
        let (server, address) = (&login.server, login.address);
        let what = format!("no answer from the console of {server} at {address}: {plain}");
        Failure::new(Code::Unreachable, what)
            .advise("Is the server up, and has config.conf an `operator: (..)` part?")
    }

    /// Types a line and reads the answer.
    pub(crate) fn ask(&mut self, line: &str) -> io::Result<Answer> {
        self.ask_by(line, Instant::now() + self.wait)
    }

    /// As [`Link::ask`], all of it until `end`. After a failure nothing more can be asked: half an
    /// answer may be on its way.
    pub(crate) fn ask_by(&mut self, line: &str, end: Instant) -> io::Result<Answer> {
        self.send(line, end)?;
        let mut body = String::new();
        loop {
            let line = self.line(end)?;
            if let Some(end) = end_of(&line) {
                if line.starts_with('{') {
                    body = line;
                }
                return Ok(Answer { body, end });
            }
            if body.len() + line.len() > ANSWER_BYTES_MAX {
                return Err(io::Error::other("the answer is too long"));
            }
            body.push_str(&line);
            body.push('\n');
        }
    }

    /// Types a line whose answer goes on until somebody has had enough of it, with Ctrl-C. Each
    /// line of it is shown as it comes.
    pub(crate) fn follow(&mut self, line: &str, mut show: impl FnMut(&str)) -> io::Result<Answer> {
        self.send(line, Instant::now() + self.wait)?;
        let (stream, wait) = (&mut self.stream, self.wait);
        self.runtime.block_on(async {
            let mut presses = signal(SignalKind::interrupt())?;
            let mut lines = Followed::default();
            loop {
                tokio::select! {
                    filled = stream.fill_buf() => {
                        let count = lines.take(filled?)?;
                        stream.consume(count);
                    }
                    _ = presses.recv() => break,
                }
                if let Some(answer) = lines.tell(&mut show) {
                    return Ok(answer);
                }
            }
            // Any line ends it, and is not answered itself. Who presses again waits no more.
            let ending = async {
                stream.write_all(b"\n").await?;
                stream.flush().await?;
                loop {
                    let count = lines.take(stream.fill_buf().await?)?;
                    stream.consume(count);
                    if let Some(answer) = lines.tell(&mut show) {
                        return Ok(answer);
                    }
                }
            };
            tokio::select! {
                ended = timeout(wait, ending) => {
                    ended.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                }
                _ = presses.recv() => Err(io::ErrorKind::Interrupted.into()),
            }
        })
    }

    fn send(&mut self, line: &str, end: Instant) -> io::Result<()> {
        // Each line has an answer of its own.
        if line.contains(['\n', '\r']) {
            let what = "a command is one line";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let stream = self.stream.get_mut();
        let line = format!("{line}\n");
        until(&self.runtime, end, async {
            stream.write_all(line.as_bytes()).await?;
            stream.flush().await
        })
    }

    fn line(&mut self, end: Instant) -> io::Result<String> {
        let mut line = String::new();
        let mut stream = (&mut self.stream).take(ANSWER_BYTES_MAX as u64);
        let read = until(&self.runtime, end, stream.read_line(&mut line))?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end_matches('\n').len());
        Ok(line)
    }
}

/// An answer that goes on, as far as it has come.
#[derive(Default)]
struct Followed {
    waiting: Vec<u8>,
}

impl Followed {
    /// Takes what has come, and says how much that was.
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.waiting.len() + bytes.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::other("a line is too long"));
        }
        self.waiting.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Shows the whole lines, until one ends the answer.
    fn tell(&mut self, show: &mut impl FnMut(&str)) -> Option<Answer> {
        while let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.waiting.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]).into_owned();
            if let Some(end) = end_of(&line) {
                let body = String::new();
                return Some(Answer { body, end });
            }
            show(&line);
        }
        None
    }
}

fn until<T>(
    runtime: &Runtime,
    end: Instant,
    deed: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    // The timer is made on the runtime.
    let done = runtime.block_on(async { timeout_at(end, deed).await });
    done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The failure of a refused command.
pub(crate) fn refusal(code: &str, what: &str) -> Failure {
    let exit = match code {
        "not_found" | "no_such_server" => Code::NotFound,
        "usage" | "unknown_command" | "out_of_range" => Code::Usage,
        "unknown" => Code::Unknown,
        "no_quorum" | "busy" | "no_mserver" | "not_reached" | "cannot_tell" => Code::NotNow,
        _ => Code::Refused,
    };
    Failure::new(exit, what)
}

/// What a line ends, if it ends an answer.
fn end_of(line: &str) -> Option<End> {
    if line == "ok" {
        return Some(End::Done);
    }
    if let Some(rest) = line.strip_prefix("error ") {
        let (code, what) = rest.split_once(' ').unwrap_or((rest, rest));
        return Some(End::Refused {
            code: code.to_owned(),
            what: what.to_owned(),
        });
    }
    if let Some(name) = line.strip_prefix("confirm by typing ") {
        return Some(End::Confirm(name.to_owned()));
    }
    if !line.starts_with('{') {
        return None;
    }
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    if value["ok"] == true {
        return Some(End::Done);
    }
    if let Some(name) = text(&value["confirm"]) {
        return Some(End::Confirm(name));
    }
    Some(End::Refused {
        code: text(&value["error"]["code"])?,
        what: text(&value["error"]["what"])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_goes_on_is_shown_line_by_line() {
        let mut followed = Followed::default();
        let mut shown = Vec::new();
        let mut show = |line: &str| shown.push(line.to_owned());
        assert_eq!(followed.take(b"  one\n{\"event\":{}}\n  tw").unwrap(), 23);
        assert_eq!(followed.tell(&mut show), None);
        followed.take(b"o\nok\n").unwrap();
        let answer = followed.tell(&mut show).unwrap();
        assert_eq!(answer.end, End::Done);
        assert_eq!(shown, ["  one", "{\"event\":{}}", "  two"]);
        assert!(followed.take(b"").is_err(), "the other side has closed");
    }

    #[test]
    fn answers_end_in_one_way() {
        let refused = |code: &str, what: &str| End::Refused {
            code: code.to_owned(),
            what: what.to_owned(),
        };
        let table = [
            ("ok", Some(End::Done)),
            ("  ok", None),
            (
                "error usage usage: stat PATH",
                Some(refused("usage", "usage: stat PATH")),
            ),
            (
                "confirm by typing d-1",
                Some(End::Confirm("d-1".to_owned())),
            ),
            ("{\"ok\":true,\"rows\":[]}", Some(End::Done)),
            (
                "{\"ok\":false,\"confirm\":\"d-1\"}",
                Some(End::Confirm("d-1".to_owned())),
            ),
            (
                "{\"ok\":false,\"error\":{\"code\":\"busy\",\"what\":\"x\"}}",
                Some(refused("busy", "x")),
            ),
        ];
        for (line, expected) in table {
            assert_eq!(end_of(line), expected, "{line}");
        }
    }
}
