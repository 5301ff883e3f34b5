//! What has changed between two looks at a server, as sentences. Pure.

use std::collections::BTreeMap;

use sdfs_types::calls::activity::Severity;
use sdfs_types::calls::status::ServerStatus;
use sdfs_types::{Outlook, Role, Volume, VolumeId};

/// A change worth telling.
pub(crate) type Change = (Severity, String);

/// What is told of the way from one look to the next.
pub(crate) fn changes(before: &ServerStatus, now: &ServerStatus) -> Vec<Change> {
    let mut told = Vec::new();
    majority(before, now, &mut told);
    peers(before, now, &mut told);
    leaders(before, now, &mut told);
    if now.role == Role::Mserver {
        volumes(before, now, &mut told);
    }
    spaces(before, now, &mut told);
    told
}

fn majority(before: &ServerStatus, now: &ServerStatus, told: &mut Vec<Change>) {
    match (before.hears_majority, now.hears_majority) {
        (true, false) => told.push((
            Severity::Trouble,
            "no majority of the mservers is heard any more".to_owned(),
        )),
        (false, true) => told.push((
            Severity::News,
            "a majority of the mservers is heard again".to_owned(),
        )),
        _ => {}
    }
}

fn peers(before: &ServerStatus, now: &ServerStatus, told: &mut Vec<Change>) {
    for peer in &now.peers {
        let was = before.peers.iter().find(|was| was.server == peer.server);
        let Some(was) = was else {
            told.push((Severity::News, format!("{} is expected", peer.name)));
            continue;
        };
        match (was.is_up(), peer.is_up()) {
            (true, false) => told.push((Severity::Trouble, format!("{} is lost", peer.name))),
            (false, true) => told.push((Severity::News, format!("{} is heard", peer.name))),
            (true, true) if was.established != peer.established => {
                told.push((Severity::Warning, format!("{} was lost briefly", peer.name)));
            }
            (true, true) if was.state == "Up" && peer.state == "Silent" => {
                told.push((Severity::Warning, format!("{} is silent", peer.name)));
            }
            _ => {}
        }
    }
    for was in &before.peers {
        if !now.peers.iter().any(|peer| peer.server == was.server) {
            told.push((
                Severity::News,
                format!("{} belongs to the cluster no more", was.name),
            ));
        }
    }
}

fn leaders(before: &ServerStatus, now: &ServerStatus, told: &mut Vec<Change>) {
    for group in &now.groups {
        let was = before.groups.iter().find(|was| was.group == group.group);
        let Some(was) = was else { continue };
        if was.leader == group.leader {
            continue;
        }
        let what = group_name(group.group);
        told.push(match group.leader {
            Some(leader) => (
                Severity::News,
                format!(
                    "{} leads {what} in term {}",
                    now.name_of(leader),
                    group.term
                ),
            ),
            None => (Severity::Warning, format!("{what} has no leader")),
        });
    }
}

/// What people call a raft group.
#[must_use]
pub fn group_name(group: u8) -> String {
    match group {
        0 => "the root group".to_owned(),
        group => format!("meta group {group}"),
    }
}

/// Volumes are counted, not listed: a lost dserver changes many at once.
fn volumes(before: &ServerStatus, now: &ServerStatus, told: &mut Vec<Change>) {
    let known: BTreeMap<VolumeId, &Volume> =
        before.volumes.iter().map(|one| (one.id, one)).collect();
    let mut count = [0_usize; 4];
    for volume in &now.volumes {
        let Some(was) = known.get(&volume.id) else {
            continue;
        };
        let took = before.hears_majority && was.takes_writes(|server| before.hears(server));
        let takes = now.hears_majority && volume.takes_writes(|server| now.hears(server));
        count[0] += usize::from(was.is_whole() && !volume.is_whole());
        count[1] += usize::from(!was.is_whole() && volume.is_whole());
        count[2] += usize::from(took && !takes);
        count[3] += usize::from(!took && takes);
    }
    let new = now.volumes.len().saturating_sub(known.len());
    // A server without a majority knows of no volume whether it takes writes, and says so itself.
    let closed = now.hears_majority && (count[2] > 0 || !before.hears_majority);
    let outlook = Outlook::of(&now.volumes, |server| now.hears(server));
    let why = outlook.no_writes(&now.peers_without_room(), |server| now.name_of(server));
    told.extend(why.filter(|_| closed).map(|why| (Severity::Trouble, why)));
    let missing = outlook.missing().filter(|_| count[0] > 0);
    told.extend(missing.map(|missing| (Severity::Warning, missing)));
    let sentences = [
        (count[1], Severity::News, "have every copy again"),
        (count[3], Severity::News, "take writes again"),
        (new, Severity::News, "are new"),
    ];
    for (count, severity, what) in sentences {
        if count > 0 {
            told.push((severity, format!("volumes that {what}: {count}")));
        }
    }
}

fn spaces(before: &ServerStatus, now: &ServerStatus, told: &mut Vec<Change>) {
    for space in &now.spaces {
        let was = before.spaces.iter().find(|was| was.path == space.path);
        let Some(was) = was else { continue };
        if let (None, Some(why)) = (&was.failed, &space.failed) {
            let what = format!("the disk at {} is closed: {why}", space.path);
            told.push((Severity::Trouble, what));
        }
        let disk = &space.path;
        match (was.has_no_room(), space.has_no_room()) {
            (false, true) if space.failed.is_none() => {
                told.push((Severity::Trouble, format!("the disk at {disk} has no room")));
            }
            (true, false) => {
                told.push((Severity::News, format!("the disk at {disk} has room again")));
            }
            _ => {}
        }
        let damaged = space.scrub.damaged.saturating_sub(was.scrub.damaged);
        if damaged > 0 {
            let what = format!("damaged blocks found at {}: {damaged}", space.path);
            told.push((Severity::Trouble, what));
        }
        let repaired = space.scrub.repaired.saturating_sub(was.scrub.repaired);
        if repaired > 0 {
            let what = format!("damaged blocks repaired at {}: {repaired}", space.path);
            told.push((Severity::News, what));
        }
        if space.scrub.passes > was.scrub.passes {
            let what = format!("everything at {} is verified", space.path);
            told.push((Severity::News, what));
        }
    }
}

#[cfg(test)]
mod tests {
    use sdfs_types::calls::status::GroupStatus;
    use sdfs_types::{Epoch, MemberState, ServerId, VolumeMember, VolumeStatus};

    use super::*;
    use crate::ready::tests::{peer, space, status};

    fn sentences(before: &ServerStatus, now: &ServerStatus) -> Vec<String> {
        let changes = changes(before, now);
        changes.into_iter().map(|(_, what)| what).collect()
    }

    fn group(leader: Option<u16>, term: u64) -> GroupStatus {
        GroupStatus {
            group: 0,
            leader: leader.map(ServerId),
            term,
            last_log: 0,
            applied: 0,
            voters: Vec::new(),
        }
    }

    fn volume(state: MemberState, volume_status: VolumeStatus) -> Volume {
        Volume {
            id: VolumeId(1),
            epoch: Epoch(1),
            members: vec![VolumeMember {
                server: ServerId(4),
                state,
            }],
            status: volume_status,
        }
    }

    #[test]
    fn nothing_changed_is_nothing_told() {
        let now = status(Role::Mserver, vec![peer(2, Role::Mserver, "Up")]);
        assert_eq!(sentences(&now, &now), [""; 0]);
    }

    #[test]
    fn lost_and_found_servers_are_told() {
        let both = |state| {
            let peers = vec![peer(2, Role::Mserver, state), peer(3, Role::Mserver, "Up")];
            status(Role::Mserver, peers)
        };
        assert_eq!(
            sentences(&both("Up"), &both("Waiting")),
            ["mserver-2 is lost"]
        );
        assert_eq!(
            sentences(&both("Proving"), &both("Up")),
            ["mserver-2 is heard"]
        );
        assert_eq!(
            sentences(&both("Up"), &both("Silent")),
            ["mserver-2 is silent"]
        );
        let mut again = both("Up");
        again.peers[0].established += 1;
        assert_eq!(
            sentences(&both("Up"), &again),
            ["mserver-2 was lost briefly"]
        );
        let alone = status(
            Role::Mserver,
            vec![
                peer(2, Role::Mserver, "Waiting"),
                peer(3, Role::Mserver, "Waiting"),
            ],
        );
        assert_eq!(
            sentences(&both("Waiting"), &alone),
            [
                "no majority of the mservers is heard any more",
                "mserver-3 is lost"
            ]
        );
    }

    #[test]
    fn leaders_are_told_by_name() {
        let led = |leader, term| {
            let mut status = status(Role::Mserver, vec![peer(2, Role::Mserver, "Up")]);
            status.groups = vec![group(leader, term)];
            status
        };
        assert_eq!(
            sentences(&led(Some(1), 3), &led(Some(2), 4)),
            ["mserver-2 leads the root group in term 4"]
        );
        assert_eq!(
            sentences(&led(Some(1), 3), &led(None, 4)),
            ["the root group has no leader"]
        );
    }

    #[test]
    fn volumes_and_disks_are_told() {
        let with = |state, volume_status| {
            let mut status = status(Role::Mserver, vec![peer(4, Role::Dserver, "Up")]);
            status.volumes = vec![volume(state, volume_status)];
            status
        };
        let whole = with(MemberState::InSync, VolumeStatus::Writable);
        let broken = with(MemberState::Out, VolumeStatus::ReadOnly);
        assert_eq!(
            sentences(&whole, &broken),
            [
                "1 of 1 volumes takes no writes: too few copies are in sync",
                "1 of 1 volumes misses a copy"
            ]
        );
        let mut waiting = whole.clone();
        waiting.peers = vec![peer(4, Role::Dserver, "Dialing")];
        let name = &waiting.peers[0].name;
        assert_eq!(
            sentences(&whole, &waiting),
            [
                format!("{name} is lost"),
                format!("1 of 1 volumes takes no writes: waiting for {name}")
            ]
        );
        assert_eq!(
            sentences(&broken, &whole),
            [
                "volumes that have every copy again: 1",
                "volumes that take writes again: 1"
            ]
        );
        let good = status(Role::Dserver, Vec::new());
        let mut bad = good.clone();
        bad.spaces = vec![space(Some("EIO"))];
        bad.spaces[0].scrub.damaged = 2;
        assert_eq!(
            sentences(&good, &bad),
            [
                "the disk at /disk is closed: EIO",
                "damaged blocks found at /disk: 2"
            ]
        );
    }
}
