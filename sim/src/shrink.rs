//! Fewer faults that fail in the same way: those of a failing seed are left out, half of them at a
//! time, then a quarter, down to one (Zeller, Hildebrandt 2002, "Simplifying and Isolating
//! Failure-Inducing Input"). What the faults are is kept; when they strike too.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use sdfs_sim::Script;

use crate::say;
use crate::sweep::{Left, again, apart_with};

/// Writes the shortest script of a failing seed that still fails; whether the seed held.
pub(crate) fn shrink(seed: u64, file: &Path) -> io::Result<bool> {
    let whole = apart_with(&[
        "run".as_ref(),
        seed.to_string().as_ref(),
        "--script".as_ref(),
        file.as_ref(),
    ])?;
    let Some(wanted) = broken(&whole) else {
        say(&format!("seed {seed} holds: there is nothing to shrink"));
        return Ok(true);
    };
    let script = Script::read(file)?;
    let all: Vec<u32> = script.strikes().into_iter().collect();
    say(&format!(
        "seed {seed} breaks `{wanted}` with {} faults",
        all.len()
    ));
    let least = least(all, |strikes| {
        let some = script.with(&strikes.iter().copied().collect::<BTreeSet<_>>());
        some.write(file)?;
        let left = apart_with(&["replay".as_ref(), file.as_ref()])?;
        let fails = broken(&left).as_deref() == Some(&*wanted);
        let outcome = if fails { "fails" } else { "does not" };
        say(&format!("  with {}: {outcome}", strikes.len()));
        Ok(fails)
    })?;
    let shortest = script.with(&least.into_iter().collect());
    shortest.write(file)?;
    for line in shortest.lines() {
        say(&line);
    }
    say(&again(seed));
    let file = file.display();
    say(&format!(
        "  with these alone: cargo run -p sdfs-sim -- replay {file}"
    ));
    Ok(false)
}

/// The first property a run has broken.
fn broken(left: &Left) -> Option<String> {
    if left.held {
        return None;
    }
    let told = left.lines.iter().find_map(|line| {
        let (_, violation) = line.split_once(" FAILED ")?;
        let (property, _) = violation.split_once(':')?;
        Some(property.to_owned())
    });
    Some(told.unwrap_or_else(|| "a run ends with a word".to_owned()))
}

/// The fewest of some faults with which it still fails, none of which can be left out alone.
fn least(
    mut kept: Vec<u32>,
    mut fails: impl FnMut(&[u32]) -> io::Result<bool>,
) -> io::Result<Vec<u32>> {
    let mut parts = 2;
    while !kept.is_empty() {
        let size = kept.len().div_ceil(parts);
        let mut is_less = false;
        for begin in (0..kept.len()).step_by(size) {
            let end = (begin + size).min(kept.len());
            let fewer = [&kept[..begin], &kept[end..]].concat();
            if fails(&fewer)? {
                kept = fewer;
                is_less = true;
                break;
            }
        }
        if is_less {
            parts = (parts - 1).max(2);
        } else if size == 1 {
            break;
        } else {
            parts = (parts * 2).min(kept.len());
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_stays() {
        let mut runs = 0;
        let least = least((1..=40).collect(), |some| {
            runs += 1;
            Ok(some.contains(&7) && some.contains(&31))
        });
        assert_eq!(least.unwrap(), [7, 31]);
        assert!(runs < 60, "{runs}");
    }

    #[test]
    fn what_fails_without_faults_needs_none() {
        assert_eq!(least(vec![1, 2, 3], |_| Ok(true)).unwrap(), [0_u32; 0]);
    }

    #[test]
    fn the_property_is_told() {
        let left = |held, lines: &[&str]| Left {
            held,
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        };
        let failed = ["  7 x", "seed 3 FAILED copies agree: /a"];
        assert_eq!(
            broken(&left(false, &failed)).as_deref(),
            Some("copies agree")
        );
        assert_eq!(broken(&left(true, &failed)), None);
        assert!(broken(&left(false, &[])).is_some());
    }
}
