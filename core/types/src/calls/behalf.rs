//! Calls of a server on behalf of a user whose proof it has passed on: how a door that people come
//! in by asks the mservers, which alone know the users and their rights.

use serde::{Deserialize, Serialize};

use super::{CallKind, call};

/// Asks a mserver whether a user's proof is right: HMAC-SHA-256, under the user's key, of the
/// challenge. The asking server has made the challenge itself and takes it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckLogin {
    /// Who wants in.
    pub user: String,
    /// What was to be signed.
    pub challenge: String,
    /// The signature.
    pub proof: [u8; 32],
}
call!(CheckLogin => LoginChecked, CheckLogin);

/// What a mserver knows of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoginChecked {
    /// It is right.
    Right {
        /// Whether the user is an administrator: may do everything everywhere.
        is_admin: bool,
    },
    /// There is no such user, or it is wrong.
    Wrong,
    /// It does not fit what this mserver knows, which may be behind.
    CannotTell,
}

/// A client's call on behalf of a user. Answered with what the call inside is answered with, and
/// refused where the user lacks the right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnBehalf {
    /// The user.
    pub user: String,
    /// The kind of the call inside: one of clients to mservers.
    pub kind: u16,
    /// The call inside, encoded.
    pub call: Vec<u8>,
}

impl OnBehalf {
    /// Its number on the wire. It is no `Call`: its answer is that of the call inside.
    pub const KIND: CallKind = CallKind::OnBehalf;
}
