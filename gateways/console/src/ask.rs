//! Questions to other servers, and to mservers on behalf of a user.

use futures::future::join_all;
use sdfs_server_group::{CallError, Deadline, Mesh, Payload, Role, ServerId};
use sdfs_types::calls::Call;
use sdfs_types::calls::behalf::OnBehalf;
use sdfs_types::calls::status::{GetStatus, ServerStatus};
use sdfs_types::wire::{self, WireFault};
use sdfs_types::{Refusal, ServerName};

use crate::limits::{ANSWER_WAIT, STATUS_WAIT};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskFault {
    /// None is heard.
    #[error("no mserver is heard")]
    NoMserver,
    /// The call ended otherwise.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer is none.
    #[error("the answer could not be read: {0}")]
    Answer(#[from] WireFault),
    /// It was refused.
    #[error("{said}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// The same in words.
        said: String,
    },
}

impl AskFault {
    /// A word for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            AskFault::NoMserver => "no_mserver",
            AskFault::Refused { refusal, .. } => code_of(refusal),
            AskFault::Call(CallError::Deadline | CallError::Lost { maybe_done: true })
            | AskFault::Answer(_) => "unknown",
            AskFault::Call(_) => "not_reached",
        }
    }
}

/// A word for programs.
fn code_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NotFound { .. } | Refusal::Gone { .. } => "not_found",
        Refusal::Denied { .. } => "denied",
        Refusal::NoQuorum { .. } => "no_quorum",
        Refusal::Busy { .. } => "busy",
        Refusal::Unknown { .. } => "unknown",
        Refusal::IsDirectory { .. } => "is_directory",
        Refusal::NotDirectory { .. } => "not_directory",
        Refusal::OutOfRange { .. } => "out_of_range",
        Refusal::ServerExists { .. } => "server_exists",
        Refusal::NoSuchServer { .. } => "no_such_server",
        _ => "refused",
    }
}

/// Asks a server, or this one.
pub(crate) async fn ask<C: Call>(
    mesh: &Mesh,
    to: ServerId,
    call: &C,
) -> Result<C::Reply, AskFault> {
    let deadline = Deadline::after(ANSWER_WAIT);
    let asked = mesh.call(
        to,
        C::KIND.to_wire(),
        wire::encode(call),
        Payload::default(),
        deadline,
    );
    wire::decode_answer(&asked.await?.head)?.map_err(|refusal| refused(mesh, refusal))
}

fn refused(mesh: &Mesh, refusal: Refusal) -> AskFault {
    let name_of = |id| mesh.server(id).map(|server| server.name.to_string());
    let said = refusal.told(name_of);
    AskFault::Refused { refusal, said }
}

/// Asks the nearest mserver on behalf of a user, whose rights it checks.
pub(crate) async fn on_behalf<C: Call>(
    mesh: &Mesh,
    user: &str,
    call: &C,
) -> Result<C::Reply, AskFault> {
    let to = mesh.nearest(Role::Mserver).ok_or(AskFault::NoMserver)?;
    let on_behalf = OnBehalf {
        user: user.to_owned(),
        kind: C::KIND.to_wire(),
        call: wire::encode(call).to_vec(),
    };
    let kind = OnBehalf::KIND.to_wire();
    let head = wire::encode(&on_behalf);
    let deadline = Deadline::after(ANSWER_WAIT);
    let answer = mesh.call(to, kind, head, Payload::default(), deadline);
    wire::decode_answer(&answer.await?.head)?.map_err(|refusal| refused(mesh, refusal))
}

/// A server and what it told, or why not.
pub(crate) type Told<T> = (ServerId, ServerName, Role, Result<T, AskFault>);

/// Asks every server at once the same.
pub(crate) async fn ask_all<C: Call>(mesh: &Mesh, call: &C) -> Vec<Told<C::Reply>> {
    ask_each(mesh, &[Role::Mserver, Role::Dserver], call).await
}

/// Asks every server of these roles at once the same.
pub(crate) async fn ask_each<C: Call>(
    mesh: &Mesh,
    roles: &[Role],
    call: &C,
) -> Vec<Told<C::Reply>> {
    let all = roles.iter().map(|role| mesh.all(*role));
    let asked = all.flatten().filter_map(|id| {
        let server = mesh.server(id)?;
        Some(async move {
            let answer = tokio::time::timeout(STATUS_WAIT, ask(mesh, id, call)).await;
            let answer = answer.unwrap_or(Err(CallError::Deadline.into()));
            (id, server.name.clone(), server.role, answer)
        })
    });
    join_all(asked).await
}

/// Every server in its own words.
pub(crate) async fn statuses(mesh: &Mesh) -> Vec<Told<ServerStatus>> {
    ask_all(mesh, &GetStatus {}).await
}
