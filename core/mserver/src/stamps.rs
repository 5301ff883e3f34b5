//! Leases stamps of anonymous files to dservers, and leave to read such files.

use sdfs_server_group::{Caller, Deadline};
use sdfs_types::calls::anonymous::{LeaseReads, LeaseStamps, StampsLeased};
use sdfs_types::limits::STAMP_AHEAD_S_MAX;
use sdfs_types::{Refusal, VolumeMap, clock};

use crate::core::{Core, unknown};
use crate::root::{RootAnswer, RootCommand};

/// Answers `LeaseStamps`. A clock far ahead of this mserver's is not believed.
pub(crate) async fn lease(
    core: &Core,
    call: LeaseStamps,
    from: &Caller,
    deadline: Deadline,
) -> Result<StampsLeased, Refusal> {
    let server = from.server.ok_or(Refusal::NotServed)?;
    let latest_s = u32::try_from(clock::now_ms() / 1_000).unwrap_or(u32::MAX);
    let command = RootCommand::LeaseStamps {
        server,
        wanted_s: call.now_s.min(latest_s.saturating_add(STAMP_AHEAD_S_MAX)),
    };
    match core.propose_root(command, deadline).await? {
        RootAnswer::StampsLeased { from_s, until_s } => Ok(StampsLeased { from_s, until_s }),
        _ => Err(unknown(
            "a lease of stamps was answered with something else",
        )),
    }
}

/// Answers `LeaseReads`: the map is the one after everything that was decided before the question.
pub(crate) async fn lease_reads(
    core: &Core,
    call: LeaseReads,
    deadline: Deadline,
) -> Result<Option<VolumeMap>, Refusal> {
    core.root_barrier(deadline).await?;
    let map = core.root.volumes();
    Ok((map.version != call.known_version).then(|| (*map).clone()))
}
