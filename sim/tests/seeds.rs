//! A bounded share of the simulation: a few seeds hold every property, every kind of fault takes
//! effect in them, and a seed is one run.

use std::process::Command;

/// Runs the simulator; what it printed, and whether everything held.
fn sim(arguments: &[&str]) -> (bool, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(arguments)
        .output()
        .expect("the simulator runs");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    (done.status.success(), said)
}

#[test]
fn seeds_hold_every_property() {
    let (held, said) = sim(&["sweep", "1", "24", "--jobs", "2"]);
    assert!(held, "{said}");
    let struck = said
        .lines()
        .filter_map(|line| line.strip_prefix("struck: "));
    let struck: Vec<&str> = struck.collect();
    assert!(!struck.is_empty(), "{said}");
    let is_none = |kind: &&str| kind.ends_with(" 0");
    assert!(!struck.iter().any(is_none), "{struck:?}");
}

#[test]
fn one_seed_is_one_run() {
    let (held, said) = sim(&["twice", "3"]);
    assert!(held, "{said}");
}

/// The faults of a run, done again from a file, are the same run.
#[test]
fn a_script_is_the_run_it_was_written_by() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("seed.ron");
    let file = file.to_str().expect("a path");
    let (held, said) = sim(&["run", "5", "--script", file]);
    assert!(held, "{said}");
    let (held, again) = sim(&["replay", file]);
    assert!(held, "{again}");
    assert!(said.contains("fault: "), "{said}");
    for (number, (line, other)) in said.lines().zip(again.lines()).enumerate() {
        assert_eq!(line, other, "line {number}");
    }
    assert_eq!(said.lines().count(), again.lines().count());
}
