//! Opening a log: finds its segments, hands out their records, and finds the place to go on.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::DiskFile;
use crate::error::OpenError;
use crate::files::{Files, random_life};
use crate::format::{HeaderFault, RecordHeader, SegmentHeader, padded, segment_of_file_name};
use crate::limits::{REPLAY_READ_BYTES, SEGMENT_HEADER_BYTES};
use crate::options::LogOptions;
use crate::position::{Position, SegmentId};
use crate::prepare::is_spare_name;
use crate::queue::{Made, SegmentEnd, Tail, grown_bytes};
use crate::report::{DamagedRange, ReplayReport};
use crate::scan::{OnRecord, Scanned, scan};
use crate::writer::Active;

/// A log as found on disk.
pub(crate) struct Replayed {
    pub(crate) active: Active,
    pub(crate) tail: Tail,
    pub(crate) segments: Vec<(SegmentId, SegmentEnd)>,
    pub(crate) next: Option<Made>,
    pub(crate) spares: Vec<PathBuf>,
    pub(crate) report: ReplayReport,
}

/// A segment whose file bears a valid header.
struct Begun {
    home: SegmentHeader,
    file: Arc<dyn DiskFile>,
    scanned: Scanned,
}

struct Replay<'a> {
    files: &'a Files,
    options: &'a LogOptions,
    report: ReplayReport,
    segments: Vec<(SegmentId, SegmentEnd)>,
    /// Valid and without records, in order of their numbers.
    empty: Vec<Begun>,
    /// The last with records.
    last: Option<Begun>,
}

/// Replays what is in the directory of `files`.
pub(crate) fn replay(
    files: &Files,
    options: &LogOptions,
    from: Option<Position>,
    on_record: OnRecord<'_>,
) -> Result<Replayed, OpenError> {
    let names = files
        .disk()
        .list(files.dir())
        .map_err(failed("listing", files.dir()))?;
    let mut found: Vec<SegmentId> = names
        .iter()
        .filter_map(|n| segment_of_file_name(n))
        .collect();
    found.sort_unstable();
    let mut replay = Replay {
        files,
        options,
        report: ReplayReport::default(),
        segments: Vec::new(),
        empty: Vec::new(),
        last: None,
    };
    let first = from.map_or(SegmentId(0), Position::segment_id);
    for segment in found {
        if segment < first {
            replay.skip(segment)?;
        } else {
            let start = from
                .filter(|from| from.segment_id() == segment)
                .map(|from| from.offset);
            replay.segment(segment, start, on_record)?;
        }
    }
    let spares = replay.spares(&names)?;
    replay.finish(first, spares)
}

impl Replay<'_> {
    /// Takes note of a segment that is not read.
    fn skip(&mut self, segment: SegmentId) -> Result<(), OpenError> {
        let path = self.files.path(segment);
        let file = self.files.get(segment).map_err(failed("opening", &path))?;
        let bytes = file.bytes().map_err(failed("measuring", &path))?;
        self.note(segment, u32::try_from(bytes).unwrap_or(u32::MAX));
        Ok(())
    }

    fn note(&mut self, segment: SegmentId, offset: u32) {
        self.segments.push((
            segment,
            SegmentEnd {
                offset,
                is_removed: false,
            },
        ));
    }

    fn segment(
        &mut self,
        segment: SegmentId,
        start: Option<u32>,
        on_record: OnRecord<'_>,
    ) -> Result<(), OpenError> {
        let path = self.files.path(segment);
        let file = self.files.get(segment).map_err(failed("opening", &path))?;
        let header = file.read_at(0, SEGMENT_HEADER_BYTES as usize);
        let header = header.map_err(failed("reading", &path))?;
        let decoded = SegmentHeader::decode(&header, segment);
        // A header is durable before the first record, so one that is blank has rotted.
        let is_rotten = decoded == Err(HeaderFault::Blank)
            && has_content(&*file).map_err(failed("reading", &path))?;
        let home = match decoded {
            Ok(home) => home,
            Err(HeaderFault::Version { version, known }) => {
                return Err(OpenError::Version {
                    path,
                    version,
                    known,
                });
            }
            Err(HeaderFault::NotBegun | HeaderFault::Blank) if !is_rotten => {
                self.files.forget(segment);
                return self
                    .files
                    .disk()
                    .remove(&path)
                    .map_err(failed("removing", &path));
            }
            Err(_) => {
                let bytes = file.bytes().map_err(failed("measuring", &path))?;
                self.damaged(segment, 0, u32::try_from(bytes).unwrap_or(u32::MAX), true);
                self.note(segment, SEGMENT_HEADER_BYTES);
                return Ok(());
            }
        };
        let from = start
            .unwrap_or(SEGMENT_HEADER_BYTES)
            .max(SEGMENT_HEADER_BYTES);
        let scanned = scan(&file, home, from, on_record).map_err(failed("reading", &path))?;
        let begun = Begun {
            home,
            file,
            scanned,
        };
        if begun.scanned.end == SEGMENT_HEADER_BYTES {
            self.empty.push(begun);
        } else {
            self.begun(begun, from);
        }
        Ok(())
    }

    fn begun(&mut self, begun: Begun, from: u32) {
        // A segment is ended before the next one gets records, so one that is not has lost its end.
        if let Some(before) = self.last.take()
            && !before.scanned.is_ended
        {
            self.damaged(before.home.segment, before.scanned.end, 0, true);
        }
        let Scanned { records, end, .. } = begun.scanned;
        // One with records is the last: those before it that seem empty have lost theirs.
        for lost in std::mem::take(&mut self.empty) {
            self.damaged(lost.home.segment, SEGMENT_HEADER_BYTES, 0, true);
            self.note(lost.home.segment, SEGMENT_HEADER_BYTES);
        }
        self.report.records += records;
        self.report.bytes += u64::from(end - from);
        for gap in &begun.scanned.gaps {
            self.damaged(begun.home.segment, gap.offset, gap.bytes, gap.was_synced);
        }
        self.note(begun.home.segment, end);
        self.last = Some(begun);
    }

    fn damaged(&mut self, segment: SegmentId, offset: u32, bytes: u32, was_synced: bool) {
        self.report.damaged.push(DamagedRange {
            segment,
            offset,
            bytes,
            was_synced,
        });
    }

    /// Spare files, as many as are wanted; the others are deleted.
    fn spares(&self, names: &[String]) -> Result<Vec<PathBuf>, OpenError> {
        let spares = names.iter().filter(|name| is_spare_name(name));
        let mut spares: Vec<PathBuf> = spares.map(|name| self.files.dir().join(name)).collect();
        let wanted = spares.len().min(self.options.spare_segments as usize);
        for path in spares.drain(wanted..) {
            self.files
                .disk()
                .remove(&path)
                .map_err(failed("removing", &path))?;
        }
        Ok(spares)
    }

    fn finish(mut self, first: SegmentId, spares: Vec<PathBuf>) -> Result<Replayed, OpenError> {
        let last_noted = self
            .segments
            .last()
            .map_or(SegmentId(0), |(segment, _)| *segment);
        let above = first.max(last_noted);
        // The next one, and the one made ahead of need behind it.
        if above.0 > u32::MAX - 2 {
            return Err(OpenError::NoNumber { after: above });
        }
        let active = match self.last.take() {
            Some(last) if last.home.segment == last_noted && !last.scanned.is_ended => {
                self.go_on(last)?
            }
            _ => self.begin(SegmentId(above.0 + 1))?,
        };
        let next_id = SegmentId(active.home.segment.0 + 1);
        let mut next = None;
        for begun in std::mem::take(&mut self.empty) {
            if begun.home.segment == next_id {
                next = Some(Made {
                    home: begun.home,
                    file: begun.file,
                    zeroing: false,
                });
            } else {
                let path = self.files.path(begun.home.segment);
                self.files.forget(begun.home.segment);
                self.files
                    .disk()
                    .remove(&path)
                    .map_err(failed("removing", &path))?;
            }
        }
        let path = self.files.path(active.home.segment);
        let file_bytes = active.file.bytes().map_err(failed("measuring", &path))?;
        let others = self
            .segments
            .iter()
            .filter(|(id, _)| *id != active.home.segment)
            .count();
        let grown = grown_bytes(others, self.options.segment_bytes);
        let has = u32::try_from(file_bytes)
            .unwrap_or(u32::MAX)
            .min(self.options.segment_bytes);
        let tail = Tail {
            segment: active.home.segment,
            offset: active.offset,
            capacity: grown.max(has),
        };
        Ok(Replayed {
            active,
            tail,
            segments: self.segments,
            next,
            spares,
            report: self.report,
        })
    }

    /// Goes on in the last segment, or in the one after it when this one's end is torn.
    fn go_on(&mut self, last: Begun) -> Result<Active, OpenError> {
        let path = self.files.path(last.home.segment);
        // What a killed process wrote may be in the page cache only, and is about to be relied on.
        last.file.sync().map_err(failed("syncing", &path))?;
        let offset = last.scanned.end;
        let Some(torn) = last.scanned.gaps.iter().find(|gap| !gap.was_synced) else {
            let (home, file) = (last.home, last.file);
            return Ok(Active {
                home,
                file,
                offset,
                synced_to: offset,
                commits: 1,
                is_ended: false,
            });
        };
        let end = RecordHeader::end(last.home, torn.offset).encode(&[]);
        let written = last
            .file
            .write_at(u64::from(offset), &mut [IoSlice::new(&end)]);
        written
            .and_then(|()| last.file.sync())
            .map_err(failed("ending", &path))?;
        if let Some((_, segment_end)) = self.segments.last_mut() {
            segment_end.offset += padded(end.len() as u32);
        }
        self.begin(SegmentId(last.home.segment.0 + 1))
    }

    /// The segment made ahead under this number, or a new one.
    fn begin(&mut self, segment: SegmentId) -> Result<Active, OpenError> {
        if let Some(at) = self
            .empty
            .iter()
            .position(|begun| begun.home.segment == segment)
        {
            let begun = self.empty.remove(at);
            return Ok(fresh(begun.home, begun.file));
        }
        let path = self.files.path(segment);
        let made = random_life().and_then(|life| {
            let home = SegmentHeader { segment, life };
            Ok(fresh(home, self.files.make(home)?))
        });
        let active = made.map_err(failed("making", &path))?;
        self.files.keep(segment, Arc::clone(&active.file));
        Ok(active)
    }
}

/// Whether something was written where the first records are.
fn has_content(file: &dyn DiskFile) -> io::Result<bool> {
    let bytes = file.read_at(u64::from(SEGMENT_HEADER_BYTES), REPLAY_READ_BYTES)?;
    Ok(bytes.iter().any(|byte| *byte != 0))
}

fn fresh(home: SegmentHeader, file: Arc<dyn DiskFile>) -> Active {
    let start = SEGMENT_HEADER_BYTES;
    Active {
        home,
        file,
        offset: start,
        synced_to: start,
        commits: 0,
        is_ended: false,
    }
}

/// Turns what the disk said into an error that names what was tried.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Disk {
        action,
        path,
        source,
    }
}
