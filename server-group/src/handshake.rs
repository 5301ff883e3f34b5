//! The mutual challenge-response on a new connection: hello, hello, proof, proof.
//!
//! Each end proves by HMAC-SHA-256 over both hellos that it knows the key; fresh nonces in both
//! make a recorded handshake useless, and no secret travels.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sdfs_net_layer::{CloseReason, Packet, PacketKind, PacketLimits, PacketReceiver, PacketSender};
use tokio::time::Instant;

use crate::caller::UserName;
use crate::clock;
use crate::errors::RefusalReason;
use crate::hello::{
    Credential, Hello, Proof, Side, TicketBody, TicketGrant, Transcript, fresh, ticket_key,
};
use crate::ids::{Role, ServerId};
use crate::key::{ClusterSecret, KeyBytes, UserKey, UserKeys};
use crate::limits::{TICKET_MS, USER_BYTES_MAX};

/// Why a handshake failed.
#[derive(Debug)]
pub(crate) enum HandshakeFault {
    /// The other end refused.
    Theirs(RefusalReason),
    /// This end refuses; the other one is to be told.
    Ours(RefusalReason),
    /// The connection ended.
    Closed(CloseReason),
    /// The system has no randomness to give.
    Randomness(getrandom::Error),
}

impl From<RefusalReason> for HandshakeFault {
    fn from(reason: RefusalReason) -> Self {
        Self::Ours(reason)
    }
}

/// Both halves of a connection in its handshake.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: PacketSender,
    pub(crate) receiver: PacketReceiver,
}

impl Connection {
    fn send(&self, kind: PacketKind, head: Bytes) -> Result<(), HandshakeFault> {
        self.sender
            .try_send(Packet::control(kind, 0, head))
            .map_err(|_| {
                HandshakeFault::Closed(self.sender.close_reason().unwrap_or(CloseReason::Overflow))
            })
    }

    async fn next(&mut self, kind: PacketKind) -> Result<Bytes, HandshakeFault> {
        let packet = self.receiver.next().await.map_err(HandshakeFault::Closed)?;
        match packet.kind {
            got if got == kind => Ok(packet.head),
            PacketKind::Refusal => {
                let reason = postcard::from_bytes(&packet.head);
                Err(HandshakeFault::Theirs(
                    reason.unwrap_or(RefusalReason::Malformed),
                ))
            }
            _ => Err(HandshakeFault::Ours(RefusalReason::Malformed)),
        }
    }

    /// Tells the other end why, and closes.
    pub(crate) fn refuse(&self, reason: &RefusalReason) {
        let head = postcard::to_stdvec(reason).expect("a reason is plain data");
        // Closed already: then there is nobody to tell.
        self.send(PacketKind::Refusal, head.into()).unwrap_or(());
        self.sender.close(CloseReason::Refused);
    }

    /// The last packet of the acceptor: from here the link is up.
    pub(crate) fn admit(&self, proof: &Proof) -> Result<(), HandshakeFault> {
        self.send(PacketKind::Proof, proof.to_wire())
    }
}

/// The dialer's side done.
#[derive(Debug)]
pub(crate) struct Dialed {
    pub(crate) theirs: Hello,
    pub(crate) grant: Option<TicketGrant>,
    /// From hello to hello.
    pub(crate) round_trip: Duration,
}

/// Proves `key` to the acceptor and has it prove the same.
pub(crate) async fn dial(
    connection: &mut Connection,
    mine: &Hello,
    key: &KeyBytes,
) -> Result<Dialed, HandshakeFault> {
    let began = Instant::now();
    let dialer = mine.to_wire();
    connection.send(PacketKind::Hello, dialer.clone())?;
    let acceptor = connection.next(PacketKind::Hello).await?;
    let round_trip = began.elapsed();
    let theirs = Hello::from_wire(&acceptor)?;
    if !mine.cluster.is_empty() && theirs.cluster != mine.cluster {
        return Err(RefusalReason::OtherCluster(mine.cluster.clone()).into());
    }
    if mine.to != 0 && theirs.id != mine.to {
        return Err(RefusalReason::WrongServer(ServerId(mine.to)).into());
    }
    let transcript = Transcript { dialer, acceptor };
    let proof = Proof::new(key, &transcript, Side::Dialer, None);
    connection.send(PacketKind::Proof, proof.to_wire())?;
    let proof = Proof::from_wire(&connection.next(PacketKind::Proof).await?)?;
    if !proof.is_good(key, &transcript, Side::Acceptor) {
        return Err(RefusalReason::WrongProof.into());
    }
    connection.receiver.set_limits(PacketLimits::default());
    Ok(Dialed {
        theirs,
        grant: proof.grant,
        round_trip,
    })
}

/// What an acceptor knows and is.
pub(crate) struct Acceptance<'a> {
    /// This end's hello, but for its nonce.
    pub(crate) mine: &'a Hello,
    pub(crate) secret: &'a ClusterSecret,
    pub(crate) user_keys: &'a Arc<dyn UserKeys>,
    /// Whether a server of this number, name and role belongs to the cluster.
    pub(crate) is_member: &'a (dyn Fn(&Hello) -> bool + Send + Sync),
}

/// A dialer that proved itself; it waits for the acceptor's proof.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) theirs: Hello,
    pub(crate) user: Option<UserName>,
    pub(crate) proof: Proof,
}

impl Acceptance<'_> {
    /// Has the dialer prove itself. Sends no proof of this end yet: the claim may still be
    /// refused for what only the peer's actor knows.
    pub(crate) async fn accept(
        &self,
        connection: &mut Connection,
    ) -> Result<Claim, HandshakeFault> {
        let dialer = connection.next(PacketKind::Hello).await?;
        let theirs = Hello::from_wire(&dialer)?;
        self.check(&theirs)?;
        let mine = Hello {
            nonce: fresh().map_err(HandshakeFault::Randomness)?,
            to: theirs.id,
            ..self.mine.clone()
        };
        let acceptor = mine.to_wire();
        connection.send(PacketKind::Hello, acceptor.clone())?;
        let proof = Proof::from_wire(&connection.next(PacketKind::Proof).await?)?;
        let transcript = Transcript { dialer, acceptor };
        let known = self.proven(&theirs, &proof, &transcript).await?;
        connection.receiver.set_limits(PacketLimits::default());
        let grant = match &theirs.credential {
            Credential::User(user) => Some(TicketGrant::make(
                self.secret,
                &UserKey(known.key),
                (&theirs.nonce, &mine.nonce),
                &TicketBody {
                    user: user.clone(),
                    expires_ms: clock::now_ms() + TICKET_MS,
                    salt: fresh().map_err(HandshakeFault::Randomness)?,
                },
            )),
            Credential::Cluster | Credential::Ticket(_) => None,
        };
        let proof = Proof::new(&known.key, &transcript, Side::Acceptor, grant);
        Ok(Claim {
            theirs,
            user: known.user,
            proof,
        })
    }

    fn check(&self, theirs: &Hello) -> Result<(), RefusalReason> {
        let may_be_unknown = theirs.role == Role::Client && theirs.cluster.is_empty();
        if !may_be_unknown && theirs.cluster != self.mine.cluster {
            return Err(RefusalReason::OtherCluster(self.mine.cluster.clone()));
        }
        if theirs.to != 0 && theirs.to != self.mine.id {
            return Err(RefusalReason::WrongServer(ServerId(theirs.to)));
        }
        match (theirs.role, &theirs.credential) {
            // A guest: a server that does not know yet who the others are.
            (Role::Client, Credential::Cluster) if theirs.id != 0 => Err(RefusalReason::WrongProof),
            (Role::Client, _) => Ok(()),
            (_, Credential::Cluster) if theirs.id == self.mine.id => {
                Err(RefusalReason::DuplicateServer)
            }
            (_, Credential::Cluster) if (self.is_member)(theirs) => Ok(()),
            (_, Credential::Cluster) => Err(RefusalReason::UnknownServer),
            (_, Credential::User(_) | Credential::Ticket(_)) => Err(RefusalReason::WrongProof),
        }
    }

    /// What the dialer has proven to know. A user's key that does not fit may have been changed
    /// elsewhere: nobody is told that his secret is wrong by a server that is behind.
    async fn proven(
        &self,
        theirs: &Hello,
        proof: &Proof,
        transcript: &Transcript,
    ) -> Result<Known, HandshakeFault> {
        let fits = |known: &Known| proof.is_good(&known.key, transcript, Side::Dialer);
        let known = self.known(theirs)?;
        if fits(&known) {
            return Ok(known);
        }
        if matches!(theirs.credential, Credential::User(_)) {
            if !self.user_keys.caught_up().await {
                return Err(RefusalReason::NotReady.into());
            }
            let known = self.known(theirs)?;
            if fits(&known) {
                return Ok(known);
            }
        }
        Err(RefusalReason::WrongProof.into())
    }

    /// The key the dialer has to prove, and the user it stands for.
    fn known(&self, theirs: &Hello) -> Result<Known, HandshakeFault> {
        match &theirs.credential {
            Credential::Cluster => Ok(Known {
                key: *self.secret.bytes(),
                user: None,
            }),
            Credential::User(user) if user.len() > USER_BYTES_MAX => {
                Err(RefusalReason::Malformed.into())
            }
            Credential::User(user) => {
                // An unknown user fails as a wrong secret does, so that names cannot be probed.
                let key = match self.user_keys.key_of(user) {
                    Some(key) => key.0,
                    None => fresh().map_err(HandshakeFault::Randomness)?,
                };
                Ok(Known {
                    key,
                    user: Some(UserName(Arc::from(user.as_str()))),
                })
            }
            Credential::Ticket(body) => {
                let ticket: TicketBody =
                    postcard::from_bytes(body).map_err(|_| RefusalReason::Malformed)?;
                if ticket.expires_ms <= clock::now_ms() {
                    return Err(RefusalReason::TicketExpired.into());
                }
                let user = Some(UserName(Arc::from(ticket.user)));
                Ok(Known {
                    key: ticket_key(self.secret, body),
                    user,
                })
            }
        }
    }
}

struct Known {
    key: KeyBytes,
    user: Option<UserName>,
}
