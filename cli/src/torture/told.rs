//! What a run came to: the report for a program, and where the page for a person and the words on
//! a terminal come from.

use serde::Serialize;

use super::figures::Figures;
use super::judge::{Judgement, Violation};
use super::nemesis::Harm;
use super::plan::Planned;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::{Ink, Output};
use crate::units;
use crate::verify::Compared;

/// Everything a run came to.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    /// What to repeat it with.
    pub(super) seed: u64,
    /// How many clients worked.
    pub(super) clients: u32,
    /// How long they did, seconds.
    pub(super) seconds: f64,
    /// How long the cluster took to have every server and every copy back after that, seconds.
    pub(super) healed_s: Option<f64>,
    /// The servers, in the order of the configuration.
    pub(super) servers: Vec<String>,
    /// What was to be done to them, and what came of it.
    pub(super) faults: Vec<Planned>,
    /// What was done to them.
    pub(super) harms: Vec<Harm>,
    /// Faults that could not be done here, and why.
    pub(super) left_out: Option<&'static str>,
    /// What was asked and told, in numbers.
    pub(super) figures: Figures,
    /// What was proved of it.
    pub(super) judgement: Judgement,
    /// The copies, compared in the end.
    pub(super) compared: Option<Compared>,
    /// Names read back byte for byte in the end.
    pub(super) read_back: u64,
    /// Where the servers' folder is kept.
    pub(super) kept: Option<std::path::PathBuf>,
    /// The words that repeat it.
    pub(super) command: String,
}

impl Told {
    /// Adds something that must not be and is in no history.
    pub(super) fn violate(&mut self, what: impl Into<String>) {
        self.judgement.violations.push(Violation {
            what: what.into(),
            operations: Vec::new(),
        });
    }

    /// Whether anything is wrong.
    pub(super) fn is_broken(&self) -> bool {
        !self.judgement.violations.is_empty()
    }

    /// The copies of which nothing is said.
    pub(super) fn not_compared(&self) -> Vec<String> {
        let compared = self.compared.iter();
        compared
            .flat_map(|compared| compared.not_compared.clone())
            .collect()
    }

    /// In a few words.
    pub(super) fn verdict(&self) -> String {
        let (broken, undecided) = (
            self.judgement.violations.len(),
            self.judgement.undecided.len(),
        );
        match (broken, undecided, self.not_compared().len()) {
            (0, 0, 0) => {
                "every outcome can be explained, and nothing acknowledged is lost".to_owned()
            }
            (0, 0, copies) => format!(
                "every outcome can be explained, and all that is acknowledged was read; {copies} \
                 copies were not compared"
            ),
            (0, _, _) => {
                format!("the histories of {undecided} names are too tangled to be judged")
            }
            (1, _, _) => "one thing is not as promised".to_owned(),
            _ => format!("{broken} things are not as promised"),
        }
    }

    /// What the run ends with.
    pub(super) fn code(&self) -> Code {
        if self.is_broken() {
            Code::Broken
        } else if !self.judgement.undecided.is_empty() {
            Code::Unknown
        } else if !self.not_compared().is_empty() {
            Code::NotNow
        } else {
            Code::Done
        }
    }

    /// Prints it; fails when anything is wrong, or was not looked at.
    pub(super) fn finish(&self, out: Output) -> Outcome {
        out.json(self);
        self.say(out);
        let failure = match self.code() {
            Code::Done => return Ok(()),
            Code::NotNow => Failure::new(Code::NotNow, self.verdict()).advise(
                "`sdfs heal status` tells which copies are missing; try again when they are there",
            ),
            code => Failure::new(code, self.verdict()),
        };
        Err(match &self.kept {
            Some(kept) => failure.advise(format!("The servers' folder is {}", kept.display())),
            None => failure,
        })
    }

    fn say(&self, out: Output) {
        let figures = &self.figures;
        out.say(&format!(
            "{} operations of {} clients on {} names in {:.0} s, {} faults",
            units::count(figures.operations),
            self.clients,
            units::count(self.judgement.names as u64),
            self.seconds,
            self.harms.len(),
        ));
        let gap = |gap: super::figures::Gap| units::micros(gap.us());
        out.say(&format!(
            "longest without an answered change {}, without an answered read {}",
            gap(figures.changes_gap),
            gap(figures.reads_gap)
        ));
        if let (Some(healed_s), Some(compared)) = (self.healed_s, &self.compared) {
            out.say(&format!(
                "every server back and every copy in sync {healed_s:.1} s after the last fault; {} \
                 names read back, {} files and {} blocks compared",
                units::count(self.read_back),
                units::count(compared.files),
                units::count(compared.blocks)
            ));
        }
        if let Some(left_out) = self.left_out {
            out.say(left_out);
        }
        for violation in &self.judgement.violations {
            out.say(&out.ink(Ink::Bad, &violation.what));
        }
        for copy in self.not_compared() {
            out.say(&out.ink(Ink::Warn, &format!("{copy} was not compared")));
        }
        if self.code() == Code::Done {
            out.say(&out.ink(Ink::Good, &self.verdict()));
        }
        out.say(&format!("again: {}", self.command));
    }
}
