//! A cluster of real processes on free ports in a temporary folder, each of which can be killed,
//! frozen and started by itself.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use sdfs_client::{Client, ClientOptions, Error};
use sdfs_server::{ClusterOptions, make_missing_secrets, write_config};
use sdfs_server_group::Config;
use sdfs_types::{MemberState, VolumeMap};
use tempfile::TempDir;

/// How long a cluster may take to be of use again after any fault: election and fencing take
/// about two seconds, a loaded machine many times that.
pub(crate) const HEALED_WITHIN: Duration = Duration::from_secs(60);

/// Tests mostly wait, so as many run at a time as there are cores; one that compares times has
/// the machine to itself.
static MACHINE: RwLock<()> = RwLock::new(());

/// A share of the machine, or all of it.
enum Share {
    Some {
        _held: RwLockReadGuard<'static, ()>,
    },
    All {
        _held: RwLockWriteGuard<'static, ()>,
    },
}

impl Share {
    fn some() -> Share {
        let _held = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        Share::Some { _held }
    }

    fn all() -> Share {
        let _held = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
        Share::All { _held }
    }
}

/// The processes of one cluster; killed when dropped. A test fails when one of them has ended that
/// it has not killed.
pub(crate) struct Servers {
    folder: TempDir,
    config: Arc<Config>,
    running: BTreeMap<String, Child>,
    _share: Share,
}

impl Servers {
    /// Starts so many servers and waits until metadata and data accept writes.
    pub(crate) async fn start(mservers: u16, dservers: u16) -> Servers {
        Servers::prepare(mservers, dservers).started().await
    }

    /// As [`Servers::start`] while no other test runs.
    pub(crate) async fn start_alone(mservers: u16, dservers: u16) -> Servers {
        let options = options(mservers, dservers);
        Servers::prepare_in(Share::all(), &options).started().await
    }

    async fn started(mut self) -> Servers {
        self.spawn_all();
        self.usable().await;
        self
    }

    /// Writes the configuration of a cluster without starting anything.
    pub(crate) fn prepare(mservers: u16, dservers: u16) -> Servers {
        Servers::prepare_with(&options(mservers, dservers))
    }

    /// As [`Servers::prepare`], with more to choose.
    pub(crate) fn prepare_with(options: &ClusterOptions) -> Servers {
        Servers::prepare_in(Share::some(), options)
    }

    fn prepare_in(share: Share, options: &ClusterOptions) -> Servers {
        let folder = tempfile::Builder::new()
            .prefix("sdfs-faults")
            .tempdir()
            .expect("a folder");
        let path = write_config(folder.path(), options).expect("a configuration");
        let config = Arc::new(Config::load(&path).expect("a good configuration"));
        make_missing_secrets(&config).expect("secrets");
        Servers {
            folder,
            config,
            running: BTreeMap::new(),
            _share: share,
        }
    }

    /// Every server's name.
    pub(crate) fn names(&self) -> Vec<String> {
        self.config
            .servers
            .iter()
            .map(|server| server.name.to_string())
            .collect()
    }

    /// The names of the mservers.
    pub(crate) fn mservers(&self) -> Vec<String> {
        self.names()
            .into_iter()
            .filter(|name| name.starts_with("mserver"))
            .collect()
    }

    /// The cluster's configuration.
    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Starts every server that does not run.
    pub(crate) fn spawn_all(&mut self) {
        for name in self.names() {
            if !self.running.contains_key(&name) {
                self.spawn(&name);
            }
        }
    }

    /// Starts one server.
    pub(crate) fn spawn(&mut self, name: &str) {
        let config = self.folder.path().join("config.conf");
        self.spawn_with(name, &config, &[]);
    }

    /// Starts a server that joins the others, with a configuration of its own.
    pub(crate) fn spawn_joining(&mut self, name: &str, config: &Path) {
        let mserver = self.config.servers[0].address.to_string();
        self.spawn_with(name, config, &["--join", &mserver]);
    }

    fn spawn_with(&mut self, name: &str, config: &Path, arguments: &[&str]) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path(name))
            .expect("a log file");
        let child = Command::new(env!("CARGO_BIN_EXE_sdfs"))
            .args(["serve", "--name", name, "--config"])
            .arg(config)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server starts");
        let before = self.running.insert(name.to_owned(), child);
        assert!(before.is_none(), "{name} ran already");
    }

    /// Waits until a server has ended by itself: its exit code, and its log.
    pub(crate) async fn ended(&mut self, name: &str) -> (i32, String) {
        let begun = Instant::now();
        let child = self.running.get_mut(name).expect("the server was started");
        let status = loop {
            if let Some(status) = child.try_wait().expect("waited") {
                break status;
            }
            assert!(
                begun.elapsed() < HEALED_WITHIN,
                "{name} goes on\n{}",
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        self.running.remove(name);
        let log = std::fs::read_to_string(self.log_path(name));
        (status.code().unwrap_or(-1), log.expect("a log"))
    }

    /// Where everything of this cluster is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills one server with SIGKILL; until now it must have run.
    pub(crate) fn kill(&mut self, name: &str) {
        let mut child = self.running.remove(name).expect("the server was started");
        let before = child.try_wait().expect("waited");
        assert!(before.is_none(), "{}", self.told_ended(name, &before));
        child.kill().expect("it can be killed");
        let status = child.wait().expect("it ends");
        let is_killed = status.signal() == Some(Signal::KILL.as_raw());
        assert!(is_killed, "{}", self.told_ended(name, &status));
    }

    /// Fails when a server has ended that nobody has ended.
    pub(crate) fn assert_all_run(&self) {
        let ended = self.ended_by_themselves();
        assert!(ended.is_empty(), "{ended}");
    }

    /// Those that nobody has ended and that have: how, and the last lines of their logs. They stay
    /// to be waited for.
    fn ended_by_themselves(&self) -> String {
        let looking = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let mut told = String::new();
        for (name, child) in &self.running {
            let status = waitid(WaitId::Pid(id_of(child)), looking).expect("a child of ours");
            if let Some(status) = status {
                told.push_str(&self.told_ended(name, &status));
            }
        }
        told
    }

    fn told_ended(&self, name: &str, status: &impl Debug) -> String {
        let log = self.log_end(name);
        format!("{name} has ended by itself: {status:?}\n{log}\n")
    }

    /// Kills every server that runs with SIGKILL.
    pub(crate) fn kill_all(&mut self) {
        let names: Vec<String> = self.running.keys().cloned().collect();
        for name in &names {
            self.signal(name, Signal::STOP);
        }
        for name in &names {
            self.kill(name);
        }
    }

    /// Stops one server in its tracks; its connections stay open. On a busy machine its threads may
    /// run on for a moment: when this returns none does.
    pub(crate) fn freeze(&self, name: &str) {
        self.signal(name, Signal::STOP);
        let tasks = format!("/proc/{}/task", self.running[name].id());
        let begun = Instant::now();
        while !all_stopped(&tasks) {
            assert!(begun.elapsed() < HEALED_WITHIN, "{name} does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets a frozen server go on.
    pub(crate) fn thaw(&self, name: &str) {
        self.signal(name, Signal::CONT);
    }

    fn signal(&self, name: &str, signal: Signal) {
        kill_process(id_of(&self.running[name]), signal).expect("the process is ours");
    }

    /// The processes that run, by name.
    pub(crate) fn process_ids(&self) -> Vec<(String, u32)> {
        self.running
            .iter()
            .map(|(name, child)| (name.clone(), child.id()))
            .collect()
    }

    /// A client that takes the nearest mserver.
    pub(crate) async fn client(&self) -> Client {
        self.client_with(|_| ()).await
    }

    /// A client that talks to one mserver only.
    pub(crate) async fn client_via(&self, mserver: &str) -> Client {
        self.client_with(|options| options.via = Some(mserver.to_owned()))
            .await
    }

    async fn client_with(&self, change: impl FnOnce(&mut ClientOptions)) -> Client {
        let mut options = ClientOptions::of_admin(Arc::clone(&self.config)).expect("options");
        options.timeout = Duration::from_secs(20);
        change(&mut options);
        let begun = Instant::now();
        loop {
            self.assert_all_run();
            match Client::connect(options.clone()).await {
                Ok(client) => return client,
                Err(error) if begun.elapsed() > HEALED_WITHIN => {
                    panic!("no client: {error}\n{}", self.logs())
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Waits until a file can be stored and read, and everybody runs.
    pub(crate) async fn usable(&self) {
        let client = self.client().await;
        let begun = Instant::now();
        loop {
            self.assert_all_run();
            match try_a_file(&client).await {
                Ok(()) => return,
                Err(error) if begun.elapsed() > HEALED_WITHIN => {
                    panic!("not usable: {error}\n{}", self.logs())
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Waits until every member of every volume is in sync, and everybody runs.
    pub(crate) async fn healed(&self) {
        let client = self.client().await;
        let begun = Instant::now();
        loop {
            self.assert_all_run();
            match client.volume_map().await {
                Ok(map) if is_whole(&map) => return,
                other if begun.elapsed() > HEALED_WITHIN => {
                    panic!("not healed: {other:?}\n{}", self.logs())
                }
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Runs a command of `sdfs` against this cluster: its exit code, and what it printed.
    pub(crate) fn sdfs(&self, arguments: &[&str]) -> (i32, String) {
        self.sdfs_with(&self.folder.path().join("config.conf"), arguments)
    }

    /// As [`Servers::sdfs`], with another configuration.
    pub(crate) fn sdfs_with(&self, config: &Path, arguments: &[&str]) -> (i32, String) {
        let done = Command::new(env!("CARGO_BIN_EXE_sdfs"))
            .args(arguments)
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .output()
            .expect("the command runs");
        let mut said = String::from_utf8_lossy(&done.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&done.stderr));
        (done.status.code().unwrap_or(-1), said)
    }

    /// Rewrites the configuration that servers started from now on read.
    pub(crate) fn rewrite_config(&self, change: impl FnOnce(String) -> String) {
        let path = self.folder.path().join("config.conf");
        let text = std::fs::read_to_string(&path).expect("a configuration");
        std::fs::write(&path, change(text)).expect("it can be written");
    }

    /// The last lines of every server's log.
    pub(crate) fn logs(&self) -> String {
        let mut all = String::new();
        for name in self.names() {
            all.push_str(&format!("--- {name}\n{}\n", self.log_end(&name)));
        }
        all
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    fn log_end(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.log_path(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

fn id_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed()).expect("a process id")
}

fn options(mservers: u16, dservers: u16) -> ClusterOptions {
    ClusterOptions {
        mservers,
        dservers,
        ..ClusterOptions::default()
    }
}

fn is_whole(map: &VolumeMap) -> bool {
    let mut members = map.volumes.values().flat_map(|volume| &volume.members);
    !map.volumes.is_empty() && members.all(|member| member.state == MemberState::InSync)
}

async fn try_a_file(client: &Client) -> Result<(), Error> {
    client.put("/.usable", "yes", Default::default()).await?;
    client.get("/.usable").await?;
    client.delete("/.usable").await?;
    Ok(())
}

impl Drop for Servers {
    fn drop(&mut self) {
        // A test that has failed says why itself.
        let ended = if std::thread::panicking() {
            String::new()
        } else {
            self.ended_by_themselves()
        };
        for child in self.running.values_mut() {
            // Gone already: that is what is wanted.
            child.kill().unwrap_or(());
            child.wait().map(drop).unwrap_or(());
        }
        assert!(ended.is_empty(), "{ended}");
    }
}

/// A runtime of its own for one test.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test)
}

/// Whether every thread of a process is stopped by a signal.
fn all_stopped(tasks: &str) -> bool {
    let tasks = std::fs::read_dir(tasks).expect("the process is there");
    let mut states = tasks.flatten().map(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // The name before it, in brackets, may hold anything.
        let state = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.chars().next());
        state == Some('T')
    });
    states.all(|is_stopped| is_stopped)
}
