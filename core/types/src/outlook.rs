//! How a cluster is, in the words that every door uses: console, page, metrics, `status`, `top`
//! and `doctor` say the same of the same. Pure.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::calls::status::{ServerStatus, SpaceStatus};
use crate::volume::{MemberState, Volume, VolumeMember, VolumeStatus};
use sdfs_server_group::{Role, ServerId};

/// A volume is full, and a disk has no room, with less than this left beyond its reserve.
pub const ROOM_BYTES_MIN: u64 = 64 << 20;

/// How a server is that answers, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Condition {
    /// A disk of it is closed after a failure.
    DiskFailed,
    /// It hears no majority of the mservers.
    CutOff,
    /// A disk of it takes nothing new.
    NoRoom,
    /// Nothing is wrong with it.
    Up,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::DiskFailed => "disk failed",
            Self::CutOff => "cut off",
            Self::NoRoom => "no room",
            Self::Up => "up",
        })
    }
}

impl SpaceStatus {
    /// Whether it takes nothing new.
    pub fn has_no_room(&self) -> bool {
        self.room_bytes < ROOM_BYTES_MIN
    }
}

impl ServerStatus {
    /// How the server is.
    pub fn condition(&self) -> Condition {
        if self.spaces.iter().any(|space| space.failed.is_some()) {
            Condition::DiskFailed
        } else if !self.hears_majority {
            Condition::CutOff
        } else if self.has_no_room() {
            Condition::NoRoom
        } else {
            Condition::Up
        }
    }

    /// The dservers that have no room, by what they tell with their pings: what all their disks
    /// that work still take together.
    pub fn peers_without_room(&self) -> Vec<String> {
        let dservers = self.peers.iter().filter(|peer| peer.role == Role::Dserver);
        let full = dservers.filter(|peer| {
            let room = peer.free_bytes.filter(|_| peer.is_up());
            room.is_some_and(|room| room < ROOM_BYTES_MIN)
        });
        full.map(|peer| peer.name.clone()).collect()
    }

    /// Whether a disk of it that works takes nothing new.
    fn has_no_room(&self) -> bool {
        let mut working = self.spaces.iter().filter(|space| space.failed.is_none());
        working.any(SpaceStatus::has_no_room)
    }

    /// What it calls a server, itself included.
    pub fn name_of(&self, server: ServerId) -> String {
        if server == self.server {
            return self.name.clone();
        }
        let peer = self.peers.iter().find(|peer| peer.server == server);
        peer.map_or_else(|| format!("server {server}"), |peer| peer.name.clone())
    }

    /// Whether it hears `server`, itself included.
    pub fn hears(&self, server: ServerId) -> bool {
        let mut peers = self.peers.iter();
        server == self.server || peers.any(|peer| peer.server == server && peer.is_up())
    }
}

impl Volume {
    /// Whether every member is in sync.
    pub fn is_whole(&self) -> bool {
        let mut members = self.members.iter();
        members.all(|member| member.state == MemberState::InSync)
    }

    /// The members without a copy that counts: not in sync, or not by their servers' own word,
    /// since one may have lost its disk before any mserver has heard of it. `known` are the servers
    /// that answer.
    pub fn missing<'a>(
        &'a self,
        known: &'a [&ServerStatus],
    ) -> impl Iterator<Item = &'a VolumeMember> {
        let says = |server: ServerId| {
            let mut known = known.iter();
            let status = known.find(|status| status.server == server);
            status.is_some_and(|status| status.kept.iter().any(|kept| kept.volume == self.id))
        };
        let is_there =
            move |member: &VolumeMember| member.state == MemberState::InSync && says(member.server);
        let members = self.members.iter();
        members.filter(move |member| !is_there(member))
    }

    /// Whether a block can be stored now: the volume takes new ones, and everybody is heard who
    /// has to acknowledge them.
    pub fn takes_writes(&self, is_heard: impl Fn(ServerId) -> bool) -> bool {
        self.is_writable() && self.acknowledging().all(is_heard)
    }
}

/// What all volumes are worth now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outlook {
    /// How many there are.
    pub total: usize,
    /// How many have every copy in sync.
    pub whole: usize,
    /// How many take writes now.
    pub writable: usize,
    /// How many have no room.
    pub full: usize,
    /// How many are closed for another reason: too few copies, or they are being emptied.
    pub stuck: usize,
    /// Who has to acknowledge writes and is not heard.
    pub waiting_for: BTreeSet<ServerId>,
}

impl Outlook {
    /// Looks at `volumes` as somebody who hears those servers.
    pub fn of(volumes: &[Volume], is_heard: impl Fn(ServerId) -> bool) -> Self {
        let count =
            |is_it: &dyn Fn(&Volume) -> bool| volumes.iter().filter(|one| is_it(one)).count();
        let open = volumes.iter().filter(|volume| volume.is_writable());
        let needed = open.flat_map(Volume::acknowledging);
        Self {
            total: volumes.len(),
            whole: count(&Volume::is_whole),
            writable: count(&|volume| volume.takes_writes(&is_heard)),
            full: count(&|volume| volume.status == VolumeStatus::Full),
            stuck: count(&|volume| !volume.is_writable() && volume.status != VolumeStatus::Full),
            waiting_for: needed.filter(|server| !is_heard(*server)).collect(),
        }
    }

    /// Whether every volume has every copy and takes writes.
    pub fn is_good(&self) -> bool {
        self.whole == self.total && self.writable == self.total
    }

    /// Why some volumes take no writes; `None` when all do. `no_room` are the servers whose disks
    /// have none.
    pub fn no_writes(
        &self,
        no_room: &[String],
        name: impl Fn(ServerId) -> String,
    ) -> Option<String> {
        let closed = self.total - self.writable;
        if closed == 0 {
            return None;
        }
        let of = |count: usize, what: &str| match count == closed {
            true => what.to_owned(),
            false => format!("{count} of them: {what}"),
        };
        let mut why = Vec::new();
        if self.full > 0 {
            let what = match no_room {
                [] => "no room".to_owned(),
                [one] => format!("{one} has no room"),
                more => format!("{} have no room", more.join(", ")),
            };
            why.push(of(self.full, &what));
        }
        if self.stuck > 0 {
            why.push(of(self.stuck, "too few copies are in sync"));
        }
        if !self.waiting_for.is_empty() {
            let names: Vec<_> = self.waiting_for.iter().map(|one| name(*one)).collect();
            let waiting = closed - self.full - self.stuck;
            why.push(of(waiting, &format!("waiting for {}", names.join(", "))));
        }
        Some(format!(
            "{} of {} volumes {} no writes: {}",
            closed,
            self.total,
            if closed == 1 { "takes" } else { "take" },
            why.join("; ")
        ))
    }

    /// How many volumes miss a copy; `None` when none does.
    pub fn missing(&self) -> Option<String> {
        let broken = self.total - self.whole;
        let miss = if broken == 1 { "misses" } else { "miss" };
        (broken > 0).then(|| format!("{broken} of {} volumes {miss} a copy", self.total))
    }
}

/// What all volumes are worth, by the word of everybody who answers, and that in sentences: of
/// volumes that take no writes, and of those that miss a copy.
pub fn outlook_of(
    statuses: &[&ServerStatus],
    name: impl Fn(ServerId) -> String,
) -> (Outlook, Vec<String>) {
    let is_heard = |server| statuses.iter().any(|status| status.server == server);
    let volumes = newest_map(statuses.iter().copied()).map_or(&[][..], |status| &status.volumes);
    let outlook = Outlook::of(volumes, is_heard);
    let dservers = statuses.iter().filter(|one| one.role == Role::Dserver);
    let no_room = dservers.filter(|one| one.has_no_room());
    let no_room: Vec<_> = no_room.map(|one| one.name.clone()).collect();
    let no_writes = outlook.no_writes(&no_room, name);
    let said = no_writes.into_iter().chain(outlook.missing()).collect();
    (outlook, said)
}

/// The mserver whose volume map counts: one that hears a majority, and the newest of those, as
/// epochs only grow.
pub fn newest_map<'a>(
    statuses: impl IntoIterator<Item = &'a ServerStatus>,
) -> Option<&'a ServerStatus> {
    let mservers = statuses.into_iter().filter(|one| one.role == Role::Mserver);
    mservers.max_by_key(|status| {
        let epochs = status.volumes.iter().map(|one| u64::from(one.epoch.0));
        (status.hears_majority, epochs.sum::<u64>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Epoch, VolumeId};
    use crate::volume::VolumeMember;

    fn volume(status: VolumeStatus, members: &[(u16, MemberState)]) -> Volume {
        Volume {
            id: VolumeId(1),
            epoch: Epoch(1),
            members: members
                .iter()
                .map(|(server, state)| VolumeMember {
                    server: ServerId(*server),
                    state: *state,
                })
                .collect(),
            status,
        }
    }

    fn said(
        volumes: &[Volume],
        heard: &[u16],
        no_room: &[&str],
    ) -> (Option<String>, Option<String>) {
        let outlook = Outlook::of(volumes, |server| heard.contains(&server.0));
        let no_room: Vec<_> = no_room.iter().map(ToString::to_string).collect();
        let name = |server: ServerId| format!("d{}", server.0);
        (outlook.no_writes(&no_room, name), outlook.missing())
    }

    #[test]
    fn every_reason_has_its_words() {
        use MemberState::{InSync, Out};
        let good = volume(VolumeStatus::Writable, &[(1, InSync), (2, InSync)]);
        let broken = volume(
            VolumeStatus::Degraded,
            &[(1, InSync), (2, InSync), (3, Out)],
        );
        let full = volume(VolumeStatus::Full, &[(1, InSync), (2, InSync)]);
        let stuck = volume(VolumeStatus::ReadOnly, &[(1, InSync), (2, Out)]);
        let some = |text: &str| Some(text.to_owned());
        for (volumes, heard, no_room, told) in [
            (vec![good.clone()], &[1, 2][..], &[][..], (None, None)),
            (vec![], &[], &[], (None, None)),
            (
                vec![broken.clone()],
                &[1, 2],
                &[],
                (None, some("1 of 1 volumes misses a copy")),
            ),
            (
                vec![broken.clone(), broken],
                &[1],
                &[],
                (
                    some("2 of 2 volumes take no writes: waiting for d2"),
                    some("2 of 2 volumes miss a copy"),
                ),
            ),
            (
                vec![good.clone(), full.clone()],
                &[1, 2],
                &["d1"],
                (some("1 of 2 volumes takes no writes: d1 has no room"), None),
            ),
            (
                vec![good, full],
                &[1],
                &[],
                (
                    some(
                        "2 of 2 volumes take no writes: 1 of them: no room; \
                         1 of them: waiting for d2",
                    ),
                    None,
                ),
            ),
            (
                vec![stuck],
                &[1],
                &[],
                (
                    some("1 of 1 volumes takes no writes: too few copies are in sync"),
                    some("1 of 1 volumes misses a copy"),
                ),
            ),
        ] {
            assert_eq!(
                said(&volumes, heard, no_room),
                told,
                "{volumes:?} {heard:?}"
            );
        }
    }
}
