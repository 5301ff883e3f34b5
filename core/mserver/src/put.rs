//! The coordinator's side of a put: a descriptor and volumes at its begin, while the vote runs;
//! file-meta-data and then the name at its end.

use std::sync::Arc;

use sdfs_server_group::{Deadline, Role, Trace};
use sdfs_types::calls::names::{
    AbortPut, BeginPut, FinishPut, PutBeginning, PutBegun, PutFinished, RenewGrant,
};
use sdfs_types::limits::{FILE_BLOCKS_MAX, RESERVATION_MS};
use sdfs_types::{
    Access, BlockSize, FileDescriptor, FileMetaData, FileMetaMetaData, Grant, GrantRights, Locate,
    PutGiven, Refusal, RequestId, TraceWhat, UserName, clock,
};

use crate::core::{Core, unknown};
use crate::create::{Counted, Voted, block_size_for, check_now, grant, vote};
use crate::inspect::recorded;
use crate::limits::PLAN_VOLUMES_MAX;
use crate::mains;
use crate::meta::{MetaAnswer, MetaCommand, check_attributes};
use crate::negotiate::NameWanted;
use crate::root::{Begun, Decide, RootAnswer, RootCommand};
use crate::timeline::Timeline;
use crate::trash::trashing;
use crate::voter::unreadable;

/// The file a request has made, as it is known here; a put that was refused stays refused.
fn first_outcome(core: &Core, request: RequestId) -> Result<Option<FileMetaMetaData>, Refusal> {
    let outcome = core.root.outcome(request).map_err(unreadable)?;
    match outcome.map(|outcome| outcome.answer).transpose()? {
        None => Ok(None),
        Some(RootAnswer::Name(name)) => Ok(Some(name)),
        Some(_) => Err(Refusal::Malformed {
            why: "this request was something else than a put".to_owned(),
        }),
    }
}

/// Gives out a descriptor and volumes for a file to be, and starts the vote on its name. A request
/// that was decided before gets what was decided.
pub(crate) async fn begin(
    core: Arc<Core>,
    call: BeginPut,
    user: UserName,
    deadline: Deadline,
) -> Result<PutBeginning, Refusal> {
    let core = &core;
    let size_bytes = call.size_bytes.unwrap_or(0);
    let block_size = block_size_for(core, call.options.block_size, size_bytes)?;
    check_attributes(&call.options.attributes)?;
    core.check_right(&user, Access::Write, &call.path, deadline)
        .await?;
    check_quorum(core)?;
    let wanted = NameWanted {
        request: call.request,
        path: call.path,
        owner: user,
        size_bytes,
        replace: call.replace,
    };
    let mut first = first_outcome(core, wanted.request)?;
    if first.is_none() && (call.may_be_repeated || check_now(core, &wanted).is_err()) {
        // What is known here, or speaks against it here, may be old.
        core.root_barrier(deadline).await?;
        first = first_outcome(core, wanted.request)?;
        if first.is_none() {
            check_now(core, &wanted)?;
        }
    }
    if let Some(name) = first {
        return Ok(PutBeginning::Finished { name });
    }
    let descriptor = own_descriptor(core, &wanted, deadline).await?;
    start_vote(core, wanted.clone());
    let given = PutGiven {
        request: wanted.request,
        user: &wanted.owner,
        path: &wanted.path,
        descriptor,
    };
    let begun = begun(core, &given, block_size, call.size_bytes, deadline).await?;
    Ok(PutBeginning::Begun(begun))
}

/// A new right to write the blocks of a put under way, as long as its user may write its name and
/// nothing is decided.
pub(crate) async fn renew(
    core: Arc<Core>,
    call: RenewGrant,
    user: UserName,
    deadline: Deadline,
) -> Result<Grant, Refusal> {
    core.check_right(&user, Access::Write, &call.path, deadline)
        .await?;
    let descriptor = call.descriptor;
    let given = PutGiven {
        request: call.request,
        user: &user,
        path: &call.path,
        descriptor,
    };
    if !core.grants.proves(&call.proof, &given) {
        return Err(Refusal::NotGranted);
    }
    if core.root.is_given_up(descriptor) || first_outcome(&core, call.request)?.is_some() {
        return Err(Refusal::Gone { descriptor });
    }
    Ok(grant(&core, descriptor, GrantRights::Write))
}

/// Frees what was written for a put that its client gives up. A put whose record is made stays:
/// the record's group decides which of the two was first.
pub(crate) async fn abort(
    core: Arc<Core>,
    call: AbortPut,
    user: UserName,
    deadline: Deadline,
) -> Result<(), Refusal> {
    check_abort(&core, &call, &user)?;
    let AbortPut {
        path, descriptor, ..
    } = call;
    // The group is what the client says: nobody frees a file's blocks through another one.
    let records = recorded(&core, &[descriptor], deadline).await?;
    if !records.is_empty() {
        return Err(Refusal::Exists { path, descriptor });
    }
    let abort = MetaCommand::AbortPut {
        descriptor,
        blocks: call.blocks,
        now_ms: clock::now_ms(),
    };
    let aborted = core.propose_meta(call.locate.group, abort, deadline);
    match aborted.await? {
        MetaAnswer::Done => Ok(()),
        MetaAnswer::File(_) => Err(Refusal::Exists { path, descriptor }),
    }
}

fn check_abort(core: &Core, call: &AbortPut, user: &UserName) -> Result<(), Refusal> {
    let given = PutGiven {
        request: call.request,
        user,
        path: &call.path,
        descriptor: call.descriptor,
    };
    if !core.grants.proves(&call.proof, &given) {
        return Err(Refusal::NotGranted);
    }
    check_locate(core, &call.locate)?;
    if call.blocks.len() > FILE_BLOCKS_MAX as usize {
        return Err(Refusal::OutOfRange {
            what: "the number of blocks".to_owned(),
            value: call.blocks.len().to_string(),
            allowed: format!("at most {FILE_BLOCKS_MAX}"),
        });
    }
    Ok(())
}

/// A put ends in a proposal to every group; without a majority none of it can succeed.
fn check_quorum(core: &Core) -> Result<(), Refusal> {
    let voters = core.layout.mservers().len();
    let heard = core.mesh.up(Role::Mserver).len();
    if heard > voters / 2 {
        return Ok(());
    }
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Err(Refusal::NoQuorum {
        heard: count(heard),
        voters: count(voters),
    })
}

/// A descriptor nobody else works under: a leased id, with the version after that of what the name
/// stands or stood for. Two puts of one name thus never write, or free, each other's blocks.
async fn own_descriptor(
    core: &Arc<Core>,
    wanted: &NameWanted,
    deadline: Deadline,
) -> Result<FileDescriptor, Refusal> {
    let former = core.root.former(&wanted.path).map_err(unreadable)?;
    let fresh = core.ids.fresh(deadline).await?;
    let next = former.and_then(FileDescriptor::next_life);
    Ok(FileDescriptor {
        version: next.map_or(fresh.version, |next| next.version),
        ..fresh
    })
}

/// The vote runs while the blocks are written. It keeps others from the name and tells the loads;
/// the end of the put is decided by the root group in any case, which also gives the blocks up
/// when the name cannot be had.
fn start_vote(core: &Arc<Core>, wanted: NameWanted) {
    let core = Arc::clone(core);
    tokio::spawn(Trace::current().scope(async move {
        let mut timeline = Timeline::start();
        timeline.add(core.me(), TraceWhat::Received);
        let deadline = Deadline::after_ms(RESERVATION_MS);
        let voted = vote(&core, &wanted, deadline, &mut timeline).await;
        if let Ok(Voted::Cannot { refusal }) | Err(refusal) = voted {
            tracing::debug!(request = %wanted.request, %refusal, "a put was voted down");
        }
        core.timelines.keep(wanted.request, timeline);
    }));
}

async fn begun(
    core: &Core,
    given: &PutGiven<'_>,
    block_size: BlockSize,
    size_bytes: Option<u64>,
    deadline: Deadline,
) -> Result<PutBegun, Refusal> {
    let within = core.group_of(given.path);
    Ok(PutBegun {
        descriptor: given.descriptor,
        block_size,
        locate: mains::choose(core, &core.mesh.up(Role::Mserver))?,
        plan: core
            .acceptor
            .plan_soon(size_bytes, (block_size, within), deadline)
            .await?,
        grant: grant(core, given.descriptor, GrantRights::Write),
        proof: core.grants.prove(given),
    })
}

/// Makes the written blocks a file.
pub(crate) async fn finish(
    core: Arc<Core>,
    mut call: FinishPut,
    user: UserName,
    deadline: Deadline,
) -> Result<PutFinished, Refusal> {
    let core = &core;
    let _creating = Counted::one(&core.creating);
    core.check_right(&user, Access::Write, &call.path, deadline)
        .await?;
    // Whether it was ever granted.
    if !is_granted_at(core, &call, call.grant.expires_ms) {
        return Err(Refusal::NotGranted);
    }
    if let Some(name) = finished(core, &call)? {
        return Ok(PutFinished::Done { name });
    }
    if !is_granted_at(core, &call, clock::now_ms()) {
        // The grant of a put that is done is over in the end, and that is all right.
        core.root_barrier(deadline).await?;
        let name = finished(core, &call)?.ok_or(Refusal::NotGranted)?;
        return Ok(PutFinished::Done { name });
    }
    check_finish(core, &call)?;
    let mut timeline = Timeline::start();
    let (request, now_ms) = (call.request, timeline.started_ms);
    if let Err(refusal) = commit_record(core, &mut call, &user, now_ms, deadline).await {
        return ended_before(core, request, refusal, deadline).await;
    }
    timeline.add(core.me(), TraceWhat::MetaDataCreated);
    let (block_size, size_bytes) = (call.block_size, call.size_bytes);
    let decide = Decide {
        request,
        path: call.path,
        owner: Arc::clone(&user),
        size_bytes,
        block_size,
        locate: call.locate,
        now_ms,
        make_parents: call.options.make_parents,
        replace: call.replace,
        begun: Begun::Blocks(call.descriptor),
    };
    let mut command = RootCommand::Decide(Box::new(decide));
    if call.replace {
        command = trashing(core, command, &user, now_ms);
    }
    let decided = core.propose_root(command, deadline).await;
    if decided.is_ok() {
        timeline.add(core.me(), TraceWhat::Decided);
    }
    core.timelines.keep(request, timeline);
    match decided? {
        RootAnswer::Name(name) => Ok(PutFinished::Done { name }),
        _ => Err(unknown("the decision was answered with something else")),
    }
}

/// Makes the record, under a descriptor that is this put's alone.
async fn commit_record(
    core: &Core,
    call: &mut FinishPut,
    user: &UserName,
    now_ms: u64,
    deadline: Deadline,
) -> Result<(), Refusal> {
    let put = MetaCommand::Put {
        request: call.request,
        file: record_of(call, user, now_ms),
        blocks: std::mem::take(&mut call.blocks),
    };
    match core.propose_meta(call.locate.group, put, deadline).await {
        Ok(MetaAnswer::File(_)) => Ok(()),
        Ok(MetaAnswer::Done) => Err(unknown("the commit was answered with something else")),
        Err(refusal) => Err(refusal),
    }
}

/// The answer to a put whose record cannot be made. It was given up when an earlier try of this
/// request was decided otherwise; then that outcome counts.
async fn ended_before(
    core: &Core,
    request: RequestId,
    refusal: Refusal,
    deadline: Deadline,
) -> Result<PutFinished, Refusal> {
    if matches!(refusal, Refusal::Gone { .. }) {
        core.root_barrier(deadline).await?;
        let outcome = core.root.outcome(request).map_err(unreadable)?;
        match outcome.map(|outcome| outcome.answer) {
            Some(Ok(RootAnswer::Name(name))) => return Ok(PutFinished::Done { name }),
            Some(Err(first)) => return Err(first),
            Some(Ok(_)) | None => {}
        }
    }
    Err(refusal)
}

/// What these blocks have become, when it is decided. Blocks under another descriptor than the
/// request has got are given up by the decision, not here.
fn finished(core: &Core, call: &FinishPut) -> Result<Option<FileMetaMetaData>, Refusal> {
    match core.root.outcome(call.request).map_err(unreadable)? {
        Some(outcome) => Ok(match outcome.answer {
            Ok(RootAnswer::Name(name)) if name.descriptor == call.descriptor => Some(name),
            _ => None,
        }),
        None => Ok(None),
    }
}

fn is_granted_at(core: &Core, call: &FinishPut, now_ms: u64) -> bool {
    core.grants
        .allows(&call.grant, call.descriptor, GrantRights::Write, now_ms)
}

fn check_finish(core: &Core, call: &FinishPut) -> Result<(), Refusal> {
    check_attributes(&call.options.attributes)?;
    block_size_for(core, Some(call.block_size), call.size_bytes)?;
    check_locate(core, &call.locate)?;
    let blocks_max = call
        .block_size
        .blocks_in(call.size_bytes)
        .min(u64::from(FILE_BLOCKS_MAX));
    let is_long = |length: u32| u64::from(length) > call.block_size.bytes();
    if call.blocks.len() as u64 > blocks_max
        || call.blocks.iter().any(|block| is_long(block.length_bytes))
    {
        return Err(Refusal::OutOfRange {
            what: "the number or length of blocks".to_owned(),
            value: format!("{} blocks", call.blocks.len()),
            allowed: format!("at most {blocks_max} of {} bytes", call.block_size.bytes()),
        });
    }
    Ok(())
}

fn check_locate(core: &Core, locate: &Locate) -> Result<(), Refusal> {
    if core.layout.locate(locate.main).as_ref() == Some(locate) {
        return Ok(());
    }
    Err(Refusal::Malformed {
        why: "there is no such meta group".to_owned(),
    })
}

fn record_of(call: &FinishPut, user: &UserName, now_ms: u64) -> FileMetaData {
    let mut plan: Vec<_> = call.blocks.iter().map(|block| block.volume).collect();
    plan.sort_unstable();
    plan.dedup();
    plan.truncate(PLAN_VOLUMES_MAX);
    FileMetaData {
        descriptor: call.descriptor,
        size_bytes: call.size_bytes,
        block_size: call.block_size,
        created_ms: now_ms,
        modified_ms: now_ms,
        owner: Arc::clone(user),
        attributes: call.options.attributes.clone(),
        digest: call.digest,
        plan,
        revision: 0,
    }
}
