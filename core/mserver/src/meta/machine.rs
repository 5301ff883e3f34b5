//! Applies a meta group's committed commands.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use sdfs_raft::{ApplyError, StateMachine};
use sdfs_store::{Batch, Keyspace, StoreError};
use sdfs_types::limits::ATTRIBUTES_BYTES_MAX;
use sdfs_types::wire;
use sdfs_types::{
    Attributes, BlockEntry, Digest, FileDescriptor, FileMetaData, Refusal, RequestId,
    SHARED_ATTRIBUTE,
};

use super::command::{MetaAnswer, MetaAnswers, MetaCommand};
use super::record::FileRecord;
use super::view::MetaView;
use super::{blocks, keys};
use crate::cache::Cache;
use crate::fault::{Applied, Fault, unreadable};
use crate::life::FileLife;
use crate::limits::{FILES_CACHED, META_OUTCOMES_MAX, REMOVED_FILES_MAX};
use crate::outcomes::{Outcomes, named};

/// What a meta group counts; one key, written once an entry of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    pub(crate) next_free: u64,
    pub(crate) outcomes: u64,
    pub(crate) removed: u64,
    /// No file with a higher id has a record.
    pub(crate) highest_id: u32,
}

/// A meta group's state machine.
pub struct MetaMachine {
    view: Arc<MetaView>,
    keyspace: watch::Sender<Option<Keyspace>>,
    counters: Counters,
    outcomes: Outcomes,
    removed: Outcomes,
}

/// One command being applied.
pub(crate) struct Applying<'a> {
    pub(crate) view: &'a MetaView,
    pub(crate) batch: &'a mut Batch,
    pub(crate) counters: &'a mut Counters,
    outcomes: &'a mut Outcomes,
    removed: &'a mut Outcomes,
}

impl MetaMachine {
    /// An unopened machine, and what others read of it.
    #[must_use]
    pub fn new() -> (MetaMachine, Arc<MetaView>) {
        let (keyspace, opened) = watch::channel(None);
        let view = Arc::new(MetaView {
            keyspace: opened,
            records: Cache::new(FILES_CACHED),
            highest_id: AtomicU32::new(u32::MAX),
            free_from: AtomicU64::new(0),
            next_free: AtomicU64::new(0),
        });
        let machine = MetaMachine {
            view: Arc::clone(&view),
            keyspace,
            counters: Counters::default(),
            outcomes: Outcomes::new(keys::OUTCOME, META_OUTCOMES_MAX),
            removed: Outcomes::new(keys::REMOVED, REMOVED_FILES_MAX),
        };
        (machine, view)
    }
}

impl StateMachine for MetaMachine {
    fn open(&mut self, keyspace: &Keyspace) -> Result<(), StoreError> {
        self.counters = match keyspace.get(&[keys::COUNTERS])? {
            Some(value) => wire::decode(&value).map_err(unreadable)?,
            None => Counters::default(),
        };
        self.outcomes.load(keyspace, self.counters.outcomes)?;
        self.removed.load(keyspace, self.counters.removed)?;
        // What is known of the former keyspace does not hold for the new one.
        self.view.highest_id.store(u32::MAX, Ordering::Relaxed);
        self.keyspace.send_replace(Some(keyspace.clone()));
        self.view.free_from.store(0, Ordering::Relaxed);
        let next_free = self.counters.next_free;
        self.view.next_free.store(next_free, Ordering::Relaxed);
        let highest_id = self.counters.highest_id;
        self.view.highest_id.store(highest_id, Ordering::Relaxed);
        // After the new keyspace is in place: readers may have added what the former one held.
        self.view.records.clear();
        Ok(())
    }

    fn apply(
        &mut self,
        _index: u64,
        command: &[u8],
        batch: &mut Batch,
    ) -> Result<Bytes, ApplyError> {
        let commands: Vec<MetaCommand> =
            wire::decode(command).map_err(|fault| ApplyError::NotUnderstood(Box::new(fault)))?;
        let before = self.counters.clone();
        let mut answers = MetaAnswers::with_capacity(commands.len());
        for command in commands {
            let mut applying = Applying {
                view: &self.view,
                batch: &mut *batch,
                counters: &mut self.counters,
                outcomes: &mut self.outcomes,
                removed: &mut self.removed,
            };
            answers.push(match applying.one(command) {
                Ok(answer) => Ok(answer),
                Err(Fault::Refused(refusal)) => Err(refusal),
                Err(Fault::Store(error)) => return Err(error.into()),
            });
        }
        if before != self.counters {
            batch.put(vec![keys::COUNTERS], wire::encode(&self.counters));
        }
        Ok(wire::encode(&answers))
    }

    fn committed(&mut self, _index: u64) {
        // Not before the entries are there to be listed.
        let next_free = self.counters.next_free;
        self.view.next_free.store(next_free, Ordering::Release);
    }
}

impl Applying<'_> {
    fn one(&mut self, command: MetaCommand) -> Applied<MetaAnswer> {
        match command {
            MetaCommand::Create { request, file } => self.create(request, file),
            MetaCommand::Refuse { life, now_ms } => match self.record(life.descriptor)? {
                Some(present) if present.request == life.request => {
                    Ok(MetaAnswer::File(present.file.clone()))
                }
                _ => {
                    self.remove(life, now_ms)?;
                    Ok(MetaAnswer::Done)
                }
            },
            MetaCommand::Put {
                request,
                file,
                blocks,
            } => {
                if let Some(present) = self.made_before(request, file.descriptor)? {
                    return Ok(MetaAnswer::File(present));
                }
                let record = blocks::put(self, request, file, &blocks);
                self.set_record(record)
            }
            MetaCommand::Resize {
                request,
                descriptor,
                size_bytes,
                resize,
                revision,
                now_ms,
            } => self.change((request, descriptor, revision), |applying, record| {
                blocks::resize(applying, record, (size_bytes, resize), now_ms)
            }),
            MetaCommand::Commit {
                request,
                descriptor,
                written,
                size_bytes_at_least,
                revision,
                now_ms,
            } => self.change((request, descriptor, revision), |applying, record| {
                blocks::commit(applying, record, &written, (size_bytes_at_least, now_ms))
            }),
            MetaCommand::SetAttributes {
                request,
                descriptor,
                set,
                remove,
                now_ms,
            } => self.change((request, descriptor, None), |_, record| {
                record.file.modified_ms = now_ms;
                change_attributes(&mut record.file.attributes, set, &remove)
            }),
            MetaCommand::Remove { lives, now_ms } => {
                for life in lives {
                    self.remove(life, now_ms)?;
                }
                Ok(MetaAnswer::Done)
            }
            MetaCommand::Discard { lives, now_ms } => {
                for life in lives {
                    self.discard(life, now_ms)?;
                }
                Ok(MetaAnswer::Done)
            }
            MetaCommand::Seal {
                descriptor,
                revision,
                digest,
            } => self.seal(descriptor, revision, digest),
            MetaCommand::AbortPut {
                descriptor,
                blocks,
                now_ms,
            } => self.abort_put(descriptor, &blocks, now_ms),
            MetaCommand::Freed { sequences } => {
                for sequence in sequences {
                    self.batch.delete(keys::free(sequence));
                }
                Ok(MetaAnswer::Done)
            }
        }
    }

    fn create(&mut self, request: RequestId, file: FileMetaData) -> Applied<MetaAnswer> {
        let Some(present) = self.made_before(request, file.descriptor)? else {
            return self.set_record(FileRecord::new(request, file));
        };
        let knows_none = present.revision == 0 && present.attributes.is_empty();
        match self.record(file.descriptor)? {
            // Made for somebody who found the name without a record and knew no attributes.
            Some(record) if knows_none && !file.attributes.is_empty() => {
                let mut record = (*record).clone();
                record.file.attributes = file.attributes;
                self.set_record(record)
            }
            _ => Ok(MetaAnswer::File(present)),
        }
    }

    /// The file when this request has made its record before; refused when its record must not be
    /// made. A descriptor is one request's alone: leased by its coordinator, or decided.
    fn made_before(
        &self,
        request: RequestId,
        descriptor: FileDescriptor,
    ) -> Applied<Option<FileMetaData>> {
        match self.record(descriptor)? {
            Some(present) if present.request == request => Ok(Some(present.file.clone())),
            Some(_) => Err(Refusal::NotGranted.into()),
            None => self.not_removed(descriptor).map(|()| None),
        }
    }

    /// Changes a record once per request, and only while it has the revision if one is named: a
    /// repetition is answered with the record as it is.
    fn change(
        &mut self,
        (request, descriptor, revision): (RequestId, FileDescriptor, Option<u64>),
        change: impl FnOnce(&mut Self, &mut FileRecord) -> Applied<()>,
    ) -> Applied<MetaAnswer> {
        let Some(present) = self.record(descriptor)? else {
            return Err(Refusal::Gone { descriptor }.into());
        };
        named(request)?;
        if self.outcomes.find(request, self.batch)?.is_some() {
            return Ok(MetaAnswer::File(present.file.clone()));
        }
        if present.file.is_shared() {
            return Err(Refusal::Shared { descriptor }.into());
        }
        let now = present.file.revision;
        if revision.is_some_and(|seen| seen != now) {
            return Err(Refusal::Changed { revision: now }.into());
        }
        let mut record = (*present).clone();
        change(self, &mut record)?;
        record.file.revision += 1;
        self.outcomes
            .remember(request, &[], &mut self.counters.outcomes, self.batch);
        self.set_record(record)
    }

    /// Seals a record that still is as it was digested: nothing has changed it since, but a seal.
    fn seal(
        &mut self,
        descriptor: FileDescriptor,
        revision: u64,
        digest: Digest,
    ) -> Applied<MetaAnswer> {
        let Some(present) = self.record(descriptor)? else {
            return Err(Refusal::Gone { descriptor }.into());
        };
        let (now, is_sealed) = (present.file.revision, present.file.is_shared());
        if is_sealed && [revision, revision + 1].contains(&now) {
            return Ok(MetaAnswer::File(present.file.clone()));
        }
        if is_sealed || now != revision {
            return Err(Refusal::Changed { revision: now }.into());
        }
        let mut record = (*present).clone();
        let mark = (SHARED_ATTRIBUTE.to_owned(), String::new());
        record.file.attributes.extend([mark]);
        record.file.digest = Some(digest);
        record.file.revision += 1;
        self.set_record(record)
    }

    fn abort_put(
        &mut self,
        descriptor: FileDescriptor,
        blocks: &[BlockEntry],
        now_ms: u64,
    ) -> Applied<MetaAnswer> {
        if let Some(present) = self.record(descriptor)? {
            return Ok(MetaAnswer::File(present.file.clone()));
        }
        if !self.is_removed(descriptor)? {
            blocks::give_up_unmade(self, descriptor, blocks, now_ms);
            self.remember_removed(descriptor);
        }
        Ok(MetaAnswer::Done)
    }

    fn remove(&mut self, life: FileLife, now_ms: u64) -> Applied<()> {
        if self.discard(life, now_ms)? {
            self.remember_removed(life.descriptor);
        }
        Ok(())
    }

    fn remember_removed(&mut self, descriptor: FileDescriptor) {
        let mark = mark_of(descriptor);
        self.removed
            .remember(mark, &[], &mut self.counters.removed, self.batch);
    }

    /// Takes a record away; `false` when the file's record is another request's, and stays.
    fn discard(&mut self, life: FileLife, now_ms: u64) -> Applied<bool> {
        let FileLife {
            descriptor,
            request,
        } = life;
        if let Some(present) = self.record(descriptor)? {
            if present.request != request {
                return Ok(false);
            }
            blocks::give_up_all(self, &present, now_ms)?;
            self.batch.delete(keys::record(descriptor));
            self.view.records.set(descriptor, None);
        }
        Ok(true)
    }

    fn not_removed(&self, descriptor: FileDescriptor) -> Applied<()> {
        match self.is_removed(descriptor)? {
            true => Err(Refusal::Gone { descriptor }.into()),
            false => Ok(()),
        }
    }

    fn is_removed(&self, descriptor: FileDescriptor) -> Applied<bool> {
        let mark = self.removed.find(mark_of(descriptor), self.batch)?;
        Ok(mark.is_some())
    }

    fn record(&self, descriptor: FileDescriptor) -> Applied<Option<Arc<FileRecord>>> {
        if let Some(known) = self.view.records.get(&descriptor) {
            return Ok(known);
        }
        if descriptor.id.0 > self.counters.highest_id {
            return Ok(None);
        }
        let Some(value) = self.batch.get(&keys::record(descriptor))? else {
            return Ok(None);
        };
        Ok(Some(Arc::new(wire::decode(&value).map_err(unreadable)?)))
    }

    fn set_record(&mut self, record: FileRecord) -> Applied<MetaAnswer> {
        let descriptor = record.file.descriptor;
        self.batch
            .put(keys::record(descriptor), wire::encode(&record));
        let answer = MetaAnswer::File(record.file.clone());
        let id = descriptor.id.0;
        self.counters.highest_id = self.counters.highest_id.max(id);
        self.view.highest_id.fetch_max(id, Ordering::Relaxed);
        self.view.records.set(descriptor, Some(Arc::new(record)));
        Ok(answer)
    }
}

fn change_attributes(
    attributes: &mut Attributes,
    set: Attributes,
    remove: &[String],
) -> Applied<()> {
    for name in remove {
        attributes.remove(name);
    }
    attributes.extend(set);
    check_attributes(attributes)?;
    Ok(())
}

/// Refuses attributes that weigh too much, or that mservers set.
pub(crate) fn check_attributes(attributes: &Attributes) -> Result<(), Refusal> {
    if attributes.contains_key(SHARED_ATTRIBUTE) {
        return Err(Refusal::OutOfRange {
            what: "the name of an attribute".to_owned(),
            value: SHARED_ATTRIBUTE.to_owned(),
            allowed: "any other: mservers set this one".to_owned(),
        });
    }
    let bytes: usize = attributes
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes <= ATTRIBUTES_BYTES_MAX {
        return Ok(());
    }
    Err(Refusal::OutOfRange {
        what: "the attributes of the file".to_owned(),
        value: format!("{bytes} bytes"),
        allowed: format!("at most {ATTRIBUTES_BYTES_MAX} bytes"),
    })
}

/// Removed files are remembered in a ring of their own, named by their descriptors.
fn mark_of(descriptor: FileDescriptor) -> RequestId {
    RequestId {
        client: u64::from(descriptor.id.0),
        sequence: u64::from(descriptor.version.0),
    }
}
