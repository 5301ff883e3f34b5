//! Memory for bulk payloads, used again and again: fresh memory costs a page fault per 4 KiB,
//! which is as much time as the system takes to copy the bytes there.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::limits::{BUFFERS_KEPT, CHUNK_BYTES};

/// Buffers of one chunk each that nobody uses now. The mutex guards a short list between the tasks
/// that read and whoever drops a payload.
#[derive(Debug, Default)]
pub struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// A buffer of at least `bytes` bytes, of any content.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Buffer {
        let kept = if bytes <= CHUNK_BYTES {
            self.free().pop()
        } else {
            None
        };
        let bytes = kept.unwrap_or_else(|| vec![0; bytes.max(CHUNK_BYTES)]);
        Buffer {
            bytes,
            home: Arc::clone(self),
        }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One buffer; dropped, its memory is used again.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    home: Arc<Buffers>,
}

impl Buffer {
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The first `bytes` bytes, to be shared.
    pub(crate) fn freeze(self, bytes: usize) -> Bytes {
        Bytes::from_owner(Filled {
            buffer: self,
            bytes,
        })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut free = self.home.free();
        if bytes.len() == CHUNK_BYTES && free.len() < BUFFERS_KEPT {
            free.push(bytes);
        }
    }
}

struct Filled {
    buffer: Buffer,
    bytes: usize,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer.bytes[..self.bytes]
    }
}
