//! A whole cluster on this machine as child processes: started, watched, stopped. Used by `up`
//! and `demo`.

mod child;
mod log_file;
mod ready;

pub(crate) use child::{Child, ChildLog, Ended, MALLOC_ARENAS, MALLOC_ARENAS_VARIABLE};
pub(crate) use ready::wait_ready;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use sdfs_server_group::{Config, ServerConfig};

use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::view::pid_in;

/// How long a server may take to stop before it is killed: it drains calls and syncs its logs.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// Spaces and the processes that have to hold them: another cluster of the same configuration
/// would answer for ours as well.
#[derive(Debug)]
pub(crate) struct Holds(Vec<(PathBuf, u32)>);

impl Holds {
    /// The first space that is not held by its process yet.
    fn missing(&self) -> Option<&Path> {
        let missing = self
            .0
            .iter()
            .find(|(space, pid)| pid_in(space) != Some(*pid));
        missing.map(|(space, _)| space.as_path())
    }
}

/// All servers of a configuration as children of this process. Dropped, they are killed.
#[derive(Debug)]
pub(crate) struct Children {
    config: Arc<Config>,
    config_file: PathBuf,
    log: ChildLog,
    /// By which words a server is started that is not started directly.
    through: BTreeMap<String, Vec<String>>,
    running: Vec<Child>,
}

impl Children {
    /// Starts every server; when one cannot be started, those that were are stopped again.
    pub(crate) async fn start(
        config: Arc<Config>,
        config_file: PathBuf,
        log: ChildLog,
    ) -> Outcome<Children> {
        Children::start_through(config, config_file, log, BTreeMap::new()).await
    }

    /// As `start`, the servers that are in `through` by the words there.
    pub(crate) async fn start_through(
        config: Arc<Config>,
        config_file: PathBuf,
        log: ChildLog,
        through: BTreeMap<String, Vec<String>>,
    ) -> Outcome<Children> {
        let mut children = Children {
            config,
            config_file,
            log,
            through,
            running: Vec::new(),
        };
        for server in &children.config.clone().servers {
            if let Err(failure) = children.start_one(server) {
                // How the others end is not what went wrong.
                drop(children.stop().await?);
                return Err(failure);
            }
        }
        Ok(children)
    }

    /// The configuration they run on.
    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Who has to hold which space once all of them run.
    pub(crate) fn holds(&self) -> Holds {
        let hold = |child: &Child| {
            let server = self.config.server_named(child.name())?;
            let pid = u32::try_from(child.pid()?).ok()?;
            Some((server.space.first()?.clone(), pid))
        };
        Holds(self.running.iter().filter_map(hold).collect())
    }

    /// Those that run.
    pub(crate) fn running(&self) -> &[Child] {
        &self.running
    }

    fn start_one(&mut self, server: &ServerConfig) -> Outcome {
        let through = self.through.get(server.name.as_str());
        let words = through.map_or(&[][..], Vec::as_slice);
        let child = Child::start(server, &self.config_file, self.log, words)?;
        self.running.push(child);
        Ok(())
    }

    /// Starts one that does not run.
    pub(crate) fn start_again(&mut self, name: &str) -> Outcome {
        let config = Arc::clone(&self.config);
        match config.server_named(name) {
            Some(server) if self.running_named(name).is_none() => self.start_one(server),
            _ => Ok(()),
        }
    }

    /// One that runs.
    pub(crate) fn running_named(&self, name: &str) -> Option<&Child> {
        self.running.iter().find(|child| child.name() == name)
    }

    /// Waits until one of them ends, and takes it off the list. Never returns when none runs.
    pub(crate) async fn next_ended(&mut self) -> Ended {
        let waits = self
            .running
            .iter_mut()
            .enumerate()
            .map(|(place, child)| async move {
                let ended = child.ended().await;
                (place, ended)
            });
        let mut waits: FuturesUnordered<_> = waits.collect();
        match waits.next().await {
            Some((place, ended)) => {
                drop(waits);
                drop(self.running.swap_remove(place));
                ended
            }
            None => std::future::pending().await,
        }
    }

    /// Kills one at once, as a crash would (SIGKILL), and waits until it is gone.
    pub(crate) async fn kill(&mut self, name: &str) -> Outcome<Ended> {
        let Some(place) = self.running.iter().position(|child| child.name() == name) else {
            return Err(Failure::new(Code::NotFound, format!("{name} does not run")));
        };
        let mut child = self.running.swap_remove(place);
        child.kill()?;
        Ok(child.ended().await)
    }

    /// Kills all at once, as a power cut would, and waits until they are gone.
    pub(crate) async fn kill_all(&mut self) -> Outcome {
        for child in &mut self.running {
            child.kill()?;
        }
        for mut child in std::mem::take(&mut self.running) {
            // It was killed; how it ended is known.
            drop(child.ended().await);
        }
        Ok(())
    }

    /// Stops all that run, cleanly; those that do not stop in time are killed. Returns how those
    /// ended that did not stop as they should.
    pub(crate) async fn stop(&mut self) -> Outcome<Vec<Ended>> {
        for child in &self.running {
            // A frozen one would not hear it.
            child.thaw()?;
            child.ask_to_stop()?;
        }
        let stops = std::mem::take(&mut self.running).into_iter().map(stop_one);
        let ended: Vec<_> = futures::future::join_all(stops).await;
        let ended = ended.into_iter().collect::<Outcome<Vec<_>>>()?;
        Ok(ended
            .into_iter()
            .filter(|ended| !ended.is_clean())
            .collect())
    }
}

async fn stop_one(mut child: Child) -> Outcome<Ended> {
    match tokio::time::timeout(STOP_WITHIN, child.ended()).await {
        Ok(ended) => Ok(ended),
        Err(_) => {
            child.kill()?;
            Ok(child.ended().await.too_slow(STOP_WITHIN))
        }
    }
}
