//! A scrub without faults ends, and everything found damaged so far is repaired soon after.

use sdfs_server_group::Role;
use sdfs_types::calls::status::SpaceStatus;

use super::Violation;
use crate::cluster::Cluster;

/// What is still being read, damaged, or not known.
#[must_use]
pub(crate) fn rot_is_repaired(cluster: &Cluster) -> Vec<Violation> {
    let mut violations = Vec::new();
    for number in cluster.of_role(Role::Dserver) {
        let server = &cluster.servers[number];
        let Some(running) = server.running() else {
            continue;
        };
        let spaces = running.status().spaces;
        let wrong = spaces.iter().filter(|space| !is_sound(space));
        violations.extend(wrong.map(|space| {
            let what = format!("{} says {:?}", server.config.name, space.scrub);
            Violation::new("rot is repaired", what)
        }));
    }
    violations
}

fn is_sound(space: &SpaceStatus) -> bool {
    let scrub = &space.scrub;
    scrub.passes > 0 && !scrub.is_hurried && scrub.damaged == scrub.repaired
}
