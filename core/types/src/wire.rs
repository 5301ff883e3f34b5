//! The one wire form of calls and records: a version byte, then postcard. An answer carries one
//! more byte: 0 for what was asked, 1 for a [`Refusal`].
//!
//! postcard does not tolerate added fields: a changed record becomes a new variant or a new call.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;

/// Version of the wire form this build writes and reads.
pub const WIRE_VERSION: u8 = 1;

const ANSWER_DONE: u8 = 0;
const ANSWER_REFUSED: u8 = 1;

/// Why bytes are not what they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireFault {
    /// No bytes where a version was expected.
    #[error("the message is empty")]
    Empty,
    /// Another version of the wire form.
    #[error("wire form {found}; this build reads {WIRE_VERSION}")]
    Version {
        /// What was found.
        found: u8,
    },
    /// An answer that is neither done nor refused.
    #[error("unknown answer byte {found}")]
    Answer {
        /// What was found.
        found: u8,
    },
    /// The record does not decode, or bytes are left over.
    #[error("the record does not decode: {0}")]
    Record(postcard::Error),
    /// Bytes follow the record.
    #[error("{bytes} bytes follow the record")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

/// Encodes a call or record.
pub fn encode<T: Serialize>(value: &T) -> Bytes {
    encode_after(&[WIRE_VERSION], value)
}

/// Decodes what [`encode`] wrote.
///
/// # Errors
/// [`WireFault`] for anything else.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireFault> {
    decode_record(after_version(bytes)?)
}

/// Encodes an answer.
pub fn encode_answer<T: Serialize>(answer: &Result<T, Refusal>) -> Bytes {
    match answer {
        Ok(done) => encode_after(&[WIRE_VERSION, ANSWER_DONE], done),
        Err(refusal) => encode_after(&[WIRE_VERSION, ANSWER_REFUSED], refusal),
    }
}

/// Decodes what [`encode_answer`] wrote.
///
/// # Errors
/// [`WireFault`] for anything else.
pub fn decode_answer<T: DeserializeOwned>(bytes: &[u8]) -> Result<Result<T, Refusal>, WireFault> {
    match after_version(bytes)?.split_first() {
        Some((&ANSWER_DONE, record)) => Ok(Ok(decode_record(record)?)),
        Some((&ANSWER_REFUSED, record)) => Ok(Err(decode_record(record)?)),
        Some((&found, _)) => Err(WireFault::Answer { found }),
        None => Err(WireFault::Empty),
    }
}

/// What an answer that [`encode_answer`] wrote comes to, in a word for logs.
pub fn outcome(answer: &[u8]) -> String {
    match after_version(answer).map(<[u8]>::split_first) {
        Ok(Some((&ANSWER_DONE, _))) => "ok".to_owned(),
        Ok(Some((&ANSWER_REFUSED, record))) => match decode_record::<Refusal>(record) {
            Ok(refusal) => refusal.word(),
            Err(_) => "unreadable".to_owned(),
        },
        _ => "unreadable".to_owned(),
    }
}

fn encode_after<T: Serialize>(begin: &[u8], value: &T) -> Bytes {
    let mut bytes = Vec::with_capacity(128);
    bytes.extend_from_slice(begin);
    match postcard::to_extend(value, bytes) {
        Ok(bytes) => bytes.into(),
        // Every record is made of plain derived types whose lengths are known.
        Err(fault) => unreachable!("a record always encodes: {fault}"),
    }
}

fn decode_record<T: DeserializeOwned>(record: &[u8]) -> Result<T, WireFault> {
    let (value, rest) = postcard::take_from_bytes(record).map_err(WireFault::Record)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(WireFault::Trailing { bytes: rest.len() })
    }
}

fn after_version(bytes: &[u8]) -> Result<&[u8], WireFault> {
    match bytes.split_first() {
        Some((&WIRE_VERSION, rest)) => Ok(rest),
        Some((&found, _)) => Err(WireFault::Version { found }),
        None => Err(WireFault::Empty),
    }
}
