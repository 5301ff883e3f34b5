//! The clients of a run, and what is shown of them while they work.

use std::cell::{Cell, RefCell};
use std::io::IsTerminal;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use indicatif::{ProgressBar, ProgressStyle};
use sdfs_client::{Client, ClientOptions};
use sdfs_server_group::{Config, Role};
use tokio::time::sleep;

use super::limits::LOOK_EVERY;
use super::nemesis::Seen;
use super::stage::connect;
use super::worker::{Work, Worker};
use crate::failure::Outcome;
use crate::output::Output;
use crate::units;

/// Clients, and what they have in common.
pub(super) struct Load {
    /// What they ask and are told.
    pub(super) work: Rc<Work>,
    /// The cluster's configuration.
    pub(super) config: Arc<Config>,
    /// A client that does not work: it looks at servers.
    pub(super) watcher: Client,
    /// A client of each mserver.
    pub(super) by_mserver: Vec<Client>,
    /// How many clients work.
    pub(super) clients: u32,
    seed: u64,
    workers: Vec<Client>,
}

impl Load {
    /// Connects the clients and makes their directories. One of four talks to the nearest
    /// mserver, the others to one each, whatever becomes of it.
    pub(super) async fn prepare(
        options: &ClientOptions,
        config: &Arc<Config>,
        seed: u64,
        clients: u32,
    ) -> Outcome<Load> {
        let watcher = connect(options, None).await?;
        let mut by_mserver = Vec::new();
        for mserver in config.servers_of(Role::Mserver) {
            by_mserver.push(connect(options, Some(mserver.name.to_string())).await?);
        }
        let mut workers = Vec::new();
        for number in 0..clients {
            let mut mservers = config.servers_of(Role::Mserver);
            let via = match usize::try_from(number % 4) {
                Ok(0) | Err(_) => None,
                Ok(place) => mservers.nth(place - 1),
            };
            workers.push(connect(options, via.map(|server| server.name.to_string())).await?);
        }
        let work = Rc::new(Work {
            root: format!("/sdfs-torture-{seed}"),
            began: Instant::now(),
            is_over: Cell::new(false),
            done: Cell::new((0, 0)),
            operations: RefCell::new(Vec::new()),
            renames: RefCell::new(Vec::new()),
        });
        watcher.mkdir(&work.root).await?;
        watcher.mkdir_all(&format!("{}/shared", work.root)).await?;
        for client in 0..clients {
            watcher.mkdir_all(&work.own(client)).await?;
        }
        Ok(Load {
            work,
            config: Arc::clone(config),
            watcher,
            by_mserver,
            clients,
            seed,
            workers,
        })
    }

    /// Works until it is over.
    pub(super) async fn run(&self) {
        let workers = (0..).zip(&self.workers).map(|(number, client)| {
            Worker::new(number, client.clone(), self.seed, Rc::clone(&self.work)).run()
        });
        join_all(workers).await;
    }

    /// Shows how far it is, on a terminal.
    pub(super) async fn show(&self, seen: &Rc<Seen>, lasts: Duration, out: Output) {
        if out.is_json() || !std::io::stderr().is_terminal() {
            return;
        }
        let bar = ProgressBar::new(lasts.as_secs());
        if let Ok(style) = ProgressStyle::with_template("{elapsed_precise}  {bar:24}  {msg}") {
            bar.set_style(style.progress_chars("━━─"));
        }
        while !self.work.is_over.get() {
            let (done, unknown) = self.work.done.get();
            let under_way = seen.under_way.borrow().join(", ");
            bar.set_position(self.work.began.elapsed().as_secs());
            bar.set_message(format!(
                "{} operations, {} unknown, {} faults  {under_way}",
                units::count(done),
                units::count(unknown),
                seen.begun.get(),
            ));
            sleep(LOOK_EVERY).await;
        }
        bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::history::{Ask, Operation, Outcome as Told};
    use crate::torture::judge::judge;
    use crate::torture::last;

    /// What three clients do to an embedded cluster in two seconds.
    async fn real_history() -> Vec<Operation> {
        let cluster = sdfs_server::Cluster::embedded(Default::default())
            .await
            .expect("a cluster");
        let config = Arc::clone(cluster.config());
        let options = ClientOptions::of_admin(Arc::clone(&config)).expect("options");
        let load = Load::prepare(&options, &config, 7, 3)
            .await
            .expect("clients");
        let end = async {
            sleep(Duration::from_secs(2)).await;
            load.work.is_over.set(true);
        };
        tokio::join!(load.run(), end);
        let (read_back, unreadable) = last::read_all(&load).await.expect("read");
        assert!(read_back > 10 && unreadable.is_empty(), "{unreadable:?}");
        load.work.settled()
    }

    #[tokio::test]
    async fn a_mutated_real_history_is_refused() {
        let history = real_history().await;
        assert!(history.len() > 50, "{}", history.len());
        let judgement = judge(&history);
        assert!(
            judgement.violations.is_empty(),
            "{:?}",
            judgement.violations
        );
        assert!(judgement.undecided.is_empty());
        // An acknowledged write that somebody has read is taken back.
        let seen = |value| history.iter().any(|one| one.outcome == Told::Saw(value));
        let put = history.iter().position(
            |one| matches!(one.ask, Ask::Put(value) if one.outcome == Told::Done && seen(value)),
        );
        let mut lost = history.clone();
        lost[put.expect("a put that was read")].outcome = Told::Failed("not done".to_owned());
        assert_eq!(judge(&lost).violations.len(), 1);
        // A name that was read in the end has nothing.
        let read = history
            .iter()
            .rposition(|one| matches!(one.outcome, Told::Saw(_)));
        let mut gone = history.clone();
        gone[read.expect("a read")].outcome = Told::Absent;
        assert_eq!(judge(&gone).violations.len(), 1);
        // A read brings what was overwritten before.
        let mut stale = history.clone();
        let last = stale
            .iter()
            .rposition(|one| matches!(one.outcome, Told::Saw(_)));
        let last = last.expect("a read");
        let (name, value) = (stale[last].name.clone(), stale[last].outcome.clone());
        let old = history
            .iter()
            .filter(|one| one.name == name && one.outcome == Told::Done);
        let old = old
            .filter_map(|one| one.ask.value())
            .find(|old| Told::Saw(*old) != value);
        stale[last].outcome = Told::Saw(old.unwrap_or(0));
        assert!(!judge(&stale).violations.is_empty());
    }
}
