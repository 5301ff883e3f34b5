//! How calls look inside packets: what precedes the head of a request and a reply
//! (`docs/WIRE.md`).

use bytes::{Buf, Bytes};

use crate::errors::CallError;
use crate::trace::Trace;

/// What precedes the head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestPrefix {
    pub(crate) kind: u16,
    /// How long the caller waits, from when it sent.
    pub(crate) remaining_ms: u32,
    /// All payload bytes, those in chunks included.
    pub(crate) payload_bytes: u32,
    /// What it is asked for, and the call its caller serves.
    pub(crate) trace: Trace,
}

impl RequestPrefix {
    pub(crate) const BYTES: usize = 26;

    pub(crate) fn to_wire(self) -> [u8; Self::BYTES] {
        let mut wire = [0; Self::BYTES];
        wire[0..2].copy_from_slice(&self.kind.to_le_bytes());
        wire[2..6].copy_from_slice(&self.remaining_ms.to_le_bytes());
        wire[6..10].copy_from_slice(&self.payload_bytes.to_le_bytes());
        let (id, span) = self.trace.to_wire();
        wire[10..18].copy_from_slice(&id.to_le_bytes());
        wire[18..26].copy_from_slice(&span.to_le_bytes());
        wire
    }

    /// Takes the prefix off the front of a head; `None` when the head is too short.
    pub(crate) fn take(head: &mut Bytes) -> Option<Self> {
        if head.len() < Self::BYTES {
            return None;
        }
        Some(Self {
            kind: head.get_u16_le(),
            remaining_ms: head.get_u32_le(),
            payload_bytes: head.get_u32_le(),
            trace: Trace::from_wire((head.get_u64_le(), head.get_u64_le())),
        })
    }
}

/// Takes the payload's length off the front of the head of a reply whose payload is in chunks.
pub(crate) fn take_payload_bytes(head: &mut Bytes) -> Option<u32> {
    (head.len() >= 4).then(|| head.get_u32_le())
}

/// Why a call was not answered, as it travels in a refusing reply: one byte and the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallRefusal {
    NotAllowed(u16),
    Full,
    /// The service dropped the call unanswered.
    Dropped,
    TooLarge,
}

impl CallRefusal {
    pub(crate) const BYTES: usize = 3;

    pub(crate) fn to_wire(self) -> [u8; Self::BYTES] {
        let (code, kind) = match self {
            Self::NotAllowed(kind) => (1, kind),
            Self::Full => (2, 0),
            Self::Dropped => (3, 0),
            Self::TooLarge => (4, 0),
        };
        let [low, high] = u16::to_le_bytes(kind);
        [code, low, high]
    }

    pub(crate) fn from_wire(head: &[u8]) -> Option<Self> {
        let [code, low, high] = *head else {
            return None;
        };
        Some(match code {
            1 => Self::NotAllowed(u16::from_le_bytes([low, high])),
            2 => Self::Full,
            3 => Self::Dropped,
            4 => Self::TooLarge,
            _ => return None,
        })
    }

    /// What the caller sees.
    pub(crate) fn error(self) -> CallError {
        match self {
            Self::NotAllowed(kind) => CallError::NotAllowed(kind),
            Self::Full => CallError::Full,
            Self::Dropped => CallError::Lost { maybe_done: true },
            Self::TooLarge => CallError::TooLarge,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_of_a_request_prefix() {
        let prefix = RequestPrefix {
            kind: 0x0102,
            remaining_ms: 0x0304_0506,
            payload_bytes: 0x0708_090a,
            trace: Trace::from_wire((0x8b0c_0d0e_0f10_1112, 0x1314_1516_1718_191a)),
        };
        assert_eq!(
            prefix.to_wire(),
            [
                2, 1, 6, 5, 4, 3, 10, 9, 8, 7, 18, 17, 16, 15, 14, 13, 12, 0x8b, 26, 25, 24, 23,
                22, 21, 20, 19
            ]
        );
        let mut head = Bytes::from([&prefix.to_wire()[..], b"rest"].concat());
        assert_eq!(RequestPrefix::take(&mut head), Some(prefix));
        assert_eq!(head, "rest");
        assert_eq!(RequestPrefix::take(&mut Bytes::from_static(&[0; 25])), None);
    }

    #[test]
    fn golden_bytes_of_refusals() {
        for (refusal, wire) in [
            (CallRefusal::NotAllowed(0x0102), [1, 2, 1]),
            (CallRefusal::Full, [2, 0, 0]),
            (CallRefusal::Dropped, [3, 0, 0]),
            (CallRefusal::TooLarge, [4, 0, 0]),
        ] {
            assert_eq!(refusal.to_wire(), wire);
            assert_eq!(CallRefusal::from_wire(&wire), Some(refusal));
        }
        for wire in [&[][..], &[0, 0, 0], &[5, 0, 0], &[1, 0], &[1, 0, 0, 0]] {
            assert_eq!(CallRefusal::from_wire(wire), None);
        }
    }
}
