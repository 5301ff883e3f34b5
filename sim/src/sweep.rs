//! Many seeds, each in a process of its own, and what to say of them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use crate::say;

/// What a process that ran a seed left.
pub(crate) struct Left {
    /// Whether everything held.
    pub(crate) held: bool,
    /// What it printed.
    pub(crate) lines: Vec<String>,
}

/// Runs seeds, so many processes at a time, and prints what they found; whether everything held.
pub(crate) fn sweep(from: u64, count: u64, jobs: u64) -> io::Result<bool> {
    say(&format!("commit {}", commit()));
    let begun = Instant::now();
    let next = AtomicU64::new(from);
    let (done, all_done) = channel();
    let failed = thread::scope(|scope| {
        for _ in 0..jobs {
            let (next, done) = (&next, done.clone());
            scope.spawn(move || work(next, from + count, &done));
        }
        drop(done);
        let (mut failed, mut struck) = (0, BTreeMap::new());
        for (seed, left) in all_done {
            let left = left?;
            failed += u64::from(!tell(seed, &left));
            left.lines.iter().for_each(|line| sum(&mut struck, line));
        }
        for (kind, count) in struck {
            say(&format!("{STRUCK}{kind} {count}"));
        }
        io::Result::Ok(failed)
    })?;
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    say(&format!("{failed} seeds failed, {rate:.2} seeds/s"));
    Ok(failed == 0)
}

fn work(next: &AtomicU64, until: u64, done: &Sender<(u64, io::Result<Left>)>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= until || done.send((seed, apart(seed))).is_err() {
            return;
        }
    }
}

/// What goes before the kinds of faults that took effect and how often each did.
const STRUCK: &str = "struck: ";

/// Says how often each kind of fault took effect in a run.
pub(crate) fn struck_line(seed: u64, struck: &[(String, u64)]) -> String {
    let kinds = struck.iter().map(|(kind, count)| format!("{kind} {count}"));
    let kinds: Vec<String> = kinds.collect();
    format!("seed {seed} {STRUCK}{}", kinds.join(", "))
}

/// Adds up what lines of runs say of that.
fn sum(struck: &mut BTreeMap<String, u64>, line: &str) {
    let Some((_, kinds)) = line.split_once(STRUCK) else {
        return;
    };
    for kind in kinds.split(", ") {
        let parts = kind.split_once(' ');
        if let Some((kind, Ok(count))) = parts.map(|(kind, count)| (kind, count.parse::<u64>())) {
            *struck.entry(kind.to_owned()).or_default() += count;
        }
    }
}

/// Prints what a seed found; whether everything held.
fn tell(seed: u64, left: &Left) -> bool {
    let lines = left.lines.iter();
    lines
        .filter(|line| line.contains("seed ") && !line.contains(STRUCK))
        .for_each(|line| say(line));
    if is_mute(left) {
        say(&format!("seed {seed} FAILED: it ended without a word"));
        say(&again(seed));
    }
    left.held
}

/// Whether it ended badly and did not say how.
fn is_mute(left: &Left) -> bool {
    !left.held && !left.lines.iter().any(|line| line.contains(" FAILED "))
}

/// How to run a seed again.
pub(crate) fn again(seed: u64) -> String {
    format!(
        "  again: cargo run -p sdfs-sim -- run {seed}\n  \
         with fewer faults: cargo run -p sdfs-sim -- shrink {seed} seed-{seed}.ron"
    )
}

/// Runs a seed in a process of its own, as `run` does: the runtime counts some things process-wide,
/// and chooses by them.
pub(crate) fn apart(seed: u64) -> io::Result<Left> {
    apart_with(&["run".as_ref(), seed.to_string().as_ref()])
}

/// Runs the simulator in a process of its own.
pub(crate) fn apart_with(arguments: &[&OsStr]) -> io::Result<Left> {
    let done = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()?;
    let lines = String::from_utf8_lossy(&done.stdout);
    Ok(Left {
        held: done.status.success(),
        lines: lines.lines().map(str::to_owned).collect(),
    })
}

/// What the sources are; a seed is the same run only with the same ones.
fn commit() -> String {
    let told = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .stderr(Stdio::null())
        .output();
    match told {
        Ok(told) if told.status.success() => {
            String::from_utf8_lossy(&told.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(held: bool, lines: &[&str]) -> Left {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Left { held, lines }
    }

    #[test]
    fn strikes_are_added_up() {
        let mut struck = BTreeMap::new();
        for (seed, killed) in [(1, 2), (2, 3)] {
            let of_run = [("Killed".to_owned(), killed), ("Rot".to_owned(), 0)];
            sum(&mut struck, &struck_line(seed, &of_run));
        }
        let sums = [("Killed".to_owned(), 5), ("Rot".to_owned(), 0)];
        assert_eq!(struck, BTreeMap::from(sums));
    }

    #[test]
    fn a_bad_end_without_a_word_is_told() {
        assert!(is_mute(&left(false, &["seed 3: 9 operations"])));
        assert!(!is_mute(&left(false, &["seed 3 FAILED copies agree: /a"])));
        assert!(!is_mute(&left(true, &[])));
    }
}
