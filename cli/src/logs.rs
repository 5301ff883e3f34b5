//! Logs: to standard error, filtered by `SDFS_LOG`, as text or JSON.

use std::io::IsTerminal;

use std::sync::Arc;

use sdfs_server::{HandsFault, LogDial};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;

/// The variable that says what is logged: `debug`, or `sdfs_raft=debug,warn`.
const FILTER_VARIABLE: &str = "SDFS_LOG";

/// What a server logs: its own life, and of the engines beneath only what is wrong. openraft
/// warns of every late heartbeat and tells every vote, which is news only to who debugs it.
pub(crate) const OF_A_SERVER: &str = "info,openraft=error,fjall=warn,lsm_tree=warn";
/// What any other command logs: errors come back as sentences anyhow.
pub(crate) const OF_A_COMMAND: &str = "off";

/// Sends logs to standard error. `usual` is what is logged when `SDFS_LOG` says nothing. Returns
/// what turns them while the process runs.
pub(crate) fn start(usual: &str, is_json: bool) -> Option<LogDial> {
    let filter = match EnvFilter::try_from_env(FILTER_VARIABLE) {
        Ok(filter) => filter,
        // Not set, or not understood: the usual, so that a typing error does not silence errors.
        Err(_) => EnvFilter::new(usual),
    };
    let base = filter.to_string();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let (started, dial) = if is_json {
        let logs = logs.json().with_filter_reloading();
        let dial = dial(logs.reload_handle(), base);
        (logs.try_init(), dial)
    } else {
        let logs = logs.with_filter_reloading();
        let dial = dial(logs.reload_handle(), base);
        (logs.try_init(), dial)
    };
    if started.is_err() {
        crate::output::warn("sdfs: logs were started twice");
        return None;
    }
    Some(dial)
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
