//! What the ends of a new connection tell each other, and the proofs over it (`docs/WIRE.md`).

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::caller::UserName;
use crate::errors::RefusalReason;
use crate::ids::Role;
use crate::key::{ClusterSecret, KeyBytes, UserKey, is_mac, mac};
use crate::limits::PROTOCOL_VERSION;
use crate::ticket::Ticket;

/// Fresh bytes of one end: what makes a recorded handshake useless.
pub(crate) type Nonce = [u8; 32];

/// The first packet of each end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The cluster; empty when a client does not know it.
    pub(crate) cluster: String,
    pub(crate) role: Role,
    /// The server's number; 0 for a client.
    pub(crate) id: u16,
    pub(crate) name: String,
    /// Differs at each start of a server, so that a second server of one number is told from the
    /// same one connecting anew.
    pub(crate) instance: u64,
    pub(crate) nonce: Nonce,
    /// The server the dialer means; 0 when any will do.
    pub(crate) to: u16,
    pub(crate) credential: Credential,
}

/// What the dialer proves to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Credential {
    /// The cluster's secret.
    Cluster,
    /// A user's key.
    User(String),
    /// The key of a ticket, by its body.
    Ticket(Vec<u8>),
}

impl Hello {
    /// The head of the packet: the protocol version first, so that any two versions can at least
    /// tell that they differ.
    pub(crate) fn to_wire(&self) -> Bytes {
        let wire = postcard::to_extend(self, vec![PROTOCOL_VERSION]);
        wire.expect("a hello is plain data").into()
    }

    pub(crate) fn from_wire(head: &[u8]) -> Result<Self, RefusalReason> {
        match head.split_first() {
            Some((&PROTOCOL_VERSION, rest)) => {
                postcard::from_bytes(rest).map_err(|_| RefusalReason::Malformed)
            }
            Some(_) => Err(RefusalReason::OtherVersion(PROTOCOL_VERSION)),
            None => Err(RefusalReason::Malformed),
        }
    }
}

/// The second packet of each end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    mac: [u8; 32],
    /// From a server to a user who proved the key.
    pub(crate) grant: Option<TicketGrant>,
}

/// A ticket as it travels: its key hidden from all but the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TicketGrant {
    body: Vec<u8>,
    masked_key: [u8; 32],
}

/// What a ticket says, readable by everybody; it is good because only servers can derive its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TicketBody {
    pub(crate) user: String,
    pub(crate) expires_ms: u64,
    /// Two tickets of one user never have the same key.
    pub(crate) salt: Nonce,
}

/// Which end a proof is from; a proof sent back to its maker proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Dialer,
    Acceptor,
}

/// Both hellos as they travelled: what the proofs are over.
#[derive(Debug, Clone)]
pub(crate) struct Transcript {
    pub(crate) dialer: Bytes,
    pub(crate) acceptor: Bytes,
}

impl Proof {
    pub(crate) fn new(
        key: &KeyBytes,
        transcript: &Transcript,
        side: Side,
        grant: Option<TicketGrant>,
    ) -> Self {
        let grant_bytes = grant_bytes(grant.as_ref());
        Self {
            mac: mac(key, &parts(transcript, side, &grant_bytes)),
            grant,
        }
    }

    /// Whether its maker knows the key and saw the same hellos.
    pub(crate) fn is_good(&self, key: &KeyBytes, transcript: &Transcript, side: Side) -> bool {
        let grant_bytes = grant_bytes(self.grant.as_ref());
        is_mac(key, &parts(transcript, side, &grant_bytes), &self.mac)
    }

    pub(crate) fn to_wire(&self) -> Bytes {
        postcard::to_stdvec(self)
            .expect("a proof is plain data")
            .into()
    }

    pub(crate) fn from_wire(head: &[u8]) -> Result<Self, RefusalReason> {
        postcard::from_bytes(head).map_err(|_| RefusalReason::Malformed)
    }
}

fn parts<'a>(transcript: &'a Transcript, side: Side, grant: &'a [u8]) -> [&'a [u8]; 4] {
    let label: &[u8] = match side {
        Side::Dialer => b"sdfs dialer",
        Side::Acceptor => b"sdfs acceptor",
    };
    [label, &transcript.dialer, &transcript.acceptor, grant]
}

fn grant_bytes(grant: Option<&TicketGrant>) -> Vec<u8> {
    match grant {
        None => Vec::new(),
        Some(grant) => postcard::to_stdvec(grant).expect("a grant is plain data"),
    }
}

/// The key servers derive for a ticket.
pub(crate) fn ticket_key(secret: &ClusterSecret, body: &[u8]) -> KeyBytes {
    mac(secret.bytes(), &[b"sdfs ticket", body])
}

impl TicketGrant {
    /// Makes a ticket for a user who proved `user_key` in this handshake.
    pub(crate) fn make(
        secret: &ClusterSecret,
        user_key: &UserKey,
        nonces: (&Nonce, &Nonce),
        body: &TicketBody,
    ) -> Self {
        let body = postcard::to_stdvec(body).expect("a ticket is plain data");
        let key = ticket_key(secret, &body);
        let masked_key = masked(&key, user_key, nonces);
        Self { body, masked_key }
    }

    /// The ticket, read by the user; `None` when its body makes no sense.
    pub(crate) fn open(&self, user_key: &UserKey, nonces: (&Nonce, &Nonce)) -> Option<Ticket> {
        let body: TicketBody = postcard::from_bytes(&self.body).ok()?;
        Some(Ticket {
            user: UserName(Arc::from(body.user)),
            expires_ms: body.expires_ms,
            body: Bytes::copy_from_slice(&self.body),
            key: masked(&self.masked_key, user_key, nonces),
        })
    }
}

/// Exclusive or with bytes only the user and the server can make, fresh for each handshake.
fn masked(key: &KeyBytes, user_key: &UserKey, nonces: (&Nonce, &Nonce)) -> KeyBytes {
    let mask = mac(&user_key.0, &[b"sdfs ticket mask", nonces.0, nonces.1]);
    std::array::from_fn(|place| key[place] ^ mask[place])
}

/// Fresh bytes.
pub(crate) fn fresh() -> Result<Nonce, getrandom::Error> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce)?;
    Ok(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(credential: Credential) -> Hello {
        Hello {
            cluster: "sdfs".to_owned(),
            role: Role::Dserver,
            id: 4,
            name: "dserver-1".to_owned(),
            instance: 300,
            nonce: [5; 32],
            to: 1,
            credential,
        }
    }

    #[test]
    fn golden_bytes_of_a_hello() {
        let mut golden = vec![8, 4, b's', b'd', b'f', b's', 1, 4, 9];
        golden.extend(b"dserver-1");
        golden.extend([0xac, 0x02]);
        golden.extend([5; 32]);
        golden.extend([1, 0]);
        assert_eq!(hello(Credential::Cluster).to_wire()[..], golden[..]);
        for credential in [
            Credential::Cluster,
            Credential::User("ann".into()),
            Credential::Ticket(vec![1, 2]),
        ] {
            let hello = hello(credential);
            assert_eq!(Hello::from_wire(&hello.to_wire()), Ok(hello));
        }
    }

    #[test]
    fn other_version_is_told_by_its_number() {
        let mut wire = hello(Credential::Cluster).to_wire().to_vec();
        for other in [PROTOCOL_VERSION - 1, PROTOCOL_VERSION + 1] {
            wire[0] = other;
            assert_eq!(
                Hello::from_wire(&wire),
                Err(RefusalReason::OtherVersion(PROTOCOL_VERSION))
            );
        }
        assert_eq!(Hello::from_wire(&[]), Err(RefusalReason::Malformed));
        let cut_off = [PROTOCOL_VERSION, 200];
        assert_eq!(Hello::from_wire(&cut_off), Err(RefusalReason::Malformed));
    }

    #[test]
    fn proof_holds_for_one_side_and_one_handshake() {
        let transcript = Transcript {
            dialer: Bytes::from_static(b"one"),
            acceptor: Bytes::from_static(b"other"),
        };
        let key = [1; 32];
        let proof = Proof::new(&key, &transcript, Side::Dialer, None);
        assert!(proof.is_good(&key, &transcript, Side::Dialer));
        assert!(!proof.is_good(&key, &transcript, Side::Acceptor));
        assert!(!proof.is_good(&[2; 32], &transcript, Side::Dialer));
        let shifted = Transcript {
            dialer: Bytes::from_static(b"on"),
            acceptor: Bytes::from_static(b"eother"),
        };
        assert!(!proof.is_good(&key, &shifted, Side::Dialer));
    }

    #[test]
    fn ticket_key_is_the_users_alone() {
        let secret = ClusterSecret::of_secret("the secret of the cluster");
        let (user_key, nonces) = (UserKey([3; 32]), (&[1; 32], &[2; 32]));
        let body = TicketBody {
            user: "ann".into(),
            expires_ms: 99,
            salt: [7; 32],
        };
        let grant = TicketGrant::make(&secret, &user_key, nonces, &body);
        let ticket = grant.open(&user_key, nonces).unwrap();
        assert_eq!(ticket.key, ticket_key(&secret, &ticket.body));
        assert_ne!(grant.masked_key, ticket.key);
        assert_ne!(
            grant.open(&UserKey([4; 32]), nonces).unwrap().key,
            ticket.key
        );
    }
}
