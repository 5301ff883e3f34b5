//! What is told of logs, disks and volumes.

use sdfs_types::Role;
use sdfs_types::calls::status::{ServerStatus, SpaceStatus, VolumeKept};

use super::exposition::{Exposition, ValueOf};
use super::list::{self, Metric};
use crate::observed::LogReading;

pub(crate) fn of_logs(out: &mut Exposition, logs: &[LogReading]) {
    let values: [ValueOf<LogReading>; 6] = [
        (&list::LOG_SYNCS, |log| log.syncs),
        (&list::LOG_RECORDS, |log| log.records),
        (&list::LOG_BYTES, |log| log.record_bytes),
        (&list::LOG_SEGMENTS, |log| log.segments_begun),
        (&list::LOG_QUEUED, |log| log.queued_records),
        (&list::LOG_QUEUED_BYTES, |log| log.queued_bytes),
    ];
    for (metric, value) in values {
        for log in logs {
            out.sample(metric, &[("log", &log.log)], value(log));
        }
    }
}

pub(crate) fn of_spaces(out: &mut Exposition, status: &ServerStatus) {
    let values: [ValueOf<SpaceStatus>; 10] = [
        (&list::SPACE_FAILED, |space| space.failed.is_some().into()),
        (&list::SPACE_FREE, |space| space.free_bytes),
        (&list::SPACE_ROOM, |space| space.room_bytes),
        (&list::SPACE_LIVE, |space| space.live_bytes),
        (&list::SPACE_SEGMENTS, |space| space.segment_bytes),
        (&list::SPACE_BLOCKS, |space| space.blocks),
        (&list::SPACE_DAMAGED, |space| space.scrub.damaged),
        (&list::SPACE_REPAIRED, |space| space.scrub.repaired),
        (&list::SCRUB_PASSES, |space| space.scrub.passes),
        (&list::SCRUB_CHECKED, |space| space.scrub.checked_bytes),
    ];
    for (metric, value) in values {
        for space in &status.spaces {
            out.sample(metric, &[("space", &space.path)], value(space));
        }
    }
}

pub(crate) fn of_volumes(out: &mut Exposition, status: &ServerStatus) {
    // The map of one who hears no majority may be old, and tells of nothing that is now.
    if status.role == Role::Mserver && status.hears_majority {
        map(out, status);
    }
    let values: [ValueOf<VolumeKept>; 3] = [
        (&list::KEPT_BLOCKS, |kept| kept.blocks),
        (&list::KEPT_BYTES, |kept| kept.bytes),
        (&list::SYNCING, |kept| kept.sync.is_some().into()),
    ];
    for (metric, value) in values {
        of_kept(out, &status.kept, metric, |kept| Some(value(kept)));
    }
    of_kept(out, &status.kept, &list::SYNC_DONE, |kept| {
        kept.sync.map(|sync| sync.done_bytes)
    });
    of_kept(out, &status.kept, &list::SYNC_COPIED, |kept| {
        kept.sync.map(|sync| sync.copied_bytes)
    });
}

fn of_kept(
    out: &mut Exposition,
    kept: &[VolumeKept],
    metric: &'static Metric,
    value: impl Fn(&VolumeKept) -> Option<u64>,
) {
    for kept in kept {
        if let Some(value) = value(kept) {
            out.sample(metric, &[("volume", &*kept.volume.to_string())], value);
        }
    }
}

fn map(out: &mut Exposition, status: &ServerStatus) {
    let labelled = |id: sdfs_types::VolumeId| id.to_string();
    let volumes = &status.volumes;
    for volume in volumes {
        let copies = volume.readable().filter(|server| status.hears(*server));
        let copies = copies.count() as u64;
        let labels = [("volume", &*labelled(volume.id))];
        out.sample(&list::VOLUME_COPIES, &labels, copies);
    }
    for volume in volumes {
        let members = volume.members.len() as u64;
        let labels = [("volume", &*labelled(volume.id))];
        out.sample(&list::VOLUME_MEMBERS, &labels, members);
    }
    for volume in volumes {
        let labels = [("volume", &*labelled(volume.id))];
        let takes_writes = volume.takes_writes(|server| status.hears(server));
        out.sample(&list::VOLUME_WRITABLE, &labels, takes_writes.into());
    }
    for volume in volumes {
        let labels = [("volume", &*labelled(volume.id))];
        out.sample(&list::VOLUME_EPOCH, &labels, volume.epoch.0.into());
    }
}
