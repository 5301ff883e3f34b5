//! How a load travels in a pong: five fixed integers, little-endian.

use bytes::Buf;

use crate::observed::Load;

const BYTES: usize = 32;

pub(crate) fn to_wire(load: Load) -> [u8; BYTES] {
    let mut wire = [0; BYTES];
    wire[0..8].copy_from_slice(&load.free_bytes.to_le_bytes());
    wire[8..16].copy_from_slice(&load.total_bytes.to_le_bytes());
    wire[16..20].copy_from_slice(&load.queue.to_le_bytes());
    wire[20..28].copy_from_slice(&load.memory_bytes.to_le_bytes());
    wire[28..32].copy_from_slice(&load.client_calls.to_le_bytes());
    wire
}

/// `None` when the bytes are no load: clients tell none.
pub(crate) fn from_wire(mut wire: &[u8]) -> Option<Load> {
    (wire.len() == BYTES).then(|| Load {
        free_bytes: wire.get_u64_le(),
        total_bytes: wire.get_u64_le(),
        queue: wire.get_u32_le(),
        memory_bytes: wire.get_u64_le(),
        client_calls: wire.get_u32_le(),
    })
}
