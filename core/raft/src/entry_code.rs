//! The bytes of log entries, the same on disk and between members. Pure.
//!
//! Each entry: leader's term and number, kind, length (LEB128 numbers), then the body. Indexes are
//! not written: entries lie one behind the other from a first index that the surroundings name.

use crate::types::{Command, Entry, LeaderId, LogId, Membership, Payload};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::vote::RaftLeaderId;

const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Longest LEB128 form of a u64.
const NUMBER_BYTES_MAX: u32 = 10;

/// The bytes are not what this code writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed log entries")]
pub(crate) struct Malformed;

/// Where an entry lies in a run of entries, and who led when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) leader: LeaderId,
    /// First byte of the entry in the run.
    pub(crate) start: u32,
    /// Bytes of the entry, header included.
    pub(crate) bytes: u32,
}

/// Appends LEB128.
pub(crate) fn put_number(out: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8((number as u8 & 0x7f) | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

/// Takes LEB128 off the front.
pub(crate) fn take_number(input: &mut impl Buf) -> Result<u64, Malformed> {
    let mut number = 0_u64;
    for place in 0..NUMBER_BYTES_MAX {
        if !input.has_remaining() {
            return Err(Malformed);
        }
        let byte = input.get_u8();
        let bits = u64::from(byte & 0x7f);
        if place == NUMBER_BYTES_MAX - 1 && bits > 1 {
            return Err(Malformed);
        }
        number |= bits << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed)
}

/// Appends one entry's bytes and gives their number.
pub(crate) fn put_entry(out: &mut BytesMut, entry: &Entry) -> usize {
    let before = out.len();
    put_number(out, entry.log_id.leader_id.term);
    put_number(out, entry.log_id.leader_id.node_id);
    match &entry.payload {
        Payload::Blank => put_body(out, BLANK, &[]),
        Payload::Normal(command) => put_body(out, NORMAL, &command.0),
        Payload::Membership(membership) => {
            let body = postcard::to_stdvec(membership);
            put_body(
                out,
                MEMBERSHIP,
                &body.expect("numbers of members always encode"),
            );
        }
    }
    out.len() - before
}

fn put_body(out: &mut BytesMut, kind: u8, body: &[u8]) {
    out.put_u8(kind);
    put_number(out, body.len() as u64);
    out.put_slice(body);
}

/// Takes one entry off the front; its body shares memory with `run`.
pub(crate) fn take_entry(run: &mut Bytes, index: u64) -> Result<Entry, Malformed> {
    let (leader, kind, bytes) = take_header(run)?;
    let body = run.split_to(bytes);
    let payload = match kind {
        BLANK => Payload::Blank,
        NORMAL => Payload::Normal(Command(body)),
        MEMBERSHIP => {
            let membership = postcard::from_bytes::<Membership>(&body);
            Payload::Membership(membership.map_err(|_| Malformed)?)
        }
        _ => return Err(Malformed),
    };
    Ok(Entry {
        log_id: LogId::new(leader, index),
        payload,
    })
}

/// Where each of `count` entries lies in `run`, without making them.
pub(crate) fn spans(run: &[u8], count: u32) -> Result<Vec<Span>, Malformed> {
    let mut rest = run;
    let mut spans = Vec::with_capacity(count.min(65_536) as usize);
    for _ in 0..count {
        let start = run.len() - rest.len();
        let (leader, _, bytes) = take_header(&mut rest)?;
        rest.advance(bytes);
        let end = run.len() - rest.len();
        let narrow = |place: usize| u32::try_from(place).map_err(|_| Malformed);
        spans.push(Span {
            leader,
            start: narrow(start)?,
            bytes: narrow(end - start)?,
        });
    }
    if rest.is_empty() {
        Ok(spans)
    } else {
        Err(Malformed)
    }
}

/// Leader, kind and the length of the body, which is known to follow.
fn take_header(input: &mut impl Buf) -> Result<(LeaderId, u8, usize), Malformed> {
    let term = take_number(input)?;
    let node = take_number(input)?;
    if !input.has_remaining() {
        return Err(Malformed);
    }
    let kind = input.get_u8();
    let bytes = usize::try_from(take_number(input)?).map_err(|_| Malformed)?;
    if bytes > input.remaining() || kind > MEMBERSHIP {
        return Err(Malformed);
    }
    Ok((LeaderId::new(term, node), kind, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn entry() -> impl Strategy<Value = (u64, u64, Payload)> {
        let payload = prop_oneof![
            Just(Payload::Blank),
            prop::collection::vec(any::<u8>(), 0..300)
                .prop_map(|bytes| Payload::Normal(Command(Bytes::from(bytes)))),
            prop::collection::btree_set(1_u64..9, 1..4).prop_map(|voters: BTreeSet<u64>| {
                Payload::Membership(Membership::new_with_defaults(vec![voters], [9]))
            }),
        ];
        (any::<u64>(), 0_u64..65_536, payload)
    }

    proptest! {
        #[test]
        fn entries_survive_their_bytes(
            entries in prop::collection::vec(entry(), 0..20),
            first in 0_u64..1_000_000,
        ) {
            let mut run = BytesMut::new();
            let mut made = Vec::new();
            for (index, (term, node, payload)) in (first..).zip(entries) {
                let log_id = LogId::new(LeaderId::new(term, node), index);
                made.push(Entry { log_id, payload });
                put_entry(&mut run, &made[made.len() - 1]);
            }
            let run = run.freeze();
            let spans = spans(&run, made.len() as u32).unwrap();
            let mut rest = run.clone();
            for (index, (wanted, span)) in (first..).zip(made.iter().zip(spans)) {
                prop_assert_eq!(&take_entry(&mut rest, index).unwrap(), wanted);
                let (start, end) = (span.start as usize, (span.start + span.bytes) as usize);
                let mut alone = run.slice(start..end);
                prop_assert_eq!(&take_entry(&mut alone, index).unwrap(), wanted);
                prop_assert_eq!(span.leader, wanted.log_id.leader_id);
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_decode_or_fail(
            run in prop::collection::vec(any::<u8>(), 0..60),
            count in 0_u32..5,
        ) {
            let run = Bytes::from(run);
            let found = spans(&run, count).is_ok();
            let mut rest = run;
            let decoded = (0..u64::from(count)).all(|index| take_entry(&mut rest, index).is_ok());
            // A membership body may be garbage inside a well-formed frame, never the reverse.
            prop_assert!(found || !(decoded && rest.is_empty()));
        }
    }
}
