//! `sim`: runs seeds and says what they found.

use std::io::{self, Write};
use std::process::{Command, ExitCode, Stdio};

use sdfs_sim::{Outcome, run};
use tracing_subscriber::EnvFilter;

const USAGE: &str = "sim run SEED | sim sweep FROM COUNT | sim twice SEED

run    runs one seed and prints what happened
sweep  runs COUNT seeds from FROM on and prints those that fail
twice  runs one seed twice and prints where the two runs part

SDFS_LOG=debug shows what the servers log.
";

/// Violations shown of a seed: the first tell the most.
const SHOWN_MAX: usize = 5;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("SDFS_LOG").unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match command(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!(%error, "not run");
            say(&format!("{error}\n{USAGE}"));
            ExitCode::from(2)
        }
    }
}

/// Whether everything held.
fn command(words: &[&str]) -> io::Result<bool> {
    match words {
        ["run", seed] => {
            let outcome = run(number(seed)?)?;
            for line in &outcome.trace {
                say(line);
            }
            Ok(report(&outcome))
        }
        ["sweep", from, count] => {
            let from = number(from)?;
            let mut failed = 0;
            for seed in from..from + number(count)? {
                let (held, lines) = apart(seed)?;
                let said = lines.iter().filter(|line| line.contains("seed "));
                said.for_each(|line| say(line));
                failed += u64::from(!held);
            }
            say(&format!("{failed} seeds failed"));
            Ok(failed == 0)
        }
        ["twice", seed] => {
            let seed = number(seed)?;
            let ((_, one), (_, other)) = (apart(seed)?, apart(seed)?);
            for (number, (line, other)) in one.iter().zip(&other).enumerate() {
                if line != other {
                    say(&format!("line {number} differs:\n{line}\n{other}"));
                    return Ok(false);
                }
            }
            let same = one.len() == other.len();
            say(&format!("{} lines, the same twice: {same}", one.len()));
            Ok(same)
        }
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "no such command",
        )),
    }
}

/// Runs a seed in a process of its own, as `run` does: the runtime counts some things process-wide,
/// and chooses by them. Whether everything held, and what was printed.
fn apart(seed: u64) -> io::Result<(bool, Vec<String>)> {
    let done = Command::new(std::env::current_exe()?)
        .args(["run", &seed.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    let lines = String::from_utf8_lossy(&done.stdout);
    let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
    Ok((done.status.success(), lines))
}

fn number(word: &str) -> io::Result<u64> {
    word.parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// Prints how a run ended; whether everything held.
fn report(outcome: &Outcome) -> bool {
    let (seed, operations, done) = (outcome.seed, outcome.operations, outcome.acknowledged);
    let took_s = outcome.took.as_secs();
    say(&format!(
        "seed {seed}: {operations} operations, {done} changes acknowledged, {took_s} s simulated"
    ));
    for violation in outcome.violations.iter().take(SHOWN_MAX) {
        say(&format!("seed {seed} FAILED {violation}"));
    }
    if !outcome.violations.is_empty() {
        say(&format!("  again: cargo run -p sdfs-sim -- run {seed}"));
    }
    outcome.violations.is_empty()
}

fn say(line: &str) {
    // Nobody reads on when the output is closed.
    writeln!(io::stdout(), "{line}").unwrap_or(());
}
