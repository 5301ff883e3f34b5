//! What `verify` found: told as it is found, counted at the end.

use std::collections::BTreeSet;

use sdfs_server_group::{Config, ServerId};
use sdfs_types::{FileDescriptor, FilePath, MetaGroup, VolumeId};
use serde_json::{Value, json};

use super::judge::{BlockFault, BlockFinding};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::{Ink, Output};
use crate::units;
use crate::view::server_name;

/// Findings shown one by one; the others are counted.
const SHOWN_MAX: usize = 1_000;

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    is_repairing: bool,
    pub(crate) files: u64,
    pub(crate) blocks: u64,
    /// Blocks that are no file's yet, and young enough to become one's.
    pub(crate) young: u64,
    pub(crate) freed_blocks: u64,
    pub(crate) removed_records: u64,
    names: u64,
    records: u64,
    missing: u64,
    different: u64,
    orphans: u64,
    not_compared: BTreeSet<(VolumeId, ServerId)>,
    shown: Vec<Finding>,
}

#[derive(Debug)]
enum Finding {
    Name(FilePath, FileDescriptor),
    Record(MetaGroup, FileDescriptor),
    Block(BlockFinding),
}

/// What a comparison came to.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Compared {
    pub(crate) files: u64,
    pub(crate) blocks: u64,
    /// Blocks that are not what they should be on a copy, and names without a record.
    pub(crate) broken: u64,
    /// One by one, the first of them.
    pub(crate) sentences: Vec<String>,
    /// Copies that were not in sync or could not be read: nothing is said of what they have.
    pub(crate) not_compared: Vec<String>,
}

impl Report {
    /// What is not as it should be, without what is merely left over.
    pub(crate) fn compared(&self, config: &Config) -> Compared {
        let broken = self.shown.iter().filter(|finding| match finding {
            Finding::Name(..) => true,
            Finding::Record(..) => false,
            Finding::Block(block) => block.what != BlockFault::Orphan,
        });
        Compared {
            files: self.files,
            blocks: self.blocks,
            broken: self.missing + self.different + self.names,
            sentences: broken.map(|finding| sentence(config, finding)).collect(),
            not_compared: self.left_out(config).collect(),
        }
    }

    /// Each copy that was not compared, as a person says it.
    fn left_out(&self, config: &Config) -> impl Iterator<Item = String> {
        let all = self.not_compared.iter();
        all.map(|(volume, server)| {
            let server = server_name(config, *server);
            format!("the copy of volume {volume} at {server}")
        })
    }

    pub(crate) fn new(is_repairing: bool) -> Report {
        Report {
            is_repairing,
            ..Report::default()
        }
    }

    pub(crate) fn name_without_record(&mut self, path: &FilePath, file: FileDescriptor) {
        self.names += 1;
        self.show(Finding::Name(path.clone(), file));
    }

    pub(crate) fn record_without_name(&mut self, group: MetaGroup, file: FileDescriptor) {
        self.records += 1;
        self.show(Finding::Record(group, file));
    }

    pub(crate) fn block(&mut self, finding: BlockFinding) {
        *match finding.what {
            BlockFault::Missing => &mut self.missing,
            BlockFault::Different => &mut self.different,
            BlockFault::Orphan => &mut self.orphans,
        } += 1;
        self.show(Finding::Block(finding));
    }

    /// A copy is not in sync, or its server does not answer.
    pub(crate) fn not_compared(&mut self, volume: VolumeId, server: ServerId) {
        self.not_compared.insert((volume, server));
    }

    /// Whether every copy of a volume could be compared so far.
    pub(crate) fn is_compared(&self, volume: VolumeId) -> bool {
        !self.not_compared.iter().any(|(of, _)| *of == volume)
    }

    fn show(&mut self, finding: Finding) {
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(finding);
        }
    }

    /// Prints everything; fails with the worst that was found and is still so.
    pub(crate) fn finish(&self, config: &Config, out: Output) -> Outcome {
        out.json(&self.json(config));
        for finding in &self.shown {
            out.say(&sentence(config, finding));
        }
        for copy in self.left_out(config) {
            out.say(&format!("{copy} was not compared"));
        }
        let on = match self.not_compared.len() {
            0 => "every copy",
            _ => "the other copies",
        };
        out.say(&format!(
            "{} files and {} blocks compared on {on}",
            units::count(self.files),
            units::count(self.blocks)
        ));
        if self.young > 0 {
            let young = units::count(self.young);
            out.say(&format!("{young} copies of blocks are being written"));
        }
        if self.is_repairing {
            out.say(&format!(
                "{} blocks freed, {} records removed",
                units::count(self.freed_blocks),
                units::count(self.removed_records)
            ));
        }
        self.verdict(out)
    }

    fn verdict(&self, out: Output) -> Outcome {
        let broken = self.missing + self.different + self.names;
        if broken > 0 {
            let what = format!(
                "{} blocks missing and {} different on a copy, {} names without a record",
                self.missing, self.different, self.names
            );
            return Err(Failure::new(Code::Damaged, what).advise(
                "`sdfs scrub --wait` repairs copies; what a name without a record stood for is \
                 lost, unless its creation was cut off",
            ));
        }
        if !self.not_compared.is_empty() {
            let what = format!("{} copies were not compared", self.not_compared.len());
            return Err(Failure::new(Code::NotNow, what).advise(
                "`sdfs heal status` tells which are missing; verify again when they are there",
            ));
        }
        let is_taken_away = self.is_repairing && self.freed_blocks + self.removed_records > 0;
        if self.orphans + self.records > 0 && !is_taken_away {
            let what = format!(
                "{} copies of blocks and {} records are nobody's",
                self.orphans, self.records
            );
            return Err(Failure::new(Code::LeftOver, what)
                .advise("`sdfs verify --repair` takes them away when they are old"));
        }
        if self.orphans + self.records == 0 {
            out.say(&out.ink(Ink::Good, "nothing differs and nothing is left over"));
        }
        Ok(())
    }

    fn json(&self, config: &Config) -> Value {
        let findings: Vec<_> = self.shown.iter().map(|one| json_of(config, one)).collect();
        json!({
            "files": self.files, "blocks": self.blocks, "being_written": self.young,
            "names_without_record": self.names, "records_without_name": self.records,
            "missing": self.missing, "different": self.different, "orphans": self.orphans,
            "not_compared": self.not_compared.iter().map(|(volume, server)| {
                json!({ "volume": volume, "server": server_name(config, *server) })
            }).collect::<Vec<_>>(),
            "freed_blocks": self.freed_blocks, "removed_records": self.removed_records,
            "findings": findings,
        })
    }
}

fn sentence(config: &Config, finding: &Finding) -> String {
    match finding {
        Finding::Name(path, file) => format!("{path} ({file}) has no record"),
        Finding::Record(group, file) => {
            format!("file {file} has a record in group {} and no name", group.0)
        }
        Finding::Block(finding) => {
            let what = match finding.what {
                BlockFault::Missing => "is missing",
                BlockFault::Different => "is different",
                BlockFault::Orphan => "is no file's",
            };
            let block = finding.block;
            format!(
                "block {} version {} of file {} {what} in volume {} at {}",
                block.block.0,
                block.version.0,
                block.file,
                finding.volume,
                server_name(config, finding.server)
            )
        }
    }
}

fn json_of(config: &Config, finding: &Finding) -> Value {
    match finding {
        Finding::Name(path, file) => {
            json!({ "what": "name_without_record", "path": path, "file": file.to_string() })
        }
        Finding::Record(group, file) => {
            json!({ "what": "record_without_name", "group": group.0, "file": file.to_string() })
        }
        Finding::Block(finding) => json!({
            "what": finding.what, "volume": finding.volume,
            "server": server_name(config, finding.server),
            "file": finding.block.file.to_string(), "block": finding.block.block.0,
            "version": finding.block.version.0,
        }),
    }
}
