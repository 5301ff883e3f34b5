//! The console: listening, and a task for each session. A line protocol for people with `nc` and
//! for programs; `docs/CONSOLE.md` has its grammar.

mod command;
mod counters;
mod explain;
mod files;
mod hands;
mod heal;
mod help;
mod line;
mod login;
mod look;
mod order;
mod reply;
mod session;
mod top;
mod trace;
mod words;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use sdfs_net_layer::{Acceptor, Transport};
use sdfs_server_group::Network;
use sdfs_types::calls::activity::Severity;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::allowed::is_allowed;
use crate::lately::Lately;
use crate::limits::{ACCEPT_PAUSE, SESSIONS_MAX};
use crate::observed::Observed;
pub(crate) use command::command;
pub use counters::ConsoleCounters;
use counters::Ended;
pub use hands::{Hands, HandsFault};
pub use help::{HELP, Help};
pub(crate) use line::Lines;
pub use login::{CLUSTER_LOGIN_LABEL, greeting_of, signed_text};
use session::Session;

/// What the console is opened with.
pub struct ConsoleOptions {
    /// Where it listens.
    pub address: SocketAddr,
    /// Who may connect; empty for everybody.
    pub allow: Vec<Network>,
    /// The server it tells of.
    pub server: Arc<dyn Observed>,
    /// What it can do there.
    pub hands: Arc<dyn Hands>,
    /// What happened there of late.
    pub lately: watch::Receiver<Arc<Lately>>,
    /// Where it tells of what is done.
    pub tell: mpsc::Sender<(Severity, String)>,
    /// What it counts.
    pub counters: Arc<ConsoleCounters>,
}

/// An open console. Dropped, it is closed with all its sessions.
pub struct ConsoleDoor {
    address: SocketAddr,
    task: AbortHandle,
}

impl ConsoleDoor {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ConsoleDoor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What all sessions share.
pub(crate) struct Console {
    pub(crate) server: Arc<dyn Observed>,
    pub(crate) hands: Arc<dyn Hands>,
    pub(crate) lately: watch::Receiver<Arc<Lately>>,
    pub(crate) tell: mpsc::Sender<(Severity, String)>,
    pub(crate) counters: Arc<ConsoleCounters>,
    /// Who is here, by a number counted from 1.
    pub(crate) people: watch::Sender<BTreeMap<u64, Person>>,
    /// What is logged beside the usual, by target.
    pub(crate) log_levels: watch::Sender<BTreeMap<String, String>>,
}

/// Somebody at the console.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) user: String,
    pub(crate) from: SocketAddr,
    pub(crate) since_ms: u64,
}

/// Opens the console, on the runtime of the caller.
///
/// # Errors
/// When the address is taken.
pub async fn start_console(
    transport: &dyn Transport,
    options: ConsoleOptions,
) -> io::Result<ConsoleDoor> {
    let acceptor = transport.bind(options.address).await?;
    let address = acceptor.local_address()?;
    let console = Arc::new(Console {
        server: options.server,
        hands: options.hands,
        lately: options.lately,
        tell: options.tell,
        counters: options.counters,
        people: watch::Sender::default(),
        log_levels: watch::Sender::default(),
    });
    let task = tokio::spawn(accept_all(acceptor, options.allow, console)).abort_handle();
    Ok(ConsoleDoor { address, task })
}

async fn accept_all(mut acceptor: Box<dyn Acceptor>, allow: Vec<Network>, console: Arc<Console>) {
    // Dropped with this task, it ends the sessions.
    let mut sessions = JoinSet::new();
    let mut number = 0;
    loop {
        console.counters.set_sessions(sessions.len());
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            Some(_) = sessions.join_next() => continue,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection is accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if !is_allowed(&allow, from.ip()) {
            console.counters.count_ended(Ended::NotAllowed);
        } else if sessions.len() >= SESSIONS_MAX {
            console.counters.count_ended(Ended::TooMany);
        } else {
            number += 1;
            let session = Session::new(Arc::clone(&console), stream, (from, number));
            sessions.spawn(async move {
                let why = session.run().await;
                tracing::debug!(%from, ?why, "a console session has ended");
            });
        }
    }
}
