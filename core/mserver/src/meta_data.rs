//! File-meta-data of decided names: asked for by coordinators, made at mains.

use std::sync::Arc;
use std::time::Duration;

use sdfs_server_group::{Deadline, ServerId};
use sdfs_types::calls::negotiation::{MetaDataCreated, MetaDataWanted};
use sdfs_types::{
    FileMetaData, FileMetaMetaData, MetaGroup, Refusal, Trace, TraceWhat, Traced, Volume, VolumeId,
};

use crate::batch::BatchFault;
use crate::core::{AskFailed, Core, no_group, unknown};
use crate::layout::raft_group;
use crate::meta::{MetaAnswer, MetaCommand};
use crate::timeline::Timeline;
use crate::volumes::FileWanted;

/// How long to wait before the members of a group are asked once more.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Has file-meta-data made at the main, or at whoever leads its group while the main is away.
/// Safe to repeat: the record is made once.
pub(crate) async fn at_main(
    core: &Arc<Core>,
    wanted: MetaDataWanted,
    deadline: Deadline,
) -> Result<MetaDataCreated, Refusal> {
    let Some(locate) = &wanted.name.locate else {
        return Err(Refusal::Malformed {
            why: "a directory has no file-meta-data".to_owned(),
        });
    };
    let group = locate.group;
    loop {
        for to in by_likelihood(core, group) {
            match ask_member(core, to, wanted.clone(), deadline).await {
                Err(Some(refusal)) => return Err(refusal),
                Err(None) => {}
                Ok(created) => return Ok(created),
            }
        }
        if deadline.remaining() < ASK_AGAIN {
            return Err(unknown("the name is decided, but no main could be reached"));
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// `None` when another member should be asked.
async fn ask_member(
    core: &Arc<Core>,
    to: ServerId,
    wanted: MetaDataWanted,
    deadline: Deadline,
) -> Result<MetaDataCreated, Option<Refusal>> {
    let answer = if to == core.me() {
        create(core, wanted, deadline).await
    } else {
        let Some(batches) = core.main_batches.get(&to) else {
            return Err(None);
        };
        let bytes = 256
            + wanted
                .attributes
                .iter()
                .map(|(k, v)| k.len() + v.len())
                .sum::<usize>();
        let asked = batches.submit((Traced::now(wanted), deadline), bytes);
        match tokio::time::timeout_at(deadline.instant(), asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(BatchFault::Failed(AskFailed::Refused(refusal)))) => Err(refusal),
            Ok(Err(_)) | Err(_) => return Err(None),
        }
    };
    match answer {
        Err(Refusal::Unknown { .. } | Refusal::Busy { .. } | Refusal::NotServed) => Err(None),
        other => other.map_err(Some),
    }
}

/// The members of a group that are up: its leader as far as known, then the main, then slaves.
pub(crate) fn by_likelihood(core: &Core, group: MetaGroup) -> Vec<ServerId> {
    let mut members = core.layout.members(group);
    members.retain(|member| core.mesh.is_up(*member));
    if let Some(leader) = core.groups.leader(raft_group(group))
        && let Some(at) = members.iter().position(|member| *member == leader)
    {
        members[..=at].rotate_right(1);
    }
    members
}

/// Step 7 at the main: has dservers accept unless they did, and commits the record.
pub(crate) async fn create(
    core: &Arc<Core>,
    mut wanted: MetaDataWanted,
    deadline: Deadline,
) -> Result<MetaDataCreated, Refusal> {
    // One that was made for a reader knows no attributes.
    let has_all = |made: &FileMetaData| {
        wanted.attributes.is_empty() || made.revision > 0 || !made.attributes.is_empty()
    };
    let made = made_before(core, &wanted.name)?;
    let is_made = made.is_some();
    if let Some(made) = made.filter(|made| has_all(&made.file)) {
        return Ok(made);
    }
    let mut timeline = Timeline::start();
    if wanted.plan.is_empty() && !is_made {
        wanted.plan = accept(core, &wanted.name, &mut timeline, deadline).await?;
    }
    commit(core, wanted, timeline, deadline).await
}

/// What this request has made here, if it has.
fn made_before(core: &Core, name: &FileMetaMetaData) -> Result<Option<MetaDataCreated>, Refusal> {
    let group = group_of(name)?;
    let Some(view) = core.metas.get(&group) else {
        return Err(no_group(group));
    };
    let Ok(Some(record)) = view.record(name.descriptor) else {
        return Ok(None);
    };
    Ok((record.request == name.request).then(|| {
        let file = record.file.clone();
        let volumes = volumes_named(core, file.plan.iter().copied());
        MetaDataCreated {
            file,
            volumes,
            trace: Trace::default(),
        }
    }))
}

fn group_of(name: &FileMetaMetaData) -> Result<MetaGroup, Refusal> {
    match &name.locate {
        Some(locate) => Ok(locate.group),
        None => Err(Refusal::Malformed {
            why: "a directory has no file-meta-data".to_owned(),
        }),
    }
}

/// Has dservers accept the file of a name: the volumes for its blocks, used in turn.
pub(crate) async fn accept(
    core: &Core,
    name: &FileMetaMetaData,
    timeline: &mut Timeline,
    deadline: Deadline,
) -> Result<Vec<VolumeId>, Refusal> {
    let wanted = FileWanted {
        descriptor: name.descriptor,
        size_bytes: name.size_bytes,
        block_size: name.block_size,
        began: timeline.started,
    };
    let mut accepted = core.acceptor.accept(wanted, deadline).await?;
    timeline.add_all(std::mem::take(&mut accepted.steps), 0);
    Ok(accepted.plan())
}

/// Commits the record of a file that dservers have accepted.
async fn commit(
    core: &Arc<Core>,
    wanted: MetaDataWanted,
    mut timeline: Timeline,
    deadline: Deadline,
) -> Result<MetaDataCreated, Refusal> {
    let name = wanted.name;
    let group = group_of(&name)?;
    let file = FileMetaData {
        descriptor: name.descriptor,
        size_bytes: name.size_bytes,
        block_size: name.block_size,
        created_ms: name.created_ms,
        modified_ms: name.created_ms,
        owner: name.owner,
        attributes: wanted.attributes,
        digest: None,
        plan: wanted.plan,
        revision: 0,
    };
    let request = name.request;
    let command = MetaCommand::Create { request, file };
    let MetaAnswer::File(file) = core.propose_meta(group, command, deadline).await? else {
        return Err(unknown("the commit was answered with something else"));
    };
    timeline.add(core.me(), TraceWhat::MetaDataCreated);
    let volumes = volumes_named(core, file.plan.iter().copied());
    Ok(MetaDataCreated {
        file,
        volumes,
        trace: timeline.into_trace(),
    })
}

/// The volumes of these names, each once, as far as this mserver knows them.
pub(crate) fn volumes_named(core: &Core, ids: impl Iterator<Item = VolumeId>) -> Vec<Volume> {
    let map = core.root.volumes();
    let mut ids: Vec<VolumeId> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids.iter()
        .filter_map(|id| map.volumes.get(id).cloned())
        .collect()
}
