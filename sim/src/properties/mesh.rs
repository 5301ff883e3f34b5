//! Without faults every server stands, sees every other, every group has a leader, and every
//! volume has all its copies.

use sdfs_server_group::Role;
use sdfs_types::MemberState;

use super::Violation;
use crate::cluster::Cluster;

const PROPERTY: &str = "the cluster heals";

/// What is not whole yet.
#[must_use]
pub(crate) fn mesh_reforms(cluster: &Cluster) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut say = |what: String| violations.push(Violation::new(PROPERTY, what));
    if !cluster.orders.are_given() {
        say("an order waits".to_owned());
    }
    // At this moment nobody is being drained.
    let dservers = cluster.of_role(Role::Dserver).len();
    let copies = usize::from(cluster.config.storage.copies).min(dservers);
    for server in &cluster.servers {
        let name = &server.config.name;
        if server.has_left() {
            continue;
        }
        if server.is_leaving.get() {
            say(format!("{name} has not left"));
        }
        let Some(running) = server.running() else {
            say(format!("{name} does not stand"));
            continue;
        };
        let status = running.status();
        for peer in status.peers.iter().filter(|peer| peer.state != "Up") {
            say(format!("{name} sees {} {}", peer.name, peer.state));
        }
        // Of groups it is not in a server knows what it has been told when it asked.
        let mine = status
            .groups
            .iter()
            .filter(|group| group.voters.contains(&status.server));
        for group in mine.filter(|group| group.leader.is_none()) {
            say(format!("{name} knows no leader of group {}", group.group));
        }
        for space in status.spaces.iter().filter(|space| space.failed.is_some()) {
            say(format!("{name} has a failed space: {:?}", space.failed));
        }
        if status.role != Role::Mserver {
            continue;
        }
        if status.volumes.is_empty() {
            say(format!("{name} has no volumes"));
        }
        for volume in &status.volumes {
            if !volume.is_writable() {
                say(format!("{name} takes no blocks in {volume:?}"));
            }
            if volume.members.len() < copies {
                say(format!("{name} says too few keep {volume:?}"));
            }
            let mut members = volume.members.iter();
            if !members.all(|member| member.state == MemberState::InSync) {
                say(format!("{name} says {volume:?}"));
            }
        }
    }
    violations
}
