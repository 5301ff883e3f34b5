//! A network and mounts of this run's own: what it cuts and mounts is nobody else's, and is gone
//! when the last of its processes is, however that ends.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::failure::{Failure, Outcome};

/// The words that run a program in namespaces of its own (util-linux).
const UNSHARE: [&str; 5] = ["unshare", "--net", "--mount", "--propagation", "private"];
/// Whether what the network needs can be done there (iproute2).
const TRY: &str = "ip link set lo up && ip rule add blackhole from 192.0.2.1 to 192.0.2.2 \
                   && ip link add sdfs0 type veth peer name sdfs1 \
                   && mount -t tmpfs tmpfs /run && ip netns add sdfs-try";

/// Whether namespaces of its own can be had: for root, with the usual tools.
pub(super) fn is_possible() -> bool {
    let tried = Command::new(UNSHARE[0])
        .args(&UNSHARE[1..])
        .args(["sh", "-c", TRY])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

/// Starts this program again, in the same process and in namespaces of its own. Returns only when
/// that failed.
pub(super) fn go() -> Failure {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return Failure::system("find this program's own file", &error),
    };
    let error = Command::new(UNSHARE[0])
        .args(&UNSHARE[1..])
        .arg("--")
        .arg(own)
        .args(std::env::args_os().skip(1))
        .arg("--apart")
        .exec();
    Failure::local("start", Path::new(UNSHARE[0]), &error)
}

/// Runs a program of the system to its end; what it says on standard error is the failure.
pub(super) async fn run(words: &[&str]) -> Outcome {
    let [program, rest @ ..] = words else {
        return Ok(());
    };
    let ran = tokio::process::Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| Failure::local("start", Path::new(program), &error))?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    let what = format!("{} failed: {}", words.join(" "), said.trim());
    Err(Failure::new(crate::exit::Code::Local, what))
}
