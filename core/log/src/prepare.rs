//! The preparing thread: makes the next segment ahead of need and takes removed ones away, so
//! that neither stalls an append.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::DiskFile;
use crate::error::LogFailure;
use crate::files::random_life;
use crate::format::SegmentHeader;
use crate::limits::{REMOVE_AGAIN, SEGMENT_HEADER_BYTES, ZERO_STEP_BYTES};
use crate::position::SegmentId;
use crate::queue::{Made, Next, Shared, grown_bytes};
use crate::work::Step;
use crate::writer::is_full;

const SPARE_SUFFIX: &str = ".spare";

enum Job {
    Make {
        is_zeroing_worth: bool,
        segment: SegmentId,
        bytes: u32,
        spare: Option<PathBuf>,
    },
    Remove(Vec<SegmentId>),
    /// The disk is nearly full: what is kept for later is wanted now.
    GiveUp(Vec<PathBuf>),
    /// Nothing for now.
    Wait,
    /// Nothing any more.
    End,
}

/// The preparing thread's own state.
pub(crate) struct Preparer {
    shared: Arc<Shared>,
}

impl Preparer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Does one job, until the disk thread has written all out.
    pub(crate) fn step(&mut self) -> Step {
        let shared = &*self.shared;
        match next_job(shared) {
            Job::Make {
                is_zeroing_worth,
                segment,
                bytes,
                spare,
            } => {
                make_next(shared, segment, spare.as_deref());
                if is_zeroing_worth {
                    zero(shared, segment, bytes);
                }
            }
            Job::Remove(segments) => {
                if !remove(shared, &segments) {
                    return Step::WaitFor(REMOVE_AGAIN);
                }
            }
            Job::GiveUp(spares) => give_up(shared, &spares),
            Job::Wait => return Step::Wait,
            Job::End => return Step::End,
        }
        Step::Again
    }
}

fn next_job(shared: &Shared) -> Job {
    let mut state = shared.lock();
    if state.is_written_out {
        return Job::End;
    }
    if let Next::Wanted {
        is_zeroing_worth,
        after,
    } = state.next
    {
        state.next = Next::Making;
        return Job::Make {
            is_zeroing_worth,
            segment: SegmentId(after.0 + 1),
            bytes: grown_bytes(state.segments.len(), shared.options.segment_bytes),
            spare: state.spares.pop(),
        };
    }
    if !state.spares.is_empty() && !state.has_room_ahead(&shared.options) {
        return Job::GiveUp(std::mem::take(&mut state.spares));
    }
    if !state.to_remove.is_empty() {
        return Job::Remove(std::mem::take(&mut state.to_remove));
    }
    Job::Wait
}

fn make_next(shared: &Shared, segment: SegmentId, spare: Option<&Path>) {
    let made = random_life().and_then(|life| {
        let home = SegmentHeader { segment, life };
        let file = match spare {
            Some(spare) => shared.files.make_from(spare, home)?,
            None => shared.files.make(home)?,
        };
        Ok(Made {
            home,
            file,
            zeroing: false,
        })
    });
    let mut state = shared.lock();
    state.next = match made {
        Ok(made) => {
            shared.files.keep(segment, Arc::clone(&made.file));
            Next::Made(made)
        }
        Err(error) => {
            // Not fatal yet: the disk thread tries for itself when it needs the segment, and
            // fails the log if that fails too.
            tracing::warn!(log = shared.options.name, %segment, %error, "no segment made ahead");
            Next::Absent
        }
    };
    shared.prepared.notify_all();
}

/// Fills the next segment with zeroes behind what the file already has, step by step until it is
/// full-grown or taken.
fn zero(shared: &Shared, segment: SegmentId, bytes: u32) {
    let zeroes = vec![0; ZERO_STEP_BYTES as usize];
    let mut at = None;
    loop {
        let Some(file) = begin_step(shared, segment) else {
            return;
        };
        let result = zero_step(&file, &mut at, bytes, &zeroes);
        let is_more = match result {
            Ok(is_more) => is_more,
            // The rest of the file is merely slower to append to.
            Err(StepFault::Write(error)) if is_full(&error) => {
                tracing::warn!(log = shared.options.name, %segment, %error, "zeroing stopped");
                false
            }
            // Nothing is known of this disk any more: a later sync of it may succeed although
            // what was to be made durable is gone.
            Err(fault) => {
                shared.close_for_good(fault.of(segment));
                false
            }
        };
        // Only now the disk thread may take the segment: it looks whether the log has failed.
        end_step(shared, segment);
        if !is_more {
            return;
        }
    }
}

/// What a step of zeroing failed at.
enum StepFault {
    Write(io::Error),
    Sync(io::Error),
}

impl StepFault {
    fn of(self, segment: SegmentId) -> LogFailure {
        match self {
            StepFault::Write(source) => LogFailure::Write {
                segment,
                source: Arc::new(source),
            },
            StepFault::Sync(source) => LogFailure::Sync {
                segment,
                source: Arc::new(source),
            },
        }
    }
}

/// Whether there is more to do.
fn zero_step(
    file: &Arc<dyn DiskFile>,
    at: &mut Option<u64>,
    bytes: u32,
    zeroes: &[u8],
) -> Result<bool, StepFault> {
    let from = match *at {
        Some(from) => from,
        None => {
            let bytes = file.bytes().map_err(StepFault::Write)?;
            bytes.max(u64::from(SEGMENT_HEADER_BYTES))
        }
    };
    let left = u64::from(bytes)
        .saturating_sub(from)
        .min(zeroes.len() as u64);
    if left > 0 {
        file.write_at(from, &mut [IoSlice::new(&zeroes[..left as usize])])
            .map_err(StepFault::Write)?;
        // Each step is made durable by itself, so that the first commit in the segment does not
        // find all of it waiting.
        file.sync().map_err(StepFault::Sync)?;
    }
    *at = Some(from + left);
    Ok(left > 0)
}

/// Claims the segment for one step, unless the disk thread has taken it.
fn begin_step(shared: &Shared, segment: SegmentId) -> Option<Arc<dyn DiskFile>> {
    let mut state = shared.lock();
    if state.is_closing || !state.has_room_ahead(&shared.options) {
        return None;
    }
    match &mut state.next {
        Next::Made(made) if made.home.segment == segment => {
            made.zeroing = true;
            Some(Arc::clone(&made.file))
        }
        _ => None,
    }
}

fn end_step(shared: &Shared, segment: SegmentId) {
    let mut state = shared.lock();
    if let Next::Made(made) = &mut state.next
        && made.home.segment == segment
    {
        made.zeroing = false;
    }
    shared.prepared.notify_all();
}

/// Takes segments away: kept as spares as far as wanted, else deleted. They are gone for the
/// log's users when that is durable. Whether all are; what is left is tried again.
fn remove(shared: &Shared, segments: &[SegmentId]) -> bool {
    let mut spares = Vec::new();
    let (mut gone, mut left) = (Vec::new(), Vec::new());
    for segment in segments {
        shared.files.forget(*segment);
        let keep = {
            let state = shared.lock();
            let have = state.spares.len() + spares.len();
            have < shared.options.spare_segments as usize && state.has_room_ahead(&shared.options)
        };
        match take_away(shared, *segment, keep) {
            Ok(spare) => spares.extend(spare),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(log = shared.options.name, %segment, %error, "segment not removed");
                left.push(*segment);
                continue;
            }
        }
        gone.push(*segment);
    }
    if let (Err(error), Some(segment)) = (
        shared.files.disk().sync_dir(shared.files.dir()),
        gone.last(),
    ) {
        // As with any sync, a later one proves nothing of what this one was to make durable.
        shared.close_for_good(StepFault::Sync(error).of(*segment));
        return true;
    }
    let mut state = shared.lock();
    for segment in &gone {
        state.segments.remove(segment);
    }
    state.spares.append(&mut spares);
    let are_all_gone = left.is_empty();
    state.to_remove.append(&mut left);
    drop(state);
    shared.ask_for_space();
    are_all_gone
}

fn give_up(shared: &Shared, spares: &[PathBuf]) {
    for path in spares {
        if let Err(error) = shared.files.disk().remove(path) {
            tracing::warn!(log = shared.options.name, ?path, %error, "spare segment not removed");
        }
    }
    shared.ask_for_space();
}

fn take_away(shared: &Shared, segment: SegmentId, keep: bool) -> io::Result<Option<PathBuf>> {
    let path = shared.files.path(segment);
    let disk = shared.files.disk();
    // One record can be larger than a segment; such a file is not worth keeping.
    let keep = keep && disk.open(&path)?.bytes()? <= u64::from(shared.options.segment_bytes);
    if !keep {
        disk.remove(&path)?;
        return Ok(None);
    }
    let spare = shared.files.dir().join(format!("{segment}{SPARE_SUFFIX}"));
    disk.rename(&path, &spare)?;
    Ok(Some(spare))
}

/// Whether a file of this name is a spare.
pub(crate) fn is_spare_name(name: &str) -> bool {
    name.ends_with(SPARE_SUFFIX)
}
