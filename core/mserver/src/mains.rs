//! Which mserver becomes the main of a new file.

use std::sync::atomic::Ordering;

use sdfs_raft::GroupId;
use sdfs_server_group::ServerId;
use sdfs_types::{Locate, Refusal};

use crate::core::Core;

/// Creates under way at the root group's leader beyond which files get other mains.
const LEADER_LOAD_MAX: u32 = 128;

/// Where the file-meta-data of a new file goes: to the least loaded of `mains` as its last vote
/// told, in turn among equals. Where every mserver keeps all file-meta-data anyhow, it is the root
/// group's leader until that is busy: a file's name and its record are then in the same logs at the
/// same time, and one sync serves both.
pub(crate) fn choose(core: &Core, mains: &[ServerId]) -> Result<Locate, Refusal> {
    locate_at(core, main_among(core, mains).unwrap_or(core.me()))
}

fn main_among(core: &Core, mains: &[ServerId]) -> Option<ServerId> {
    let load_of = |server: &ServerId| core.loads.get(server).map_or(0, |load| *load);
    if let Some(leader) = core.groups.leader(GroupId::ROOT)
        && core.layout.all_keep_everything()
        && core.mesh.is_up(leader)
        && load_of(&leader) <= LEADER_LOAD_MAX
    {
        return Some(leader);
    }
    let least = mains.iter().map(load_of).min()?;
    let tied: Vec<ServerId> = mains
        .iter()
        .copied()
        .filter(|server| load_of(server) == least)
        .collect();
    let turn = usize::try_from(core.sequence.load(Ordering::Relaxed)).unwrap_or(0) % tied.len();
    tied.get(turn).copied()
}

/// Where file-meta-data goes whose main is `main`; an mserver without a group of its own leaves
/// it to the first one.
fn locate_at(core: &Core, main: ServerId) -> Result<Locate, Refusal> {
    let first = || {
        core.layout
            .mservers()
            .first()
            .and_then(|first| core.layout.locate(*first))
    };
    core.layout
        .locate(main)
        .or_else(first)
        .ok_or_else(|| Refusal::Busy {
            why: "there are no mservers".to_owned(),
        })
}
