//! Hands each call to what answers it. Nothing is awaited here: every call that has to wait runs
//! as a task of its own and answers through its replier.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sdfs_raft::CALL_KINDS;
use sdfs_server_group::{
    Caller, Deadline, IncomingCall, Payload, Replier, Role, Trace, tell_answered, tell_call,
};
use sdfs_types::calls::anonymous::{LeaseReads, LeaseStamps};
use sdfs_types::calls::content::{GetSharing, LinkContent, ShareContent};
use sdfs_types::calls::inspect::Inspect;
use sdfs_types::calls::maintenance::Maintain;
use sdfs_types::calls::names::{
    AbortPut, BeginPut, CommitBlocks, CreateFile, DeleteFile, DeleteUser, FinishPut, GetBlocks,
    GetFile, GetVolumeMap, ListDirectory, ListUsers, MakeDirectory, PutUser, Rename, RenewGrant,
    ResizeFile, Scrub, SetAttributes, SetQuota, Stat,
};
use sdfs_types::calls::negotiation::{
    AreNeeded, AtMain, CanCreate, CanCreateAsk, CreateMetaData, GetTimeline, MainAnswer, MainAsk,
    MayForget, MetaDataCreated, MetaDataWanted, Release, ReportSync, ReportTrouble, TimelinePart,
    Vote,
};
use sdfs_types::calls::servers::ChangeServers;
use sdfs_types::calls::trash::{DeleteNow, EmptyTrash, ListTrash, RestoreTrash};
use sdfs_types::calls::{Call, CallKind};
use sdfs_types::wire;
use sdfs_types::{Refusal, Traced, UserName};
use tokio::time::Instant;

use crate::core::Core;
use crate::limits::CALLS_MAX;
use crate::voter::{Ask, GiveBack};
use crate::{
    behalf, change, content, create, inspect, leftovers, list, maintenance, meta_data, names, put,
    read, servers, stamps, traced, trash,
};

/// Takes one call.
pub(crate) fn serve(core: &Arc<Core>, call: IncomingCall) {
    if CALL_KINDS.contains(&call.kind) {
        core.groups.serve(call);
        return;
    }
    let Some(kind) = CallKind::from_wire(call.kind) else {
        return refuse(call.reply, Refusal::NotServed);
    };
    if core.calls.load(Ordering::Relaxed) >= CALLS_MAX {
        let why = "too many calls are being served".to_owned();
        return refuse(call.reply, Refusal::Busy { why });
    }
    match kind.to_wire() >> 8 {
        0x02 => serve_client(core, kind, call),
        0x03 => serve_server(core, kind, call),
        _ => refuse(call.reply, Refusal::NotServed),
    }
}

fn serve_client(core: &Arc<Core>, kind: CallKind, call: IncomingCall) {
    let Some(user) = call.from.user.clone().map(|user| user.0) else {
        let why = "a client's call comes without a user".to_owned();
        return refuse(call.reply, Refusal::Malformed { why });
    };
    match kind {
        CallKind::CreateFile => as_user::<CreateFile, _, _>(core, call, user, create::create_file),
        CallKind::BeginPut => as_user::<BeginPut, _, _>(core, call, user, put::begin),
        CallKind::FinishPut => as_user::<FinishPut, _, _>(core, call, user, put::finish),
        CallKind::AbortPut => as_user::<AbortPut, _, _>(core, call, user, put::abort),
        CallKind::RenewGrant => as_user::<RenewGrant, _, _>(core, call, user, put::renew),
        CallKind::LinkContent => as_user::<LinkContent, _, _>(core, call, user, content::link),
        CallKind::ShareContent => as_user::<ShareContent, _, _>(core, call, user, content::share),
        CallKind::GetSharing => {
            with(core, call, |core, _: GetSharing, _, deadline| async move {
                content::sharing(&core, deadline).await
            });
        }
        CallKind::GetFile => as_user::<GetFile, _, _>(core, call, user, read::get_file),
        CallKind::GetBlocks => with(
            core,
            call,
            |core, call: GetBlocks, _, deadline| async move {
                read::get_blocks(&core, call, deadline).await
            },
        ),
        CallKind::ResizeFile => as_user::<ResizeFile, _, _>(core, call, user, change::resize),
        CallKind::CommitBlocks => {
            with(
                core,
                call,
                |core, call: CommitBlocks, _, deadline| async move {
                    change::commit(&core, call, deadline).await
                },
            );
        }
        CallKind::DeleteFile => as_user::<DeleteFile, _, _>(core, call, user, names::delete),
        CallKind::DeleteNow => as_user::<DeleteNow, _, _>(core, call, user, names::delete_now),
        CallKind::ListTrash => as_user::<ListTrash, _, _>(core, call, user, trash::list),
        CallKind::RestoreTrash => as_user::<RestoreTrash, _, _>(core, call, user, trash::restore),
        CallKind::EmptyTrash => as_user::<EmptyTrash, _, _>(core, call, user, trash::empty),
        CallKind::Maintain => as_user::<Maintain, _, _>(core, call, user, maintenance::answer),
        CallKind::ChangeServers => {
            as_user::<ChangeServers, _, _>(core, call, user, servers::answer);
        }
        CallKind::Inspect => as_user::<Inspect, _, _>(core, call, user, inspect::answer),
        CallKind::Rename => as_user::<Rename, _, _>(core, call, user, names::rename),
        CallKind::MakeDirectory => {
            as_user::<MakeDirectory, _, _>(core, call, user, names::make_directory);
        }
        CallKind::ListDirectory => as_user::<ListDirectory, _, _>(core, call, user, list::list),
        CallKind::Stat => as_user::<Stat, _, _>(core, call, user, read::stat),
        CallKind::SetAttributes => {
            as_user::<SetAttributes, _, _>(core, call, user, change::set_attributes);
        }
        CallKind::SetQuota => as_user::<SetQuota, _, _>(core, call, user, names::set_quota),
        CallKind::GetVolumeMap => with(core, call, |core, call: GetVolumeMap, _, _| async move {
            Ok(read::volume_map(&core, call))
        }),
        CallKind::PutUser => as_user::<PutUser, _, _>(core, call, user, names::put_user),
        CallKind::DeleteUser => as_user::<DeleteUser, _, _>(core, call, user, names::delete_user),
        CallKind::ListUsers => with(core, call, |core, _: ListUsers, _, deadline| async move {
            names::list_users(&core, user, deadline).await
        }),
        CallKind::Scrub => with(core, call, |core, _: Scrub, _, deadline| async move {
            names::scrub(&core, user, deadline).await
        }),
        _ => refuse(call.reply, Refusal::NotServed),
    }
}

fn serve_server(core: &Arc<Core>, kind: CallKind, call: IncomingCall) {
    match kind {
        CallKind::CanCreate => vote(core, call),
        CallKind::Release => release(core, call),
        CallKind::CreateMetaData => {
            with(
                core,
                call,
                |core, call: CreateMetaData, from, deadline| async move {
                    let created = |wanted| create_one(&core, wanted, &from, deadline);
                    Ok(futures::future::join_all(call.files.into_iter().map(created)).await)
                },
            );
        }
        CallKind::AtMain => with(core, call, |core, call: AtMain, _, deadline| async move {
            at_main(&core, call, deadline).await
        }),
        CallKind::ReportTrouble => {
            with(
                core,
                call,
                |core, call: ReportTrouble, from, deadline| async move {
                    core.supervisor.report_trouble(&from, call, deadline).await
                },
            );
        }
        CallKind::MayForget => {
            with(
                core,
                call,
                |core, call: MayForget, from, deadline| async move {
                    maintenance::may_forget(&core, call, &from, deadline).await
                },
            );
        }
        CallKind::AreNeeded => with(
            core,
            call,
            |core, call: AreNeeded, _, deadline| async move {
                leftovers::are_needed(&core, &call, deadline).await
            },
        ),
        CallKind::LeaseStamps => {
            with(
                core,
                call,
                |core, call: LeaseStamps, from, deadline| async move {
                    stamps::lease(&core, call, &from, deadline).await
                },
            );
        }
        CallKind::TracePaths => with(core, call, |core, call, _, deadline| async move {
            traced::answer(&core, call, deadline).await
        }),
        CallKind::GetTimeline => with(core, call, timeline),
        CallKind::CheckLogin => with(core, call, |core, call, _, deadline| async move {
            Ok(behalf::check_login(&core, &call, deadline).await)
        }),
        CallKind::OnBehalf => match behalf::unwrapped(call) {
            Ok((kind, call)) => serve_client(core, kind, call),
            Err(refused) => refuse(refused.0, refused.1),
        },
        CallKind::LeaseReads => {
            with(
                core,
                call,
                |core, call: LeaseReads, _, deadline| async move {
                    stamps::lease_reads(&core, call, deadline).await
                },
            );
        }
        CallKind::ReportSync => with(core, call, report_sync),
        _ => refuse(call.reply, Refusal::NotServed),
    }
}

async fn timeline(
    core: Arc<Core>,
    call: GetTimeline,
    _from: Caller,
    _deadline: Deadline,
) -> Result<Vec<TimelinePart>, Refusal> {
    Ok(core.timelines.of(call.request))
}

async fn report_sync(
    core: Arc<Core>,
    call: ReportSync,
    from: Caller,
    deadline: Deadline,
) -> Result<(), Refusal> {
    core.supervisor.report_sync(&from, call, deadline).await
}

/// Reservations are asked for and given back in the order the calls arrive, so they enter the
/// voter's mailbox here and not in a task.
fn vote(core: &Arc<Core>, call: IncomingCall) {
    match wire::decode::<CanCreate>(&call.head) {
        Ok(asked) => {
            let begun = Instant::now();
            let asks = asked.asks.into_iter().map(|asked| (asked.trace, asked.ask));
            let (traces, asks): (Vec<Trace>, Vec<CanCreateAsk>) = asks.unzip();
            let votes = core.voter.send(Ask(asks));
            let IncomingCall { from, reply, .. } = call;
            tokio::spawn(async move {
                let answer = votes.await.map_err(|_| Refusal::Busy {
                    why: "this mserver is stopping".to_owned(),
                });
                tell_votes(&traces, answer.as_deref().unwrap_or(&[]), &from, begun);
                reply.send(wire::encode_answer(&answer), Payload::default());
            });
        }
        Err(fault) => refuse(
            call.reply,
            Refusal::Malformed {
                why: fault.to_string(),
            },
        ),
    }
}

/// The lines about names that were asked about together.
fn tell_votes(traces: &[Trace], votes: &[Vote], from: &Caller, begun: Instant) {
    for (trace, vote) in traces.iter().zip(votes) {
        if trace.is_logged() {
            let outcome = match vote {
                Vote::Can { .. } => "ok".to_owned(),
                Vote::Cannot { refusal } => refusal.word(),
                Vote::Outranked { .. } => "Outranked".to_owned(),
            };
            tell_answered(*trace, ("CanCreate", from), begun, &outcome);
        }
    }
}

/// Makes one of the records that were asked for together.
async fn create_one(
    core: &Arc<Core>,
    wanted: Traced<MetaDataWanted>,
    from: &Caller,
    deadline: Deadline,
) -> Result<MetaDataCreated, Refusal> {
    let (trace, begun) = (core.mesh.served(wanted.trace), Instant::now());
    let created = trace
        .scope(meta_data::create(core, wanted.ask, deadline))
        .await;
    if trace.is_logged() {
        let outcome = Refusal::outcome(&created);
        tell_call(trace, ("CreateMetaData", from), begun, &outcome);
    }
    created
}

fn release(core: &Arc<Core>, call: IncomingCall) {
    match wire::decode::<Release>(&call.head) {
        Ok(release) => {
            // A full mailbox loses it; then the reservations end with their leases.
            drop(core.voter.try_send(GiveBack(release.reservations)));
            call.reply
                .send(wire::encode_answer(&Ok(())), Payload::default());
        }
        Err(fault) => refuse(
            call.reply,
            Refusal::Malformed {
                why: fault.to_string(),
            },
        ),
    }
}

/// Answers for file-meta-data as a member of its group.
async fn at_main(
    core: &Arc<Core>,
    call: AtMain,
    deadline: Deadline,
) -> Result<MainAnswer, Refusal> {
    let AtMain { group, ask } = call;
    match ask {
        MainAsk::Get {
            descriptor,
            first,
            count,
            linearizable,
            ..
        } => {
            if linearizable {
                core.meta_barrier(group, deadline).await?;
            }
            let found = read::find_here(core, group, descriptor, (first, count))?;
            let (file, page) = found.ok_or(Refusal::Gone { descriptor })?;
            Ok(MainAnswer::File { file, page })
        }
        MainAsk::Sizes { descriptors } => {
            core.meta_barrier(group, deadline).await?;
            let sizes_bytes = list::sizes_here(core, group, &descriptors)?;
            Ok(MainAnswer::Sizes { sizes_bytes })
        }
        MainAsk::Records { after, limit } => {
            let wanted = inspect::Wanted::After(after, limit);
            let page = inspect::records_here(core, group, wanted, deadline).await?;
            Ok(MainAnswer::Records { page })
        }
        MainAsk::RecordsOf { files } => {
            let wanted = inspect::Wanted::These(files);
            let page = inspect::records_here(core, group, wanted, deadline).await?;
            Ok(MainAnswer::Records { page })
        }
        MainAsk::AreNeeded(call) => {
            let flags = leftovers::are_needed_here(core, group, &call, deadline).await?;
            Ok(MainAnswer::Flags(flags))
        }
    }
}

/// Serves a call on behalf of a user.
fn as_user<C, F, Fut>(core: &Arc<Core>, call: IncomingCall, user: UserName, answer: F)
where
    C: Call,
    F: FnOnce(Arc<Core>, C, UserName, Deadline) -> Fut + Send + 'static,
    Fut: Future<Output = Result<C::Reply, Refusal>> + Send + 'static,
{
    with(core, call, move |core, call, _, deadline| {
        answer(core, call, user, deadline)
    });
}

/// Decodes a call, answers it in a task of its own, and encodes the answer.
fn with<C, F, Fut>(core: &Arc<Core>, call: IncomingCall, answer: F)
where
    C: Call,
    F: FnOnce(Arc<Core>, C, Caller, Deadline) -> Fut + Send + 'static,
    Fut: Future<Output = Result<C::Reply, Refusal>> + Send + 'static,
{
    let IncomingCall {
        from,
        head,
        deadline,
        trace,
        reply,
        ..
    } = call;
    let asked = match wire::decode::<C>(&head) {
        Ok(asked) => asked,
        Err(fault) => {
            return refuse(
                reply,
                Refusal::Malformed {
                    why: fault.to_string(),
                },
            );
        }
    };
    let serving = Serving::one(core);
    let trace = core.traced.turned(trace, &asked);
    let core = Arc::clone(core);
    tokio::spawn(trace.scope(async move {
        let done = answer(core, asked, from, deadline).await;
        reply.send(wire::encode_answer(&done), Payload::default());
        drop(serving);
    }));
}

fn refuse(reply: Replier, refusal: Refusal) {
    reply.send(wire::encode_answer::<()>(&Err(refusal)), Payload::default());
}

/// Counts a call while it is being served.
struct Serving(Arc<Core>);

impl Serving {
    fn one(core: &Arc<Core>) -> Serving {
        core.calls.fetch_add(1, Ordering::Relaxed);
        Serving(Arc::clone(core))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether an end of this role may send calls of this kind to a mserver.
pub(crate) fn is_allowed(kind: u16, role: Role) -> bool {
    if CALL_KINDS.contains(&kind) {
        return role == Role::Mserver;
    }
    CallKind::from_wire(kind).is_some_and(|kind| kind.is_allowed(role))
}
