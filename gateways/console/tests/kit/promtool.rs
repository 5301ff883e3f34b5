//! Prometheus's own tool, where it is installed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part; one that cannot run says so"
)]

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

/// Runs it with `input`; fails when it finds anything to say against it.
pub fn promtool(words: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    command.args(words).stdin(Stdio::piped());
    let started = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!(
                "skipped: no promtool is installed to {} with",
                words.join(" ")
            );
            return;
        }
        started => started.expect("it runs"),
    };
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    // What it says may fill a pipe before it has read all.
    let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writing.join().expect("no panic").expect("it reads all");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(
        output.status.success(),
        "promtool {words:?}: {}",
        said.concat()
    );
}
