//! What became of many files: counted, failures told one by one, the first one decides the exit
//! code.

use std::time::Duration;

use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::output::{Output, warn};
use crate::units;

/// Counts of a transfer of many files.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Tally {
    files: u64,
    directories: u64,
    bytes: u64,
    skipped: Vec<String>,
    failed: Vec<Failed>,
    seconds: f64,
    #[serde(skip)]
    first: Option<Failure>,
}

/// A file that was not transferred.
#[derive(Debug, Serialize)]
struct Failed {
    path: String,
    error: String,
}

impl Tally {
    /// A file was transferred, so many bytes, or not.
    pub(crate) fn file(&mut self, path: &str, outcome: Outcome<u64>) {
        match outcome {
            Ok(bytes) => {
                self.files += 1;
                self.bytes += bytes;
            }
            Err(failure) => self.fail(path, failure),
        }
    }

    /// A directory was made, or not.
    pub(crate) fn folder(&mut self, path: &str, outcome: Outcome) {
        match outcome {
            Ok(()) => self.directories += 1,
            Err(failure) => self.fail(path, failure),
        }
    }

    /// Something is neither file nor folder.
    pub(crate) fn skip(&mut self, path: &str) {
        warn(&format!("sdfs: {path}: neither file nor folder, left out"));
        self.skipped.push(path.to_owned());
    }

    fn fail(&mut self, path: &str, failure: Failure) {
        warn(&format!("sdfs: {path}: {failure}"));
        self.failed.push(Failed {
            path: path.to_owned(),
            error: failure.what.clone(),
        });
        self.first.get_or_insert(failure);
    }

    /// Tells what was done in all; fails when anything did.
    pub(crate) fn finish(
        mut self,
        taken: Duration,
        done: &str,
        place: &str,
        out: Output,
    ) -> Outcome {
        self.seconds = taken.as_secs_f64();
        out.json(&self);
        let mb_per_s = self.bytes as f64 / self.seconds / 1e6;
        out.say(&format!(
            "{} files and {} directories {done} {place}  {}  {:.2} s  {}",
            units::count(self.files),
            units::count(self.directories),
            units::size(self.bytes),
            self.seconds,
            units::rate(mb_per_s)
        ));
        match self.first {
            None => Ok(()),
            Some(first) => {
                let what = format!(
                    "{} failed, the first with: {}",
                    self.failed.len(),
                    first.what
                );
                Err(Failure { what, ..first })
            }
        }
    }
}
