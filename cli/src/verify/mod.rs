//! `verify`: compares names, records and what every copy keeps; lists what differs and what is
//! nobody's, and takes the latter away when told to.
//!
//! Everything is read page by page in the order of files while clients go on. So a difference
//! counts only when a second look, at that file alone, finds it too.

mod feed;
mod judge;
mod report;

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use sdfs_client::{Client, Error};
use sdfs_server_group::{Config, Role};
use sdfs_types::calls::inspect::{InspectAnswer, InspectAsk, RecordListed};
use sdfs_types::{
    BlockDescriptor, EntryKind, FileDescriptor, FileMetaMetaData, FilePath, MemberState, MetaGroup,
    Refusal, RequestId, ServerId, VolumeId, clock,
};

use crate::args::{Global, VerifyArgs};
use crate::failure::Outcome;
use crate::output::Output;
use crate::progress::Progress;
use crate::session;
use feed::{Feeds, Found, other_answer};
use judge::{BlockFault, BlockFinding, judge};
pub(crate) use report::Compared;
use report::Report;

/// Files asked about at once.
const FILES_AT_ONCE: usize = 1_024;
/// Blocks taken away at once.
const BLOCKS_AT_ONCE: usize = 1_024;
/// A difference is looked at again after this, so that what was under way has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// Looks before a difference is one.
const LOOKS: u32 = 3;

/// As for `--older-than`: what is younger may still become somebody's.
const NOBODYS_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Runs `verify`.
pub(crate) async fn run(global: &Global, args: &VerifyArgs, out: Output) -> Outcome {
    let path = session::path(&args.path)?;
    let (client, config) = session::cluster(global).await?;
    let mut verify = Verify::new(client, &config, args, out).await?;
    verify.all(&path).await?;
    verify.report.finish(&config, out)
}

/// Compares what is below a path and changes nothing.
pub(crate) async fn compare(
    client: Client,
    config: &Config,
    path: &FilePath,
    out: Output,
) -> Outcome<Compared> {
    let args = VerifyArgs {
        path: path.to_string(),
        repair: false,
        older_than: NOBODYS_AFTER,
    };
    let mut verify = Verify::new(client, config, &args, out).await?;
    verify.all(path).await?;
    Ok(verify.report.compared(config))
}

struct Verify {
    client: Client,
    groups: Vec<MetaGroup>,
    members: Vec<(VolumeId, ServerId)>,
    old_s: u64,
    is_repairing: bool,
    progress: Progress,
    report: Report,
    orphans: Vec<(VolumeId, BlockDescriptor)>,
    nameless: Vec<(MetaGroup, FileDescriptor, RequestId)>,
}

impl Verify {
    async fn new(
        client: Client,
        config: &Config,
        args: &VerifyArgs,
        out: Output,
    ) -> Result<Verify, Error> {
        let mservers = config.servers_of(Role::Mserver).count();
        let groups = (1..=u8::MAX).take(mservers).map(MetaGroup).collect();
        let map = client.volume_map().await?;
        let mut report = Report::new(args.repair);
        let mut members = Vec::new();
        for volume in map.volumes.values() {
            for member in &volume.members {
                match member.state {
                    MemberState::InSync => members.push((volume.id, member.server)),
                    // What it lacks is being made, or is made when it is back.
                    MemberState::Syncing | MemberState::Out => {
                        report.not_compared(volume.id, member.server);
                    }
                }
            }
        }
        Ok(Verify {
            groups,
            members,
            client,
            old_s: args.older_than.as_secs(),
            is_repairing: args.repair,
            progress: Progress::new("verifying", None, !out.is_json()),
            report,
            orphans: Vec::new(),
            nameless: Vec::new(),
        })
    }

    async fn all(&mut self, path: &FilePath) -> Result<(), Error> {
        self.names(path).await?;
        if path.is_root() {
            self.everything().await?;
            self.repair().await?;
        }
        self.progress.finish();
        Ok(())
    }

    /// Goes through the names: each file must have a record. Below anything but the root the
    /// copies of each file are compared too.
    async fn names(&mut self, path: &FilePath) -> Result<(), Error> {
        let is_all = path.is_root();
        let path_itself = || Refusal::NotFound { path: path.clone() };
        let entry = self.entry(path).await?;
        let entry = entry.ok_or_else(|| Error::Refused(path_itself()))?;
        if entry.kind == EntryKind::File {
            return self
                .files(vec![(path.clone(), entry.descriptor)], true)
                .await;
        }
        let mut folders = vec![path.clone()];
        while let Some(folder) = folders.pop() {
            let mut entries = self.client.list(folder.as_str()).chunks(FILES_AT_ONCE);
            while let Some(page) = entries.next().await {
                let mut files = Vec::new();
                for entry in page {
                    let entry = entry?;
                    let path = folder.join(&entry.name)?;
                    match entry.kind {
                        EntryKind::Directory => folders.push(path),
                        EntryKind::File => files.push((path, entry.descriptor)),
                    }
                }
                self.files(files, !is_all).await?;
            }
        }
        Ok(())
    }

    /// Checks that files have records, and their copies when told to.
    async fn files(
        &mut self,
        files: Vec<(FilePath, FileDescriptor)>,
        with_copies: bool,
    ) -> Result<(), Error> {
        self.report.files += files.len() as u64;
        let asked = files.iter().map(|(_, file)| *file).collect();
        let known = self.flags(InspectAsk::Recorded { files: asked }).await?;
        for ((path, file), is_known) in files.into_iter().zip(known) {
            if !is_known && self.is_named_without_record(&path, file).await? {
                self.report.name_without_record(&path, file);
            } else if with_copies {
                self.file(file).await?;
            }
        }
        Ok(())
    }

    /// What a path stands for. It is not looked at as others do: they make a record where there is
    /// none.
    async fn entry(&self, path: &FilePath) -> Result<Option<FileMetaMetaData>, Error> {
        let path = path.clone();
        match self.client.inspect(InspectAsk::Entry { path }).await? {
            InspectAnswer::Entry(entry) => Ok(entry),
            _ => Err(other_answer()),
        }
    }

    /// A second look: the file may have been deleted or replaced meanwhile.
    async fn is_named_without_record(
        &self,
        path: &FilePath,
        file: FileDescriptor,
    ) -> Result<bool, Error> {
        tokio::time::sleep(LOOK_AGAIN).await;
        let asked = InspectAsk::Recorded { files: vec![file] };
        if self.flags(asked).await? == [true] {
            return Ok(false);
        }
        let entry = self.entry(path).await?;
        Ok(entry.is_some_and(|entry| entry.kind == EntryKind::File && entry.descriptor == file))
    }

    async fn flags(&self, ask: InspectAsk) -> Result<Vec<bool>, Error> {
        match self.client.inspect(ask).await? {
            InspectAnswer::Flags(flags) => Ok(flags),
            _ => Err(other_answer()),
        }
    }

    /// Goes through all records and all copies.
    async fn everything(&mut self) -> Result<(), Error> {
        let mut feeds = self.feeds(None);
        let mut unnamed = Vec::new();
        while let Some(found) = feeds.next().await? {
            let before_ms = clock::now_ms().saturating_sub(self.old_s * 1_000);
            let old = found
                .records
                .iter()
                .filter(|(_, r)| r.created_ms < before_ms);
            unnamed.extend(old.map(|(group, record)| (*group, record.file, record.request)));
            if unnamed.len() >= FILES_AT_ONCE {
                self.check_named(std::mem::take(&mut unnamed)).await?;
            }
            self.compare(found).await?;
        }
        self.leave_out(feeds.silent());
        self.check_named(unnamed).await
    }

    /// Copies that could not be read are compared no more.
    fn leave_out(&mut self, silent: Vec<(VolumeId, ServerId)>) {
        self.members.retain(|member| !silent.contains(member));
        for (volume, server) in silent {
            self.report.not_compared(volume, server);
        }
    }

    fn feeds(&self, only: Option<FileDescriptor>) -> Feeds {
        Feeds::new(&self.client, &self.groups, &self.members, self.old_s, only)
    }

    async fn check_named(
        &mut self,
        files: Vec<(MetaGroup, FileDescriptor, RequestId)>,
    ) -> Result<(), Error> {
        if files.is_empty() {
            return Ok(());
        }
        let asked = files.iter().map(|(_, file, _)| *file).collect();
        let named = self.flags(InspectAsk::Named { files: asked }).await?;
        for (record, is_named) in files.into_iter().zip(named) {
            if !is_named {
                self.report.record_without_name(record.0, record.1);
                self.nameless.push(record);
            }
        }
        Ok(())
    }

    async fn file(&mut self, file: FileDescriptor) -> Result<(), Error> {
        if let Some(found) = self.look(file).await? {
            self.compare(found).await?;
        }
        Ok(())
    }

    async fn look(&mut self, file: FileDescriptor) -> Result<Option<Found>, Error> {
        let mut feeds = self.feeds(Some(file));
        let found = feeds.next().await?;
        self.leave_out(feeds.silent());
        Ok(found.filter(|found| found.file == file))
    }

    async fn compare(&mut self, found: Found) -> Result<(), Error> {
        let file = found.file;
        let (mut findings, young) = judged(&found);
        self.report.young += young;
        self.report.blocks += found
            .records
            .iter()
            .map(|(_, r)| r.blocks.len() as u64)
            .sum::<u64>();
        self.progress.reach(self.report.blocks);
        for _ in 1..LOOKS {
            if findings.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            let again = self.look(file).await?;
            let still = again.map_or_else(BTreeSet::new, |found| judged(&found).0);
            findings = findings.intersection(&still).copied().collect();
        }
        for finding in findings {
            if finding.what == BlockFault::Orphan {
                self.orphans.push((finding.volume, finding.block));
            }
            self.report.block(finding);
            if self.orphans.len() >= BLOCKS_AT_ONCE {
                self.repair().await?;
            }
        }
        Ok(())
    }

    /// Takes away what was found to be nobody's so far; the servers look once more.
    async fn repair(&mut self) -> Result<(), Error> {
        let orphans = std::mem::take(&mut self.orphans);
        let nameless = std::mem::take(&mut self.nameless);
        if !self.is_repairing {
            return Ok(());
        }
        let mut by_volume = std::collections::BTreeMap::<VolumeId, BTreeSet<_>>::new();
        for (volume, block) in orphans {
            by_volume.entry(volume).or_default().insert(block);
        }
        // A copy that is not there now would keep what is freed on the others.
        by_volume.retain(|volume, _| self.report.is_compared(*volume));
        for (volume, blocks) in by_volume {
            let blocks = blocks.into_iter().collect();
            let ask = InspectAsk::FreeOrphans { volume, blocks };
            self.report.freed_blocks += self.done(ask).await?;
        }
        for group in self.groups.clone() {
            let of_group = nameless.iter().filter(|(of, _, _)| *of == group);
            let files: Vec<_> = of_group
                .map(|(_, file, request)| (*file, *request))
                .collect();
            if !files.is_empty() {
                let ask = InspectAsk::RemoveRecords { group, files };
                self.report.removed_records += self.done(ask).await?;
            }
        }
        Ok(())
    }

    async fn done(&self, ask: InspectAsk) -> Result<u64, Error> {
        match self.client.inspect(ask).await? {
            InspectAnswer::Done(count) => Ok(count),
            _ => Err(other_answer()),
        }
    }
}

fn judged(found: &Found) -> (BTreeSet<BlockFinding>, u64) {
    let records = found.records.iter().map(|(_, record)| record);
    judge(&records.collect::<Vec<&RecordListed>>(), &found.copies)
}
