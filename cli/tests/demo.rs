//! `demo`: all of it, as a newcomer sees it.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{SDFS, STOP_WITHIN, bytes, sdfs, wait_until};
use rustix::process::{Pid, Signal, kill_process};

/// What a newcomer waits at most: a release build's 30 s. One without optimisation takes several
/// times that, on a machine of two cores that does other things as well.
const SHOWN_WITHIN: Duration = if cfg!(debug_assertions) {
    Duration::from_secs(120)
} else {
    Duration::from_secs(30)
};

/// `demo` with everything it makes below `folder`.
fn demo(folder: &Path) -> Command {
    let mut demo = Command::new(SDFS);
    demo.arg("demo")
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    demo
}

/// Runs it to its end, in time; gives what it printed.
fn shown(demo: &mut Command) -> String {
    let begun = Instant::now();
    let ran = demo.output().expect("sdfs runs");
    let taken = begun.elapsed();
    let out = String::from_utf8_lossy(&ran.stdout).into_owned();
    let err = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{out}{err}");
    assert!(taken < SHOWN_WITHIN, "it took {taken:?}: {out}");
    out
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("listed").flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn demo_shows_everything_and_removes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("picture.raw");
    std::fs::write(&file, bytes(20_000_000)).expect("written");
    let out = shown(demo(folder.path()).arg(&file));
    for words in [
        "picture.raw",
        "BLAKE3 of what came back is the same",
        "chooses main",
        "rtt us",
        "create, 64 at a time",
        "Kill dserver-1",
        "is still whole",
        "removed again",
    ] {
        assert!(out.contains(words), "no '{words}' in {out}");
    }
    assert!(!out.contains('\u{1b}'), "no colours in a pipe");
    assert_eq!(entries(folder.path()), ["picture.raw"]);
}

#[test]
fn demo_without_a_file_shows_its_own_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = shown(&mut demo(folder.path()));
    let name = Path::new(SDFS)
        .file_name()
        .expect("a name")
        .to_string_lossy();
    assert!(out.contains(&format!("/{name} is still whole")), "{out}");
    assert_eq!(entries(folder.path()), [""; 0]);
}

#[test]
fn ctrl_c_ends_demo_and_removes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = demo(folder.path()).spawn().expect("sdfs runs");
    let mut lines = BufReader::new(demo.stdout.take().expect("piped")).lines();
    let is_standing = lines
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.contains("took their first write"));
    assert!(is_standing, "it ended by itself");
    let before = entries(folder.path());
    assert!(
        before.len() == 1 && before[0].starts_with("sdfs-demo-"),
        "{before:?}"
    );
    assert_eq!(processes_in(folder.path()).len(), 6);
    let id = Pid::from_raw(demo.id().cast_signed()).expect("an id");
    kill_process(id, Signal::INT).expect("signalled");
    let mut status = None;
    wait_until("the demo has ended", STOP_WITHIN, || {
        status = demo.try_wait().expect("waited");
        status.is_some()
    });
    let mut err = String::new();
    let mut stderr = demo.stderr.take().expect("piped");
    stderr.read_to_string(&mut err).expect("read");
    assert_eq!(status.and_then(|status| status.code()), Some(130), "{err}");
    assert_eq!(err, "sdfs: interrupted\n");
    assert_eq!(entries(folder.path()), [""; 0]);
    assert_eq!(processes_in(folder.path()), [""; 0]);
}

/// The command lines of the processes that name the folder.
fn processes_in(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().expect("UTF-8");
    let processes = std::fs::read_dir("/proc").expect("listed").flatten();
    processes
        .filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok())
        .filter(|words| words.contains(folder))
        .collect()
}

#[test]
fn demo_of_no_file_starts_nothing() {
    let ran = sdfs(&["demo", "/no/such/file"]);
    assert_eq!(ran.code, 10, "{}", ran.err);
    assert!(ran.out.is_empty(), "{}", ran.out);
}
