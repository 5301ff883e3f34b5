//! Logs: to standard error, filtered by `SDFS_LOG`, as text or JSON.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use sdfs_server::{HandsFault, LogDial};
use sdfs_server_group::limits::TRACE_TARGET;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

use crate::log_repeats::Repeats;
use crate::spans::Spans;

/// The variable that says what is logged: `debug`, or `sdfs_raft=debug,warn`.
const FILTER_VARIABLE: &str = "SDFS_LOG";

/// What a server logs: its own life, and of the engines beneath only what is wrong. openraft
/// warns of every late heartbeat and tells every vote, which is news only to who debugs it.
pub(crate) const OF_A_SERVER: &str = "info,openraft=error,fjall=warn,lsm_tree=warn";
/// What any other command logs: errors come back as sentences anyhow.
pub(crate) const OF_A_COMMAND: &str = "off";

/// What can be done with the logs of this process while it runs.
#[derive(Default)]
pub(crate) struct Logs {
    /// Turns them; `None` when somebody else has started logs.
    pub(crate) dial: Option<LogDial>,
    /// Where operations that are told of are sent beside.
    pub(crate) spans: Spans,
}

/// Sends logs to standard error. `usual` is what is logged when `SDFS_LOG` says nothing; as JSON
/// each line names `server`.
pub(crate) fn start(usual: &str, is_json: bool, server: Option<&str>) -> Logs {
    let filter = match EnvFilter::try_from_env(FILTER_VARIABLE) {
        Ok(filter) => filter.to_string(),
        // Not set, or not understood: the usual, so that a typing error does not silence errors.
        Err(_) => usual.to_owned(),
    };
    let base = match server {
        // What somebody has the logs tell of is told, however little they say besides.
        Some(_) if !filter.contains(TRACE_TARGET) => format!("{filter},{TRACE_TARGET}=info"),
        _ => filter,
    };
    let filter = EnvFilter::new(&base);
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().log_internal_errors(false);
    let spans = Spans::default();
    let logs = Registry::default()
        .with(filter)
        .with(Repeats::default())
        .with(spans.clone());
    let started = if is_json {
        let server = server.map(str::to_owned);
        let out = move || Sink {
            server: server.clone(),
        };
        logs.with(lines.json().with_writer(out)).try_init()
    } else {
        let is_terminal = std::io::stderr().is_terminal();
        let out = || Sink { server: None };
        logs.with(lines.with_writer(out).with_ansi(is_terminal))
            .try_init()
    };
    if started.is_err() {
        crate::output::warn("sdfs: logs were started twice");
        return Logs::default();
    }
    Logs {
        dial: Some(dial(handle, base)),
        spans,
    }
}

/// Where lines go. Never fails: a disk that takes no log lines any more is no reason to end the
/// server that says so.
struct Sink {
    /// Whom each line, an object, is from.
    server: Option<String>,
}

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let named = self.server.as_ref();
        let named = named.and_then(|server| with_server(line, server));
        let out = named.as_deref().unwrap_or(line);
        std::io::stderr().write_all(out).unwrap_or(());
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A line that is an object, with one field more in front.
fn with_server(line: &[u8], server: &str) -> Option<Vec<u8>> {
    let rest = line.strip_prefix(b"{")?;
    let server = serde_json::to_vec(server).ok()?;
    Some([b"{\"server\":", &server[..], b",", rest].concat())
}

/// Turns the logs: as they were started, and beside that as it is told.
fn dial<S: 'static>(handle: Handle<EnvFilter, S>, base: String) -> LogDial {
    Arc::new(move |beside: &[String]| {
        let mut wanted = vec![base.clone()];
        wanted.extend_from_slice(beside);
        let filter = EnvFilter::try_new(wanted.join(","))
            .map_err(|error| HandsFault::Filter(error.to_string()))?;
        let turned = handle.reload(filter);
        turned.map_err(|error| HandsFault::Filter(error.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_their_server() {
        let line = with_server(b"{\"level\":\"WARN\"}\n", "dserver-\"1\"").expect("an object");
        let line: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(line["server"], "dserver-\"1\"");
        assert_eq!(line["level"], "WARN");
        assert_eq!(with_server(b"plain", "x"), None);
    }
}
