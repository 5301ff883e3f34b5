//! What an import came to: counts, and each file that needs a look, by its id.

use std::time::Duration;

use serde::Serialize;

use super::check::Damage;
use super::listed::Listed;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::units;

/// What became of one file.
#[derive(Debug)]
pub(super) enum Done {
    /// It is here now, so many bytes.
    Imported(u64),
    /// It was here, so many bytes.
    Already(u64),
    /// It is not what its name tells.
    Damaged(Damage),
    /// It is not there.
    Missing,
    /// It is here with another size: changed here, or there since it was imported.
    OtherSize { here: u64, there: u64 },
    /// It could not be read.
    Failed(Failure),
}

/// Counts, and the ids of what is damaged.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    imported: u64,
    already_there: u64,
    damaged: u64,
    missing_at_source: u64,
    other_size: u64,
    failed: u64,
    passed_over: u64,
    /// Lines that are no ids.
    wrong: u64,
    trunk_containers: u64,
    /// Storages that did not tell what they have.
    silent_storages: Vec<String>,
    bytes: u64,
    seconds: f64,
    damaged_ids: Vec<String>,
    #[serde(skip)]
    first_failed: Option<Failure>,
    /// Whether somebody asked for each file, so that none should be missing. A storage's own list
    /// has small files that were deleted long ago.
    #[serde(skip)]
    are_named: bool,
}

impl Report {
    pub(super) fn of(listed: &Listed, are_named: bool) -> Report {
        Report {
            are_named,
            passed_over: listed.passed_over,
            wrong: listed.wrong,
            silent_storages: listed.silent.clone(),
            trunk_containers: listed.trunk_containers,
            ..Report::default()
        }
    }

    /// Counts a file; gives the words about it, when somebody should look.
    pub(super) fn take(&mut self, id: &str, done: Done) -> Option<String> {
        match done {
            Done::Imported(bytes) => {
                self.imported += 1;
                self.bytes += bytes;
                None
            }
            Done::Already(_) => {
                self.already_there += 1;
                None
            }
            Done::Damaged(damage) => {
                self.damaged += 1;
                self.damaged_ids.push(id.to_owned());
                Some(format!("{id}: damaged, not imported: {damage}"))
            }
            Done::Missing => {
                self.missing_at_source += 1;
                self.are_named
                    .then(|| format!("{id}: missing at the source"))
            }
            Done::OtherSize { here, there } => {
                self.other_size += 1;
                Some(format!(
                    "{id}: it has {here} bytes here and {there} there; what is here is kept"
                ))
            }
            Done::Failed(failure) => {
                self.failed += 1;
                let words = format!("{id}: {}", failure.what);
                self.first_failed.get_or_insert(failure);
                Some(words)
            }
        }
    }

    /// Tells what was done in all. Fails when somebody should look.
    pub(super) fn finish(mut self, taken: Duration, out: Output) -> Outcome {
        self.seconds = taken.as_secs_f64();
        out.json(&self);
        out.say(&format!(
            "{} files imported  {}  {:.2} s  {};  {} were here already",
            units::count(self.imported),
            units::size(self.bytes),
            self.seconds,
            units::rate(self.bytes as f64 / self.seconds / 1e6),
            units::count(self.already_there),
        ));
        let left_out = [
            (self.damaged, "damaged"),
            (self.missing_at_source, "missing at the source"),
            (self.other_size, "here with another size"),
            (self.failed, "not read"),
            (
                self.passed_over,
                "passed over: of another group, or no file",
            ),
            (self.wrong, "lines that are no file ids"),
            (
                self.trunk_containers,
                "trunk containers passed over: the ids of the small files in them are told by \
                 --tracker or --ids only",
            ),
        ];
        for (count, what) in left_out.iter().filter(|(count, _)| *count > 0) {
            out.say(&format!("  {} {what}", units::count(*count)));
        }
        for storage in &self.silent_storages {
            out.say(&format!("  not asked what it has: {storage}"));
        }
        self.verdict()
    }

    fn verdict(self) -> Outcome {
        let count = units::count;
        if self.damaged > 0 {
            let what = format!("{} files are damaged and not imported", count(self.damaged));
            let advice = "Their ids are told above; what a disk has damaged, another storage may \
                          have whole: --tracker";
            return Err(Failure::new(Code::Damaged, what).advise(advice));
        }
        if let Some(first) = self.first_failed {
            let what = format!("{} not read, the first: {}", count(self.failed), first.what);
            return Err(Failure { what, ..first });
        }
        if self.other_size > 0 {
            let what = format!("{} files have another size here", count(self.other_size));
            let advice = "Delete those here that are to be copied again";
            return Err(Failure::new(Code::Refused, what).advise(advice));
        }
        if let [first, ..] = &*self.silent_storages {
            let what = format!(
                "{} storages did not tell what they have, the first: {first}",
                self.silent_storages.len()
            );
            let advice = "What only they have is not imported: run it again when they serve, or \
                          delete them from their group";
            return Err(Failure::new(Code::NotNow, what).advise(advice));
        }
        if self.wrong > 0 {
            let what = format!("{} lines are no file ids", count(self.wrong));
            let advice = "An id is `group1/M00/00/00/..`, without host and quotes";
            return Err(Failure::new(Code::NotFound, what).advise(advice));
        }
        if self.are_named && self.missing_at_source > 0 {
            let what = format!("{} ids have no file there", count(self.missing_at_source));
            return Err(Failure::new(Code::NotFound, what));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_look_has_its_exit_code() {
        let damage = || Done::Damaged(Damage::Size { told: 2, found: 1 });
        let failed = || Done::Failed(Failure::new(Code::Unreachable, "gone"));
        let other = || Done::OtherSize { here: 1, there: 2 };
        let table: [(Vec<Done>, bool, Option<Code>); 7] = [
            (vec![Done::Imported(5), Done::Already(5)], true, None),
            (vec![Done::Missing], false, None),
            (vec![Done::Missing], true, Some(Code::NotFound)),
            (vec![other(), Done::Missing], true, Some(Code::Refused)),
            (vec![failed(), other()], true, Some(Code::Unreachable)),
            (vec![failed(), damage()], true, Some(Code::Damaged)),
            (vec![], true, None),
        ];
        for (all, are_named, expected) in table {
            let mut report = Report::of(&Listed::default(), are_named);
            let told = format!("{all:?}");
            let is_silent = |done: &&Done| match done {
                Done::Imported(_) | Done::Already(_) => true,
                Done::Missing => !are_named,
                _ => false,
            };
            let expected_words = all.len() - all.iter().filter(is_silent).count();
            let words = all.into_iter().filter_map(|done| report.take("id", done));
            assert_eq!(words.count(), expected_words, "{told}");
            let code = report.verdict().err().map(|failure| failure.code);
            assert_eq!(code, expected, "{told}");
        }
    }
}
