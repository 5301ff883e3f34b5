//! In which order the members of a volume are asked, and which volume takes a block.

use std::time::Duration;

use sdfs_types::{ServerId, Volume, VolumeId};

/// Waiting bytes below this make no server busier than another.
const BUSY_STEP_BYTES: u64 = 128 << 10;
/// Twice the way of the nearest and this more is another place, not noise.
const FAR: Duration = Duration::from_millis(1);

/// A dserver as the client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Which one.
    pub(crate) server: ServerId,
    /// Round-trip time, once measured.
    pub(crate) rtt: Option<Duration>,
    /// Bytes on the way to or from it.
    pub(crate) waiting_bytes: u64,
    /// Whether it was silent, lost or out of order a short time ago.
    pub(crate) is_avoided: bool,
}

/// Orders members: in good order, near, least busy; equal ones in turn.
pub(crate) fn rank(members: &mut [Member], turn: u64) {
    let least = members
        .iter()
        .filter_map(|member| member.rtt)
        .min()
        .unwrap_or_default();
    let count = members.len().max(1) as u64;
    members.sort_by_key(|member| {
        let is_far = member.rtt.is_some_and(|rtt| rtt > least * 2 + FAR);
        let place = (u64::from(member.server.0) + turn) % count;
        (
            member.is_avoided,
            is_far,
            member.waiting_bytes / BUSY_STEP_BYTES,
            place,
        )
    });
}

/// The volume for a block: the first in `order` that takes blocks and has not failed, preferably
/// one without a server that is avoided.
pub(crate) fn choose_volume<'a>(
    order: impl Iterator<Item = &'a Volume>,
    failed: &[VolumeId],
    is_avoided: impl Fn(ServerId) -> bool,
) -> Option<VolumeId> {
    let mut second = None;
    for volume in order {
        if !volume.is_writable() || failed.contains(&volume.id) {
            continue;
        }
        if !volume.acknowledging().any(&is_avoided) {
            return Some(volume.id);
        }
        second = second.or(Some(volume.id));
    }
    second
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_types::{Epoch, MemberState, VolumeMember, VolumeStatus};

    fn member(server: u16, rtt_us: u64, waiting_bytes: u64) -> Member {
        let rtt = Some(Duration::from_micros(rtt_us));
        Member {
            server: ServerId(server),
            rtt,
            waiting_bytes,
            is_avoided: false,
        }
    }

    fn ranked(mut members: Vec<Member>, turn: u64) -> Vec<u16> {
        rank(&mut members, turn);
        members.iter().map(|member| member.server.0).collect()
    }

    #[test]
    fn equal_members_take_turns() {
        let members = || vec![member(4, 50, 0), member(5, 60, 0), member(6, 55, 100)];
        let firsts: Vec<_> = (0..3).map(|turn| ranked(members(), turn)[0]).collect();
        let mut sorted = firsts.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [4, 5, 6], "{firsts:?}");
    }

    #[test]
    fn busy_far_and_broken_come_last() {
        assert_eq!(
            ranked(vec![member(4, 50, 8 << 20), member(5, 50, 0)], 0),
            [5, 4]
        );
        assert_eq!(
            ranked(vec![member(4, 20_000, 0), member(5, 50, 8 << 20)], 1),
            [5, 4]
        );
        let broken = Member {
            is_avoided: true,
            ..member(4, 10, 0)
        };
        assert_eq!(ranked(vec![broken, member(5, 20_000, 8 << 20)], 0), [5, 4]);
    }

    fn volume(id: u32, status: VolumeStatus, servers: &[u16]) -> Volume {
        let state = MemberState::InSync;
        let member = |server: &u16| VolumeMember {
            server: ServerId(*server),
            state,
        };
        let members = servers.iter().map(member).collect();
        Volume {
            id: VolumeId(id),
            epoch: Epoch(1),
            members,
            status,
        }
    }

    #[test]
    fn broken_servers_are_avoided_when_possible() {
        let volumes = [
            volume(1, VolumeStatus::Full, &[4, 5]),
            volume(2, VolumeStatus::Writable, &[4, 5]),
            volume(3, VolumeStatus::Degraded, &[5, 6]),
        ];
        let choose = |failed: &[u32], broken: u16| {
            let failed: Vec<_> = failed.iter().copied().map(VolumeId).collect();
            let is_avoided = |server| server == ServerId(broken);
            choose_volume(volumes.iter(), &failed, is_avoided).map(|volume| volume.0)
        };
        assert_eq!(choose(&[], 9), Some(2));
        assert_eq!(choose(&[2], 9), Some(3));
        assert_eq!(choose(&[], 4), Some(3));
        assert_eq!(choose(&[], 5), Some(2));
        assert_eq!(choose(&[3], 4), Some(2));
        assert_eq!(choose(&[2, 3], 9), None);
    }
}
