//! A door for the fuzzer alone: what bytes from a stranger are read as, written again. `None` for
//! bytes that are refused.

use bytes::Bytes;

use crate::errors::RefusalReason;
use crate::hello::{Hello, Proof, TicketBody};
use crate::load_wire;
use crate::wire::{CallRefusal, RequestPrefix};

/// The head of a hello.
#[must_use]
pub fn hello(head: &[u8]) -> Option<Vec<u8>> {
    Some(Hello::from_wire(head).ok()?.to_wire().into())
}

/// The head of a proof.
#[must_use]
pub fn proof(head: &[u8]) -> Option<Vec<u8>> {
    Some(Proof::from_wire(head).ok()?.to_wire().into())
}

/// The head of a refusal of a connection.
#[must_use]
pub fn refusal(head: &[u8]) -> Option<Vec<u8>> {
    let reason: RefusalReason = postcard::from_bytes(head).ok()?;
    postcard::to_stdvec(&reason).ok()
}

/// The body of a ticket.
#[must_use]
pub fn ticket(body: &[u8]) -> Option<Vec<u8>> {
    let ticket: TicketBody = postcard::from_bytes(body).ok()?;
    postcard::to_stdvec(&ticket).ok()
}

/// The head of a request: its prefix, and what follows.
#[must_use]
pub fn request(head: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Bytes::copy_from_slice(head);
    let prefix = RequestPrefix::take(&mut rest)?.to_wire();
    Some([&prefix, &rest[..]].concat())
}

/// The head of a reply that refuses a call.
#[must_use]
pub fn call_refusal(head: &[u8]) -> Option<Vec<u8>> {
    Some(CallRefusal::from_wire(head)?.to_wire().into())
}

/// The head of a pong.
#[must_use]
pub fn load(head: &[u8]) -> Option<Vec<u8>> {
    Some(load_wire::to_wire(load_wire::from_wire(head)?).into())
}
