//! Which mserver becomes the main of a new file.

use std::sync::atomic::Ordering;

use sdfs_raft::GroupId;
use sdfs_server_group::ServerId;

use crate::core::Core;

/// Creates under way at the root group's leader beyond which files get other mains.
const LEADER_LOAD_MAX: u32 = 128;

/// The least loaded, in turn among equals. Where every mserver keeps all file-meta-data anyhow,
/// it is the root group's leader until that is busy: a file's name and its record are then in the
/// same logs at the same time, and one sync serves both.
pub(crate) fn choose_main(core: &Core, loads: &[(ServerId, u32)]) -> Option<ServerId> {
    let load_of = |server| core.loads.get(&server).map_or(0, |load| *load);
    if let Some(leader) = core.groups.leader(GroupId::ROOT)
        && core.layout.all_keep_everything()
        && core.mesh.is_up(leader)
        && load_of(leader) <= LEADER_LOAD_MAX
    {
        return Some(leader);
    }
    let least = loads.iter().map(|(_, load)| *load).min()?;
    let tied: Vec<ServerId> = loads
        .iter()
        .filter(|(_, load)| *load == least)
        .map(|(server, _)| *server)
        .collect();
    let turn = usize::try_from(core.sequence.load(Ordering::Relaxed)).unwrap_or(0) % tied.len();
    tied.get(turn).copied()
}
