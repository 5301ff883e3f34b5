//! What is likely wrong, from what all servers tell, and what to do about it. Pure.

use sdfs_server_group::Role;
use sdfs_types::calls::activity::Activity;
use sdfs_types::calls::status::ServerStatus;
use sdfs_types::{newest_map, outlook_of};

/// A server, and what it told.
pub(super) struct Looked {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) status: Result<ServerStatus, String>,
    pub(super) activity: Option<Activity>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    /// Whether it keeps the cluster from working.
    pub(super) is_grave: bool,
    /// What it is.
    pub(super) what: String,
    /// What to do.
    pub(super) advice: &'static str,
}

/// Round trips slower than this many times the usual one are told.
const SLOW_TIMES: u64 = 20;
/// Round trips below this are never slow, microseconds.
const SLOW_US: u64 = 20_000;
/// A disk with less free than this share of it is told.
const FREE_SHARE: u64 = 20;
/// Connections lost more often than this an hour are told.
const LOST_AN_HOUR: u64 = 3;

/// What is wrong, the gravest first.
pub(super) fn causes(looked: &[Looked], is_healing_paused: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    silent(looked, &mut causes);
    versions(looked, &mut causes);
    for (one, status) in known(looked) {
        one_server(one, status, &mut causes);
    }
    far(looked, &mut causes);
    volumes(looked, is_healing_paused, &mut causes);
    // Stable: causes of one weight stay in their order.
    causes.sort_by_key(|cause| !cause.is_grave);
    causes
}

fn known(looked: &[Looked]) -> impl Iterator<Item = (&Looked, &ServerStatus)> {
    let answered = |one: &'_ Looked| one.status.is_ok();
    let known = looked.iter().filter(move |one| answered(one));
    known.filter_map(|one| Some((one, one.status.as_ref().ok()?)))
}

fn silent(looked: &[Looked], causes: &mut Vec<Cause>) {
    let mservers = looked.iter().filter(|one| one.role == Role::Mserver);
    let away = mservers.clone().filter(|one| one.status.is_err()).count();
    let all = mservers.count();
    if 2 * (all - away) <= all {
        causes.push(Cause {
            is_grave: true,
            what: format!("{away} of {all} mservers do not answer: there is no majority"),
            advice: "Bring mservers back, or mend the network; nothing can be changed until then",
        });
    }
    for one in looked {
        if let Err(why) = &one.status {
            causes.push(Cause {
                is_grave: false,
                what: format!("{} does not answer: {why}", one.name),
                advice: "Does it run? `systemctl status`, its log; is its address reachable?",
            });
        }
    }
}

fn versions(looked: &[Looked], causes: &mut Vec<Cause>) {
    let mut versions: Vec<_> = known(looked).map(|(_, status)| &status.program).collect();
    versions.sort();
    versions.dedup();
    if versions.len() > 1 {
        let versions: Vec<_> = versions.iter().map(|one| one.as_str()).collect();
        causes.push(Cause {
            is_grave: false,
            what: format!("servers run different versions: {}", versions.join(", ")),
            advice: "Finish the upgrade, one server at a time",
        });
    }
}

fn one_server(one: &Looked, status: &ServerStatus, causes: &mut Vec<Cause>) {
    let mut cause = |is_grave, what, advice| {
        causes.push(Cause {
            is_grave,
            what,
            advice,
        });
    };
    let reasons = one.activity.iter().flat_map(|activity| &activity.not_ready);
    for why in reasons {
        cause(
            true,
            format!("{} is not ready: {why}", one.name),
            "See `/readyz` and its log",
        );
    }
    for space in &status.spaces {
        if let Some(why) = &space.failed {
            let what = format!("{}: the disk at {} is closed: {why}", one.name, space.path);
            cause(
                true,
                what,
                "Replace the disk: docs/OPERATIONS.md, \"Replace a disk\"",
            );
        }
        let left = space.scrub.damaged.saturating_sub(space.scrub.repaired);
        if left > 0 {
            let what = format!("{}: {left} damaged blocks at {}", one.name, space.path);
            cause(
                true,
                what,
                "`sdfs scrub --wait` repairs what another copy has; `sdfs verify`",
            );
        }
    }
    let logs = one.activity.iter().flat_map(|activity| &activity.logs);
    let total: u64 = logs.map(|log| log.total_bytes).sum();
    let free: u64 = status.spaces.iter().map(|space| space.free_bytes).sum();
    if one.role == Role::Dserver && total > 0 && free < total / FREE_SHARE {
        let what = format!("{}: less than a twentieth of its disks is free", one.name);
        cause(
            false,
            what,
            "Empty the trash, add dservers and `sdfs rebalance`",
        );
    }
    links(one, status, &mut cause);
}

fn links(one: &Looked, status: &ServerStatus, cause: &mut impl FnMut(bool, String, &'static str)) {
    for peer in &status.peers {
        let hours = status.up_s / 3_600 + 1;
        if peer.established > 1 + LOST_AN_HOUR * hours {
            let lost = peer.established - 1;
            let what = format!("{} has lost {} {lost} times", one.name, peer.name);
            cause(
                false,
                what,
                "A cable, a switch, or a machine that freezes; `timers` too short",
            );
        }
    }
}

/// Servers that are far from all others, by their nearest one.
fn far(looked: &[Looked], causes: &mut Vec<Cause>) {
    let nearest = |of: &ServerStatus| {
        let others = known(looked).filter(|(_, status)| status.server != of.server);
        let from = others.flat_map(|(_, status)| &status.peers);
        let from = from.filter(|peer| peer.server == of.server);
        let ways = of.peers.iter().chain(from).filter(|peer| peer.is_up());
        ways.filter_map(|peer| peer.rtt_us).min()
    };
    let all = known(looked).filter_map(|(_, status)| nearest(status));
    let usual = all.min().unwrap_or(0);
    let limit = usual.saturating_mul(SLOW_TIMES).max(SLOW_US);
    for (server, status) in known(looked) {
        if let Some(us) = nearest(status).filter(|us| *us > limit) {
            causes.push(Cause {
                is_grave: false,
                what: format!(
                    "{} is far from all others: a round trip to the nearest takes {} ms",
                    server.name,
                    us / 1_000
                ),
                advice: "A slow network or a busy machine; `sdfs status --rtt`",
            });
        }
    }
}

fn volumes(looked: &[Looked], is_healing_paused: bool, causes: &mut Vec<Cause>) {
    let answering: Vec<_> = known(looked).map(|(_, status)| status).collect();
    let Some(map) = newest_map(answering.iter().copied()) else {
        return;
    };
    let (outlook, said) = outlook_of(&answering, |server| map.name_of(server));
    if outlook.writable < outlook.total {
        causes.push(Cause {
            is_grave: true,
            what: said.first().cloned().unwrap_or_default(),
            advice: match (
                outlook.full,
                outlook.total - outlook.writable - outlook.full,
            ) {
                (0, _) => "Bring back the dservers that are away; `sdfs heal status` says which",
                (_, 0) => "Delete files, `sdfs trash empty`, or add dservers and `sdfs rebalance`",
                _ => {
                    "Bring back the dservers that are away, and make room: delete files, `sdfs \
                     trash empty`, or add dservers"
                }
            },
        });
    }
    if let Some(broken) = outlook.missing() {
        let (what, advice) = match (is_healing_paused, outlook.waiting_for.is_empty()) {
            (true, _) => (
                format!("{broken}, and healing is paused"),
                "`sdfs heal start`",
            ),
            (false, true) => (
                broken,
                "They are made by themselves; `sdfs heal status` says how far they are",
            ),
            (false, false) => (
                broken,
                "They are made when the servers that are waited for are back",
            ),
        };
        causes.push(Cause {
            is_grave: false,
            what,
            advice,
        });
    }
}

#[cfg(test)]
mod tests {
    use sdfs_server_group::ServerId;
    use sdfs_types::calls::status::PeerStatus;
    use sdfs_types::{Epoch, MemberState, Volume, VolumeId, VolumeMember, VolumeStatus};

    use super::*;

    fn mserver(name: &str, answers: bool) -> Looked {
        let status = ServerStatus {
            server: ServerId(1),
            name: name.to_owned(),
            role: Role::Mserver,
            address: String::new(),
            program: "1".to_owned(),
            up_s: 10,
            peers: Vec::new(),
            groups: Vec::new(),
            volumes: Vec::new(),
            spaces: Vec::new(),
            kept: Vec::new(),
            hears_majority: true,
        };
        Looked {
            name: name.to_owned(),
            role: Role::Mserver,
            status: answers.then_some(status).ok_or_else(|| "gone".to_owned()),
            activity: None,
        }
    }

    fn said(looked: &[Looked], is_paused: bool) -> Vec<String> {
        causes(looked, is_paused)
            .into_iter()
            .map(|cause| cause.what)
            .collect()
    }

    #[test]
    fn a_whole_cluster_has_nothing() {
        let looked = [
            mserver("m1", true),
            mserver("m2", true),
            mserver("m3", true),
        ];
        assert_eq!(said(&looked, false), [""; 0]);
    }

    #[test]
    fn no_majority_comes_first() {
        let looked = [
            mserver("m1", false),
            mserver("m2", false),
            mserver("m3", true),
        ];
        let said = said(&looked, false);
        assert_eq!(
            said[0],
            "2 of 3 mservers do not answer: there is no majority"
        );
        assert_eq!(said[1], "m1 does not answer: gone");
    }

    #[test]
    fn a_server_far_from_all_others_is_told_once() {
        let mut looked = [
            mserver("m1", true),
            mserver("m2", true),
            mserver("m3", true),
        ];
        for (at, one) in looked.iter_mut().enumerate() {
            let status = one.status.as_mut().expect("it answers");
            let own = u16::try_from(at + 1).expect("few");
            status.server = ServerId(own);
            let others = (1..=3).filter(|other| *other != own);
            let peer = |other: u16| PeerStatus {
                server: ServerId(other),
                name: format!("m{other}"),
                role: Role::Mserver,
                address: String::new(),
                state: "Up".to_owned(),
                rtt_us: Some(if own == 3 || other == 3 { 150_000 } else { 40 }),
                rtt_min_us: None,
                jitter_us: None,
                free_bytes: None,
                established: 1,
            };
            status.peers = others.map(peer).collect();
        }
        assert_eq!(
            said(&looked, false),
            ["m3 is far from all others: a round trip to the nearest takes 150 ms"]
        );
    }

    #[test]
    fn paused_healing_is_the_cause() {
        let mut looked = mserver("m1", true);
        let status = looked.status.as_mut().expect("it answers");
        status.volumes = vec![Volume {
            id: VolumeId(1),
            epoch: Epoch(1),
            members: vec![VolumeMember {
                server: ServerId(4),
                state: MemberState::Out,
            }],
            status: VolumeStatus::Degraded,
        }];
        status.peers = vec![PeerStatus {
            server: ServerId(2),
            name: "m2".to_owned(),
            role: Role::Mserver,
            address: String::new(),
            state: "Up".to_owned(),
            rtt_us: Some(9_000),
            rtt_min_us: None,
            jitter_us: None,
            free_bytes: None,
            established: 9,
        }];
        let looked = [looked];
        let said = said(&looked, true);
        assert!(said.contains(&"1 of 1 volumes misses a copy, and healing is paused".to_owned()));
        assert!(
            said.contains(&"m1 has lost m2 8 times".to_owned()),
            "{said:?}"
        );
    }
}
