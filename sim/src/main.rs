//! `sim`: runs seeds and says what they found.

mod shrink;
mod sweep;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use sdfs_sim::{Outcome, Script, replay, run};
use tracing_subscriber::EnvFilter;

const USAGE: &str = "sim run SEED [--script FILE] | sim replay FILE | sim shrink SEED FILE
sim sweep FROM COUNT [--jobs N] | sim twice SEED

run     runs one seed and prints what happened; FILE gets its faults
replay  runs the seed of FILE with the faults of FILE instead of those it draws
shrink  leaves out faults of a failing seed as long as it fails in the same way; FILE gets the rest
sweep   runs COUNT seeds from FROM on, N at a time, and prints what they found
twice   runs one seed twice and prints where the two runs part

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
        ["run", seed] => tell(&run(number(seed)?)?),
        ["run", seed, "--script", file] => {
            let outcome = run(number(seed)?)?;
            outcome.script.write(Path::new(file))?;
            tell(&outcome)
        }
        ["replay", file] => tell(&replay(Script::read(Path::new(file))?)?),
        ["shrink", seed, file] => shrink::shrink(number(seed)?, Path::new(file)),
        ["sweep", from, count] => sweep::sweep(number(from)?, number(count)?, 1),
        ["sweep", from, count, "--jobs", jobs] => {
            sweep::sweep(number(from)?, number(count)?, number(jobs)?.max(1))
        }
        ["twice", seed] => {
            let seed = number(seed)?;
            let (one, other) = (sweep::apart(seed)?.lines, sweep::apart(seed)?.lines);
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

/// Prints what happened; whether everything held.
fn tell(outcome: &Outcome) -> io::Result<bool> {
    for line in &outcome.trace {
        say(line);
    }
    Ok(report(outcome))
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
    say(&sweep::struck_line(seed, &outcome.struck));
    for violation in outcome.violations.iter().take(SHOWN_MAX) {
        say(&format!("seed {seed} FAILED {violation}"));
    }
    if !outcome.violations.is_empty() {
        say(&sweep::again(seed));
    }
    outcome.violations.is_empty()
}

fn say(line: &str) {
    // Nobody reads on when the output is closed.
    writeln!(io::stdout(), "{line}").unwrap_or(());
}
