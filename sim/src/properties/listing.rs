//! A listing names what can be read, and nothing else.

use std::collections::BTreeSet;

use super::{Judged, Violation};
use crate::history::{Operation, Outcome, file_of};
use crate::pages::PAGES;

const PROPERTY: &str = "a listing is right";

pub(super) fn check(judged: &Judged<'_>) -> Vec<Violation> {
    let Some(found) = judged.found else {
        return Vec::new();
    };
    let listed = match &found.listed {
        Ok(listed) => listed,
        Err(why) => return vec![Violation::new(PROPERTY, format!("there is none: {why}"))],
    };
    compare(listed, judged.last_reads)
}

fn compare(listed: &BTreeSet<String>, last_reads: &[Operation]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for read in last_reads {
        let name = file_of(&read.name);
        // What is absent of a file that is changed in place is a block.
        let is_there = match &read.end {
            Some((_, Outcome::Absent)) if name == read.name => false,
            Some((_, Outcome::Read(_) | Outcome::Present)) => true,
            _ => continue,
        };
        if listed.contains(name) != is_there {
            let what = format!("{name}: {:?}, yet listed {}", read.end, !is_there);
            violations.push(Violation::new(PROPERTY, what));
        }
    }
    // One that is changed in place is made before anything is written to it.
    let is_known = |name: &&String| {
        PAGES.contains(&name.as_str()) || last_reads.iter().any(|r| file_of(&r.name) == **name)
    };
    let unknown = listed.iter().filter(|name| !is_known(name));
    violations.extend(unknown.map(|name| {
        let what = format!("{name} is listed, and nobody stored anything there");
        Violation::new(PROPERTY, what)
    }));
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::What;
    use std::time::Duration;

    fn read(name: &str, outcome: Outcome) -> Operation {
        Operation {
            client: 0,
            what: What::Get,
            name: name.to_owned(),
            begin: Duration::ZERO,
            end: Some((Duration::ZERO, outcome)),
            ends: 1,
            retries: 0,
            due: Duration::ZERO,
        }
    }

    #[test]
    fn what_is_listed_is_there() {
        let reads = [
            read("/a", Outcome::Read(1)),
            read("/b", Outcome::Absent),
            read("/page#0", Outcome::Read(2)),
            read("/page#1", Outcome::Absent),
        ];
        let wrong = |listed: &[&str]| {
            let listed = listed.iter().map(|name| (*name).to_owned());
            compare(&listed.collect(), &reads).len()
        };
        assert_eq!(wrong(&["/a", "/page"]), 0);
        assert_eq!(wrong(&["/a", "/b", "/page"]), 1);
        assert_eq!(wrong(&["/a"]), 1);
        assert_eq!(wrong(&["/a", "/c", "/page"]), 1);
    }
}
