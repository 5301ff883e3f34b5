//! Logs: to standard error, filtered by `SDFS_LOG`, as text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The variable that says what is logged: `debug`, or `sdfs_raft=debug,warn`.
const FILTER_VARIABLE: &str = "SDFS_LOG";

/// What a server logs: its own life, and of the engines beneath only what is wrong. openraft
/// warns of every late heartbeat and tells every vote, which is news only to who debugs it.
pub(crate) const OF_A_SERVER: &str = "info,openraft=error,fjall=warn,lsm_tree=warn";
/// What any other command logs: errors come back as sentences anyhow.
pub(crate) const OF_A_COMMAND: &str = "off";

/// Sends logs to standard error. `usual` is what is logged when `SDFS_LOG` says nothing.
pub(crate) fn start(usual: &str, is_json: bool) {
    let filter = match EnvFilter::try_from_env(FILTER_VARIABLE) {
        Ok(filter) => filter,
        // Not set, or not understood: the usual, so that a typing error does not silence errors.
        Err(_) => EnvFilter::new(usual),
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = if is_json {
        logs.json().try_init()
    } else {
        logs.try_init()
    };
    if started.is_err() {
        crate::output::warn("sdfs: logs were started twice");
    }
}
