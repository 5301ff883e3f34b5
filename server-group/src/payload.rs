//! The bulk bytes of a call, in pieces, never copied.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// A rope of bytes: pieces in order, none empty. Cloning and slicing share memory.
#[derive(Clone, Default)]
pub struct Payload {
    pieces: Pieces,
    bytes: usize,
}

/// One piece is by far the commonest, so it costs no allocation.
#[derive(Clone, Default)]
enum Pieces {
    #[default]
    None,
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Payload {
    /// No bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pieces: Pieces::None,
            bytes: 0,
        }
    }

    /// All bytes together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The pieces in order.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        match &self.pieces {
            Pieces::None => &[],
            Pieces::One(piece) => std::slice::from_ref(piece),
            Pieces::Many(pieces) => pieces,
        }
    }

    /// The pieces in order, given away.
    #[must_use]
    pub fn into_pieces(self) -> Vec<Bytes> {
        match self.pieces {
            Pieces::None => Vec::new(),
            Pieces::One(piece) => vec![piece],
            Pieces::Many(pieces) => pieces,
        }
    }

    /// One contiguous piece: free for a rope of one, a copy for more.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match &self.pieces {
            Pieces::None => Bytes::new(),
            Pieces::One(piece) => piece.clone(),
            Pieces::Many(pieces) => {
                let mut all = BytesMut::with_capacity(self.bytes);
                for piece in pieces {
                    all.extend_from_slice(piece);
                }
                all.freeze()
            }
        }
    }

    /// Adds a piece at the end.
    pub fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        self.bytes += piece.len();
        self.pieces = match std::mem::take(&mut self.pieces) {
            Pieces::None => Pieces::One(piece),
            Pieces::One(first) => Pieces::Many(vec![first, piece]),
            Pieces::Many(mut pieces) => {
                pieces.push(piece);
                Pieces::Many(pieces)
            }
        };
    }

    /// Takes the first `bytes` bytes off, without a copy; all of it when there are fewer.
    #[must_use]
    pub fn split_to(&mut self, bytes: usize) -> Self {
        let mut taken = Self::new();
        let mut rest = Self::new();
        for mut piece in std::mem::take(self).into_pieces() {
            let room = bytes - taken.len().min(bytes);
            if room >= piece.len() {
                taken.push(piece);
            } else {
                taken.push(piece.split_to(room));
                rest.push(piece);
            }
        }
        *self = rest;
        taken
    }
}

impl From<Bytes> for Payload {
    fn from(piece: Bytes) -> Self {
        let mut payload = Self::new();
        payload.push(piece);
        payload
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl From<Vec<Bytes>> for Payload {
    fn from(pieces: Vec<Bytes>) -> Self {
        pieces.into_iter().collect()
    }
}

impl FromIterator<Bytes> for Payload {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut payload = Self::new();
        for piece in pieces {
            payload.push(piece);
        }
        payload
    }
}

/// Its size only: the bytes are a user's and may be many.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.bytes)
    }
}

/// The same bytes, however cut.
impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .pieces()
                .iter()
                .flat_map(|piece| piece.iter())
                .eq(other.pieces().iter().flat_map(|piece| piece.iter()))
    }
}

impl Eq for Payload {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_make_the_same_bytes(
            pieces in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..20), 0..6),
            cut in 0_usize..130,
        ) {
            let all: Vec<u8> = pieces.concat();
            let mut payload: Payload = pieces.into_iter().map(Bytes::from).collect();
            prop_assert_eq!(payload.len(), all.len());
            prop_assert!(payload.pieces().iter().all(|piece| !piece.is_empty()));
            prop_assert_eq!(&payload.to_bytes()[..], &all[..]);
            let front = payload.split_to(cut);
            let cut = cut.min(all.len());
            prop_assert_eq!(&front.to_bytes()[..], &all[..cut]);
            prop_assert_eq!(&payload.to_bytes()[..], &all[cut..]);
            prop_assert_eq!(payload.into_pieces().concat(), &all[cut..]);
        }
    }
}
