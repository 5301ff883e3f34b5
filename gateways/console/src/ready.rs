//! Whether a server can serve now, and if not, why. Pure.

use sdfs_server_group::Role;
use sdfs_types::calls::status::ServerStatus;

use crate::limits::QUORUM_ELECTIONS_MAX;
use crate::observed::GroupReading;

/// Why the server cannot serve, each reason a sentence; empty when it can. `election_ms` is the
/// configured time of an election.
#[must_use]
pub fn not_ready(status: &ServerStatus, groups: &[GroupReading], election_ms: u64) -> Vec<String> {
    let mut why = Vec::new();
    if !status.hears_majority {
        why.push(no_majority(status));
    }
    match status.role {
        Role::Mserver => {
            let root = groups.iter().find(|group| group.group == 0);
            why.extend(root.and_then(|root| without_lead(root, status, election_ms)));
        }
        Role::Dserver => {
            let spaces = &status.spaces;
            if spaces.iter().all(|space| space.failed.is_some()) {
                let of = spaces.first().and_then(|space| space.failed.as_deref());
                let cause = of.unwrap_or("none is open");
                why.push(format!("no disk works: {cause}"));
            }
        }
        Role::Client => {}
    }
    why
}

fn no_majority(status: &ServerStatus) -> String {
    let mservers = status
        .peers
        .iter()
        .filter(|peer| peer.role == Role::Mserver);
    let (up, away): (Vec<_>, Vec<_>) = mservers.partition(|peer| peer.is_up());
    let itself = usize::from(status.role == Role::Mserver);
    let names: Vec<_> = away.iter().map(|peer| peer.name.as_str()).collect();
    format!(
        "no majority of the mservers is heard: {} of {}; not {}",
        up.len() + itself,
        up.len() + away.len() + itself,
        names.join(", ")
    )
}

fn without_lead(root: &GroupReading, status: &ServerStatus, election_ms: u64) -> Option<String> {
    let leader = match root.leader {
        None => return Some("the root group has no leader".to_owned()),
        Some(leader) => leader,
    };
    if leader == status.server {
        let ms_ago = root.quorum_ms_ago?;
        let is_late = ms_ago > QUORUM_ELECTIONS_MAX * election_ms;
        return is_late.then(|| {
            format!(
                "this server leads the root group, and no majority has answered for {ms_ago} ms"
            )
        });
    }
    let peer = status.peers.iter().find(|peer| peer.server == leader);
    match peer {
        Some(peer) if peer.is_up() => None,
        Some(peer) => Some(format!(
            "the leader of the root group, {}, is not heard",
            peer.name
        )),
        None => Some(format!(
            "the leader of the root group, {leader}, is unknown"
        )),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use sdfs_types::ServerId;
    use sdfs_types::calls::status::{PeerStatus, ScrubStatus, SpaceStatus};

    use super::*;

    pub(crate) fn peer(number: u16, role: Role, state: &str) -> PeerStatus {
        PeerStatus {
            server: ServerId(number),
            name: format!("{role}-{number}"),
            role,
            address: String::new(),
            state: state.to_owned(),
            rtt_us: Some(100),
            rtt_min_us: Some(50),
            jitter_us: Some(5),
            free_bytes: None,
            established: 1,
        }
    }

    pub(crate) fn space(failed: Option<&str>) -> SpaceStatus {
        SpaceStatus {
            path: "/disk".to_owned(),
            failed: failed.map(ToOwned::to_owned),
            blocks: 0,
            live_bytes: 0,
            segment_bytes: 0,
            free_bytes: 1 << 30,
            room_bytes: 1 << 30,
            volumes: Vec::new(),
            scrub: ScrubStatus::default(),
        }
    }

    pub(crate) fn status(role: Role, peers: Vec<PeerStatus>) -> ServerStatus {
        let others = peers.iter().filter(|peer| peer.role == Role::Mserver);
        let up = others.clone().filter(|peer| peer.is_up()).count();
        let itself = usize::from(role == Role::Mserver);
        ServerStatus {
            server: ServerId(1),
            name: format!("{role}-1"),
            role,
            address: String::new(),
            program: String::new(),
            up_s: 1,
            hears_majority: 2 * (up + itself) > others.count() + itself,
            peers,
            groups: Vec::new(),
            volumes: Vec::new(),
            spaces: if role == Role::Dserver {
                vec![space(None)]
            } else {
                Vec::new()
            },
            kept: Vec::new(),
        }
    }

    fn led_by(leader: Option<u16>, quorum_ms_ago: Option<u64>) -> [GroupReading; 1] {
        [GroupReading {
            leader: leader.map(ServerId),
            quorum_ms_ago,
            ..GroupReading::default()
        }]
    }

    #[test]
    fn a_minority_is_never_ready() {
        let peers = vec![
            peer(2, Role::Mserver, "Waiting"),
            peer(3, Role::Mserver, "Dialing"),
        ];
        let why = not_ready(&status(Role::Mserver, peers), &led_by(Some(1), None), 1_000);
        assert_eq!(
            why[0],
            "no majority of the mservers is heard: 1 of 3; not mserver-2, mserver-3"
        );
    }

    #[test]
    fn a_leader_nobody_answers_is_not_ready() {
        let peers = || {
            vec![
                peer(2, Role::Mserver, "Up"),
                peer(3, Role::Mserver, "Waiting"),
            ]
        };
        let status = status(Role::Mserver, peers());
        let ready = |groups: &[GroupReading]| not_ready(&status, groups, 1_000);
        assert!(ready(&led_by(Some(1), Some(3_000))).is_empty());
        assert!(ready(&led_by(Some(2), None)).is_empty());
        assert!(ready(&led_by(Some(1), Some(3_001)))[0].contains("3001 ms"));
        assert!(ready(&led_by(None, None))[0].contains("no leader"));
        assert!(ready(&led_by(Some(3), None))[0].contains("mserver-3, is not heard"));
    }

    #[test]
    fn a_dserver_needs_a_disk() {
        let mut dserver = status(Role::Dserver, vec![peer(2, Role::Mserver, "Up")]);
        assert!(not_ready(&dserver, &[], 1_000).is_empty());
        dserver.spaces = vec![space(Some("EIO"))];
        assert_eq!(not_ready(&dserver, &[], 1_000), ["no disk works: EIO"]);
        dserver.spaces.push(space(None));
        assert!(not_ready(&dserver, &[], 1_000).is_empty());
    }
}
