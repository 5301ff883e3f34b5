//! The coordinator's side of a create: vote, decision, file-meta-data, answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::task::JoinHandle;

use sdfs_server_group::{Deadline, Role, ServerId, Trace};
use sdfs_types::calls::names::{CreateFile, FileCreated};
use sdfs_types::calls::negotiation::{Ballot, CanCreateAsk, MetaDataCreated, MetaDataWanted};
use sdfs_types::{
    Attributes, BlockPage, BlockSize, FileDescriptor, FileMetaMetaData, FilePath, Grant,
    GrantRights, Locate, OpenFile, PathFault, Refusal, TraceWhat, UserName, clock,
};

use crate::core::{Core, unknown};
use crate::limits::FINISH_ALONE_MAX;
use crate::mains;
use crate::meta::check_attributes;
use crate::meta_data;
use crate::negotiate::{Ended, NameWanted, give_all_back, negotiate};
use crate::read;
use crate::root::{Begun, Decide, RootAnswer, RootCommand};
use crate::timeline::Timeline;
use crate::voter::{check_name, unreadable};

/// Creates a file. Dservers accept it before its name is proposed, so that a name nobody can keep
/// blocks for is never decided. Whatever happens to this coordinator, the name stays usable: before
/// the decision nothing exists, after it any mserver makes the file-meta-data when it is missed.
pub(crate) async fn create_file(
    core: Arc<Core>,
    call: CreateFile,
    user: UserName,
    deadline: Deadline,
) -> Result<FileCreated, Refusal> {
    let mut timeline = Timeline::start();
    let (request, explain) = (call.request, call.explain);
    let created = created(&core, call, user, deadline, &mut timeline).await;
    let trace = explain.then(|| timeline.clone().into_trace());
    core.timelines.keep(request, timeline);
    created.map(|open| FileCreated { open, trace })
}

async fn created(
    core: &Arc<Core>,
    call: CreateFile,
    user: UserName,
    deadline: Deadline,
    timeline: &mut Timeline,
) -> Result<OpenFile, Refusal> {
    let _creating = Counted::one(&core.creating);
    timeline.add(core.me(), TraceWhat::Received);
    let block_size = block_size_for(core, call.options.block_size, call.size_bytes)?;
    check_attributes(&call.options.attributes)?;
    let wanted = NameWanted {
        request: call.request,
        path: call.path,
        owner: user,
        size_bytes: call.size_bytes,
        replace: false,
    };
    let attributes = call.options.attributes;
    if core.root.is_decided(wanted.request) {
        return repeated(core, &wanted, attributes, deadline).await;
    }
    let decide = |locate: Locate, begun: Begun| Decide {
        request: wanted.request,
        path: wanted.path.clone(),
        owner: Arc::clone(&wanted.owner),
        size_bytes: wanted.size_bytes,
        block_size,
        locate,
        now_ms: clock::now_ms(),
        make_parents: call.options.make_parents,
        replace: false,
        begun,
    };
    let (locate, ballot) = match vote(core, &wanted, deadline, timeline).await? {
        Voted::Repeated => return repeated(core, &wanted, attributes, deadline).await,
        Voted::Cannot { refusal } if refusal_may_pass(&refusal) => {
            let locate = mains::choose(core, &core.mesh.up(Role::Mserver))?;
            // No dserver was asked for it, so nothing is made by this.
            decide_name(core, &decide(locate, Begun::Refused), None, deadline).await?;
            return repeated(core, &wanted, attributes, deadline).await;
        }
        Voted::Cannot { refusal } => return Err(refusal),
        Voted::Go { can, ballot } => (choose(core, &can, timeline)?, ballot),
    };
    let (begun, expected) = begin(core, &wanted.path, deadline).await?;
    let decide = decide(locate, begun);
    // What is decided is finished even when the client stops waiting.
    let to_the_end = deadline.max(Deadline::after(FINISH_ALONE_MAX));
    let expected = decide.name(expected).ok_or(PathFault::IsRoot)?;
    let asked = match ask_for(core, expected, attributes, timeline, deadline).await {
        Ok(asked) => asked,
        Err(refusal) => {
            give_back_won(core, &decide, ballot);
            return Err(refusal);
        }
    };
    let making = Making::start(core, &decide, asked, to_the_end, timeline);
    let name = decide_name(core, &decide, ballot, deadline).await?;
    timeline.add(core.me(), TraceWhat::Decided);
    let created = making.finish(core, &name, timeline).await?;
    timeline.add(core.me(), TraceWhat::MainAnswered);
    let open = OpenFile {
        grant: grant(core, name.descriptor, GrantRights::Write),
        name,
        file: created.file,
        blocks: BlockPage::default(),
        volumes: created.volumes,
    };
    timeline.add(core.me(), TraceWhat::Answered);
    Ok(open)
}

/// What the vote came to.
pub(crate) enum Voted {
    /// The name may be proposed.
    Go {
        /// Who said yes, the least loaded first.
        can: Vec<(ServerId, u32)>,
        /// The ballot that holds reservations.
        ballot: Option<Ballot>,
    },
    /// The request has been decided before.
    Repeated,
    /// This speaks against the name, with all that has been acknowledged anywhere.
    Cannot {
        /// Why.
        refusal: Refusal,
    },
}

/// Steps 2 to 4. A voter that says no may be behind: its reason is looked at again here, with all
/// that has been acknowledged anywhere, before anybody is refused.
pub(crate) async fn vote(
    core: &Arc<Core>,
    wanted: &NameWanted,
    deadline: Deadline,
    timeline: &mut Timeline,
) -> Result<Voted, Refusal> {
    match negotiate(core, wanted, deadline, timeline).await {
        Ended::Won { can, ballot } => {
            let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            let (votes, voters) = (count(can.len()), count(core.layout.mservers().len()));
            timeline.add(core.me(), TraceWhat::Majority { votes, voters });
            Ok(Voted::Go {
                can,
                ballot: Some(ballot),
            })
        }
        Ended::NoMajority { refusal } => Err(refusal),
        Ended::Cannot {
            refusal: refusal @ Refusal::Busy { .. },
        } => Err(refusal),
        Ended::Cannot { .. } => {
            core.root_barrier(deadline).await?;
            if core.root.is_decided(wanted.request) {
                return Ok(Voted::Repeated);
            }
            if let Err(refusal) = check_now(core, wanted) {
                return Ok(Voted::Cannot { refusal });
            }
            Ok(Voted::Go {
                can: vec![(core.me(), 0)],
                ballot: None,
            })
        }
    }
}

/// Whether it depends on what others do. Such a refusal is the root group's to give, which
/// remembers it: another attempt of the request, held up by the network, would make the file of
/// which the client was told that it cannot be made.
fn refusal_may_pass(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Exists { .. }
            | Refusal::IsDirectory { .. }
            | Refusal::NotDirectory { .. }
            | Refusal::NotFound { .. }
            | Refusal::Quota { .. }
    )
}

/// What speaks against a name in the state here.
pub(crate) fn check_now(core: &Core, wanted: &NameWanted) -> Result<(), Refusal> {
    let ballot = Ballot {
        round: 0,
        coordinator: core.me(),
        sequence: 0,
    };
    let ask = CanCreateAsk {
        path: wanted.path.clone(),
        owner: Arc::clone(&wanted.owner),
        size_bytes: wanted.size_bytes,
        request: wanted.request,
        replace: wanted.replace,
        ballot,
    };
    check_name(&core.root, &ask)
}

/// Step 5: the least loaded of those that answered becomes the main.
fn choose(
    core: &Core,
    can: &[(ServerId, u32)],
    timeline: &mut Timeline,
) -> Result<Locate, Refusal> {
    let can: Vec<ServerId> = can.iter().map(|(server, _)| *server).collect();
    let locate = mains::choose(core, &can)?;
    let (main, slaves) = (locate.main, locate.slaves.clone());
    timeline.add(core.me(), TraceWhat::Chose { main, slaves });
    Ok(locate)
}

/// What can be made before the decision, and the descriptor to expect: a name nothing has stood
/// for gets one that was leased here, which nobody else works under; another its next life.
async fn begin(
    core: &Core,
    path: &FilePath,
    deadline: Deadline,
) -> Result<(Begun, FileDescriptor), Refusal> {
    match core.root.former(path).map_err(unreadable)? {
        Some(former) => Ok((Begun::Nothing, former.next_life().unwrap_or(former))),
        None => {
            let leased = core.ids.fresh(deadline).await?;
            Ok((Begun::Record(leased), leased))
        }
    }
}

async fn decide_name(
    core: &Arc<Core>,
    decide: &Decide,
    ballot: Option<Ballot>,
    deadline: Deadline,
) -> Result<FileMetaMetaData, Refusal> {
    let command = RootCommand::Decide(Box::new(decide.clone()));
    match core.propose_root(command, deadline).await {
        Ok(RootAnswer::Name(name)) => Ok(name),
        Ok(_) => Err(unknown("the decision was answered with something else")),
        Err(refusal) => {
            // A name that was refused must not stay reserved; an unknown outcome may be decided.
            if !matches!(refusal, Refusal::Unknown { .. }) {
                give_back_won(core, decide, ballot);
            }
            Err(refusal)
        }
    }
}

fn give_back_won(core: &Arc<Core>, decide: &Decide, ballot: Option<Ballot>) {
    if let Some(ballot) = ballot {
        give_all_back(core, &decide.path, ballot);
    }
}

/// Step 7 as far as nothing is decided by it: dservers accept the file of the name to expect.
async fn ask_for(
    core: &Core,
    name: FileMetaMetaData,
    attributes: Attributes,
    timeline: &mut Timeline,
    deadline: Deadline,
) -> Result<MetaDataWanted, Refusal> {
    let plan = meta_data::accept(core, &name, timeline, deadline).await?;
    Ok(MetaDataWanted {
        name,
        attributes,
        plan,
    })
}

/// Steps 7 and 8 at the main, which works while the name is being decided when what it makes is
/// this request's alone; the root group has it removed if the name comes to stand for something
/// else.
struct Making {
    asked: MetaDataWanted,
    deadline: Deadline,
    /// Counts from the start of the create.
    asked_us: u64,
    early: Option<JoinHandle<Result<MetaDataCreated, Refusal>>>,
}

impl Making {
    fn start(
        core: &Arc<Core>,
        decide: &Decide,
        asked: MetaDataWanted,
        deadline: Deadline,
        timeline: &Timeline,
    ) -> Making {
        let early = decide.begun.descriptor().map(|_| {
            let (core, asked) = (Arc::clone(core), asked.clone());
            let trace = Trace::current();
            let making = async move { meta_data::at_main(&core, asked, deadline).await };
            tokio::spawn(trace.scope(making))
        });
        Making {
            asked,
            deadline,
            asked_us: timeline.now_us(),
            early,
        }
    }

    /// The file-meta-data of the decided name.
    async fn finish(
        self,
        core: &Arc<Core>,
        name: &FileMetaMetaData,
        timeline: &mut Timeline,
    ) -> Result<MetaDataCreated, Refusal> {
        let is_expected = self.asked.name.descriptor == name.descriptor;
        let (asked_us, made) = match self.early {
            Some(made) if is_expected => {
                let stopped = |_| Err(unknown("this server is stopping"));
                (self.asked_us, made.await.unwrap_or_else(stopped))
            }
            _ => {
                let mut asked = self.asked;
                if !is_expected {
                    // What was accepted was another file.
                    asked.plan.clear();
                }
                asked.name = name.clone();
                let asked_us = timeline.now_us();
                let made = meta_data::at_main(core, asked, self.deadline).await;
                (asked_us, made)
            }
        };
        let mut created = made.map_err(after_the_decision)?;
        let at_main = std::mem::take(&mut created.trace.steps);
        timeline.add_all(at_main, asked_us);
        Ok(created)
    }
}

/// What is decided is never told as failed: whoever repeats the request gets the file, or hears
/// the same.
fn after_the_decision(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Unknown { .. } => refusal,
        Refusal::Gone { .. } => unknown("this request made the file, and it was deleted since"),
        other => Refusal::Unknown {
            why: format!("the name is decided, but not its file-meta-data yet: {other}"),
        },
    }
}

/// The answer to a create that was decided before. Its record is made now when it is missing.
async fn repeated(
    core: &Arc<Core>,
    wanted: &NameWanted,
    attributes: Attributes,
    deadline: Deadline,
) -> Result<OpenFile, Refusal> {
    core.root_barrier(deadline).await?;
    core.root
        .users()
        .check(&wanted.owner, sdfs_types::Access::Write, &wanted.path)?;
    let outcome = core.root.outcome(wanted.request).map_err(unreadable)?;
    let name = match outcome.map(|outcome| outcome.answer).transpose()? {
        Some(RootAnswer::Name(name)) => name,
        Some(_) => {
            return Err(Refusal::Malformed {
                why: "this request was something else than a create".to_owned(),
            });
        }
        None => return Err(unknown("what became of this request is no longer known")),
    };
    let asked = MetaDataWanted {
        name: name.clone(),
        attributes,
        plan: Vec::new(),
    };
    let made = meta_data::at_main(core, asked, deadline).await;
    made.map_err(after_the_decision)?;
    let open = read::open(core, name, GrantRights::Write, deadline).await;
    open.map_err(after_the_decision)
}

/// The block size wanted, or the one that fits the size; refused when the size does not fit.
pub(crate) fn block_size_for(
    core: &Core,
    wanted: Option<BlockSize>,
    size_bytes: u64,
) -> Result<BlockSize, Refusal> {
    let configured = BlockSize::from_bytes(core.mesh.config().storage.block_bytes);
    let usual = configured.unwrap_or_default();
    let block_size = wanted.unwrap_or_else(|| usual.grown_for(size_bytes));
    if size_bytes <= block_size.file_bytes_max() {
        return Ok(block_size);
    }
    Err(Refusal::OutOfRange {
        what: "the size".to_owned(),
        value: format!("{size_bytes} bytes"),
        allowed: format!(
            "at most {} bytes with blocks of {} bytes",
            block_size.file_bytes_max(),
            block_size.bytes()
        ),
    })
}

/// The right to a file's blocks from now on.
pub(crate) fn grant(core: &Core, descriptor: FileDescriptor, rights: GrantRights) -> Grant {
    core.grants
        .grant(descriptor, rights, clock::now_ms() + core.grant_ms)
}

/// Counts something while it lasts.
pub(crate) struct Counted(Arc<AtomicU32>);

impl Counted {
    pub(crate) fn one(counter: &Arc<AtomicU32>) -> Counted {
        counter.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(counter))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
