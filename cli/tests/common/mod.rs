//! Clusters of real processes for tests: started by `sdfs up` in a temporary folder on free
//! ports, servers killed, frozen and started again by name, everything gone at the end.
//!
//! ```ignore
//! let mut cluster = TestCluster::start();
//! cluster.ok(&["put", "file", "/file"]);
//! cluster.kill("dserver-1");
//! cluster.ok(&["get", "/file", "-"]);
//! cluster.restart("dserver-1");
//! ```

// Every test file takes of this what it needs, and fails where it does not get it.
#![allow(dead_code, unreachable_pub, clippy::panic)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sdfs_server::{ClusterOptions, write_config};
use sdfs_server_group::Config;
use tempfile::TempDir;

/// The program under test.
pub const SDFS: &str = env!("CARGO_BIN_EXE_sdfs");
/// How long a cluster may take to stand on a machine that is busy with other tests.
pub const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long a cluster may take to stop.
pub const STOP_WITHIN: Duration = Duration::from_secs(40);

/// A cluster of processes. Dropped, all of them are gone.
pub struct TestCluster {
    pub folder: TempDir,
    pub config_file: PathBuf,
    pub config: Config,
    up: Option<Child>,
    /// Servers started again by the test itself.
    restarted: BTreeMap<String, Child>,
}

/// What a run of `sdfs` came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs `sdfs` without any cluster.
pub fn sdfs(words: &[&str]) -> Ran {
    Command::new(SDFS)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("sdfs runs")
        .into()
}

/// Waits for `condition`, looking often; panics with `what` when it does not come true.
pub fn wait_until(what: &str, within: Duration, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(
            begin.elapsed() < within,
            "after {within:?} still not: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Options with small segments and no reserve, so that a test needs little disk.
pub fn small() -> ClusterOptions {
    ClusterOptions {
        name: "test".to_owned(),
        storage: Some("storage: (segment_bytes: 16777216, reserve_bytes: 0)".to_owned()),
        ..ClusterOptions::default()
    }
}

impl TestCluster {
    /// Three mservers and three dservers that take writes.
    pub fn start() -> TestCluster {
        TestCluster::with(&small())
    }

    /// A cluster that takes writes.
    pub fn with(options: &ClusterOptions) -> TestCluster {
        let mut cluster = TestCluster::prepared(options);
        cluster.up();
        cluster
    }

    /// A cluster that is written down and not started.
    pub fn prepared(options: &ClusterOptions) -> TestCluster {
        let folder = tempfile::Builder::new()
            .prefix("sdfs-test-")
            .tempdir()
            .expect("a folder");
        let config_file = write_config(folder.path(), options).expect("written");
        let config = Config::load(&config_file).expect("read back");
        TestCluster {
            folder,
            config_file,
            config,
            up: None,
            restarted: BTreeMap::new(),
        }
    }

    /// One cluster for all tests of a file that run at the same time and harm nothing.
    pub fn shared() -> Arc<TestCluster> {
        static SHARED: Mutex<Weak<TestCluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|broken| broken.into_inner());
        if let Some(cluster) = shared.upgrade() {
            return cluster;
        }
        let cluster = Arc::new(TestCluster::start());
        *shared = Arc::downgrade(&cluster);
        cluster
    }

    /// Starts all servers and waits for `ready`.
    pub fn up(&mut self) {
        let up = self.command(&["up", "--ready-within", "110s"]);
        self.up_by(up);
    }

    /// Starts all servers by a command that becomes `up`, and waits for `ready`.
    pub fn up_by(&mut self, mut command: Command) {
        let mut up = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sdfs runs");
        let stdout = up.stdout.take().expect("piped");
        let stderr = up.stderr.take().expect("piped");
        // Read to the end, or `up` would block on a full pipe; shown when it does not get ready.
        let words = std::thread::spawn(move || {
            BufReader::new(stderr)
                .lines()
                .map_while(Result::ok)
                .collect::<Vec<_>>()
                .join("\n")
        });
        let is_ready = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .any(|line| line == "ready");
        if !is_ready {
            let status = up.wait().expect("waited");
            let words = words.join().unwrap_or_default();
            panic!(
                "the cluster did not get ready ({status}): {words}\n{}",
                self.logs()
            );
        }
        self.up = Some(up);
    }

    /// A run of `sdfs` on this cluster, to be changed before it is started.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(SDFS);
        command
            .arg("--config")
            .arg(&self.config_file)
            .args(words)
            .stdin(Stdio::null());
        command.current_dir(self.folder.path());
        command
    }

    /// Runs `sdfs` on this cluster.
    pub fn run(&self, words: &[&str]) -> Ran {
        self.command(words).output().expect("sdfs runs").into()
    }

    /// Runs `sdfs` on this cluster and expects exit code 0; gives its output.
    pub fn ok(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, 0, "sdfs {words:?}: {}{}", ran.out, ran.err);
        ran.out
    }

    /// Runs `sdfs --json` on this cluster and expects exit code 0; gives its value.
    pub fn json(&self, words: &[&str]) -> serde_json::Value {
        let words: Vec<_> = ["--json"].iter().chain(words).copied().collect();
        let out = self.ok(&words);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error} in {out}"))
    }

    /// Runs `sdfs` on this cluster and expects that exit code; gives its words on stderr.
    pub fn fails(&self, code: i32, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, code, "sdfs {words:?}: {}{}", ran.out, ran.err);
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        ran.err
    }

    /// Runs `sdfs` with `input` on its standard input; gives the raw output.
    pub fn pipe(&self, words: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sdfs runs");
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().expect("waited");
        writer
            .join()
            .expect("no panic")
            .expect("sdfs reads all of it");
        output
    }

    /// A file in the cluster's folder with this content; gives its path.
    pub fn local(&self, name: &str, content: &[u8]) -> String {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, content).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    }

    /// The process id of a running server.
    pub fn pid(&self, server: &str) -> Option<Pid> {
        let space = self
            .config
            .server_named(server)
            .expect("a known server")
            .space
            .first();
        let lock = space.expect("a space").join(sdfs_server::LOCK_FILE);
        let pid = std::fs::read_to_string(lock).ok()?.trim().parse().ok()?;
        let name = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        // The id may have gone to another process since.
        let is_it = name
            .split(|byte| *byte == 0)
            .any(|word| word == server.as_bytes());
        Pid::from_raw(pid).filter(|_| is_it)
    }

    /// Whether a server's process runs (a frozen one does).
    pub fn runs(&self, server: &str) -> bool {
        self.pid(server).is_some()
    }

    /// Kills a server (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self, server: &str) {
        self.signal(server, Signal::KILL);
        if let Some(mut child) = self.restarted.remove(server) {
            child.wait().expect("waited");
        }
        wait_until(&format!("{server} is gone"), STOP_WITHIN, || {
            !self.runs(server)
        });
    }

    /// Freezes a server (SIGSTOP).
    pub fn freeze(&self, server: &str) {
        self.signal(server, Signal::STOP);
    }

    /// Lets a frozen server go on (SIGCONT).
    pub fn thaw(&self, server: &str) {
        self.signal(server, Signal::CONT);
    }

    /// Sends a signal to a running server.
    pub fn signal(&self, server: &str, signal: Signal) {
        let pid = self
            .pid(server)
            .unwrap_or_else(|| panic!("{server} does not run"));
        kill_process(pid, signal).expect("signalled");
    }

    /// Starts a server that is gone again; `status` tells when it is up.
    pub fn restart(&mut self, server: &str) {
        assert!(!self.runs(server), "{server} runs already");
        let log = self.folder.path().join(format!("{server}.again.log"));
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log");
        let child = self
            .command(&["serve", "--name", server])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sdfs runs");
        self.restarted.insert(server.to_owned(), child);
    }

    /// Waits for the end of a server that the test started itself; gives how it ended.
    pub fn wait_restarted(&mut self, server: &str) -> ExitStatus {
        let mut child = self.restarted.remove(server).expect("started by the test");
        let mut status = None;
        wait_until(&format!("{server} has ended"), STOP_WITHIN, || {
            status = child.try_wait().expect("waited");
            status.is_some()
        });
        status.expect("just seen")
    }

    /// The process that started a server: `up`, unless the test started it itself.
    pub fn parent_of(&self, server: &str) -> Pid {
        let pid = self
            .pid(server)
            .unwrap_or_else(|| panic!("{server} does not run"));
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid()));
        let stat = stat.expect("it runs");
        let (_, fields) = stat.rsplit_once(')').expect("a command name");
        let parent = fields.split_whitespace().nth(1).expect("a parent").parse();
        Pid::from_raw(parent.expect("a number")).expect("not zero")
    }

    /// Reaps an `up` that the test has killed.
    pub fn forget_up(&mut self) {
        let mut up = self.up.take().expect("it was up");
        up.wait().expect("waited");
    }

    /// Waits until every server answers and is connected with every other.
    pub fn wait_whole(&self) {
        wait_until("every server is up", READY_WITHIN, || {
            let ran = self.run(&["--json", "--timeout", "5s", "status"]);
            let Ok(status) = serde_json::from_str::<serde_json::Value>(&ran.out) else {
                return false;
            };
            let servers = status["servers"].as_array().cloned().unwrap_or_default();
            servers.len() == self.config.servers.len() && servers.iter().all(is_connected)
        });
    }

    /// Ends `up` by SIGTERM and waits; gives how it ended.
    pub fn down(&mut self) -> ExitStatus {
        self.down_by(Signal::TERM)
    }

    /// Ends `up` by that signal and waits; gives how it ended.
    pub fn down_by(&mut self, signal: Signal) -> ExitStatus {
        let mut up = self.up.take().expect("it is up");
        send(&up, signal);
        let mut status = None;
        wait_until("up has ended", STOP_WITHIN, || {
            status = up.try_wait().expect("waited");
            status.is_some()
        });
        status.expect("just seen")
    }

    /// The ends of all servers' logs, for a failed test.
    pub fn logs(&self) -> String {
        let mut all = String::new();
        for server in &self.config.servers {
            for space in &server.space {
                let log = std::fs::read_to_string(space.join("server.log")).unwrap_or_default();
                let lines: Vec<_> = log.lines().rev().take(8).collect();
                for line in lines.into_iter().rev() {
                    all.push_str(&format!("{}: {line}\n", server.name));
                }
            }
        }
        all
    }
}

fn is_connected(server: &serde_json::Value) -> bool {
    let peers = server["status"]["peers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    !peers.is_empty() && peers.iter().all(|peer| peer["state"] == "Up")
}

fn send(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        kill_process(pid, signal).unwrap_or(());
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        // Frozen servers would not hear that they are to stop.
        for server in self.config.servers.clone() {
            if let Some(pid) = self.pid(server.name.as_str()) {
                kill_process(pid, Signal::CONT).unwrap_or(());
            }
        }
        for (_, mut child) in std::mem::take(&mut self.restarted) {
            child.kill().unwrap_or(());
            child.wait().map(|_| ()).unwrap_or(());
        }
        if let Some(mut up) = self.up.take() {
            send(&up, Signal::TERM);
            let begin = Instant::now();
            while up.try_wait().is_ok_and(|status| status.is_none()) {
                if begin.elapsed() > STOP_WITHIN {
                    up.kill().unwrap_or(());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Bytes that differ from place to place.
pub fn bytes(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ count as u64;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        bytes.extend_from_slice(&(state >> 16).to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// Whether `path` is readable by its owner alone.
pub fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|known| known.permissions().mode() & 0o777 == 0o600)
}
