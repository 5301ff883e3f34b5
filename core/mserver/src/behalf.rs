//! Users at the doors of other servers: whether their proof is right, and their calls.

use sdfs_server_group::{Caller, Deadline, IncomingCall, Replier, Role, UserKeys, UserName};
use sdfs_types::calls::CallKind;
use sdfs_types::calls::behalf::{CheckLogin, LoginChecked, OnBehalf};
use sdfs_types::{Access, FilePath, Refusal, wire};

use crate::core::Core;

/// The first byte of the kinds that clients send to mservers.
const OF_CLIENTS: u16 = 0x02;

/// Judges a proof. One that does not fit is wrong only when this mserver knows every change of
/// users: it may be behind, and the proof right.
pub(crate) async fn check_login(
    core: &Core,
    asked: &CheckLogin,
    deadline: Deadline,
) -> LoginChecked {
    if let Some(right) = judged(core, asked) {
        return right;
    }
    // Without its first administrator a cluster has just begun.
    if core.root_barrier(deadline).await.is_err() || core.root.users().is_empty() {
        return LoginChecked::CannotTell;
    }
    judged(core, asked).unwrap_or(LoginChecked::Wrong)
}

fn judged(core: &Core, asked: &CheckLogin) -> Option<LoginChecked> {
    let users = core.root.users();
    let key = users.key_of(&asked.user)?;
    let is_right = key.is_signature(&asked.challenge, &asked.proof);
    let is_admin = users
        .check(&asked.user, Access::Admin, &FilePath::root())
        .is_ok();
    is_right.then_some(LoginChecked::Right { is_admin })
}

/// The call inside, as if its user had sent it here.
pub(crate) fn unwrapped(
    call: IncomingCall,
) -> Result<(CallKind, IncomingCall), Box<(Replier, Refusal)>> {
    let malformed = |why: String| Refusal::Malformed { why };
    let inside = match wire::decode::<OnBehalf>(&call.head) {
        Ok(inside) => inside,
        Err(fault) => return Err(Box::new((call.reply, malformed(fault.to_string())))),
    };
    let kind = CallKind::from_wire(inside.kind);
    let Some(kind) = kind.filter(|kind| kind.to_wire() >> 8 == OF_CLIENTS) else {
        let why = format!("kind {:#06x} is no call of a client", inside.kind);
        return Err(Box::new((call.reply, malformed(why))));
    };
    let from = Caller {
        role: Role::Client,
        server: None,
        user: Some(UserName::from(inside.user.as_str())),
        address: call.from.address,
    };
    let head = inside.call.into();
    let kind_on_wire = inside.kind;
    Ok((
        kind,
        IncomingCall {
            from,
            kind: kind_on_wire,
            head,
            ..call
        },
    ))
}
