//! The double of a dserver.

use bytes::Bytes;
use sdfs_server_group::{IncomingCall, Payload, ServerId};
use sdfs_types::calls::CallKind;
use sdfs_types::calls::blocks::{BlockRange, BlockStored, ReadBlock, WriteBlock};
use sdfs_types::limits::PIECE_BYTES;
use sdfs_types::{Refusal, wire};

use super::model::Model;

pub fn answer(
    model: &mut Model,
    me: ServerId,
    kind: CallKind,
    call: &IncomingCall,
) -> (Bytes, Payload) {
    match kind {
        CallKind::WriteBlock => {
            let write: WriteBlock = wire::decode(&call.head).unwrap();
            let outcome = store(model, &write, call.payload.to_bytes());
            (wire::encode_answer(&outcome), Payload::new())
        }
        CallKind::ReadBlock => {
            let read: ReadBlock = wire::decode(&call.head).unwrap();
            match load(model, me, &read) {
                Ok((range, bytes)) => (wire::encode_answer(&Ok(range)), bytes.into()),
                Err(refusal) => (
                    wire::encode_answer::<BlockRange>(&Err(refusal)),
                    Payload::new(),
                ),
            }
        }
        CallKind::GetStatus => (super::mserver::status(model, me), Payload::new()),
        _ => (
            wire::encode_answer::<()>(&Err(Refusal::NotServed)),
            Payload::new(),
        ),
    }
}

fn store(model: &mut Model, write: &WriteBlock, data: Bytes) -> Result<BlockStored, Refusal> {
    let Some(volume) = model.map.volumes.get(&write.volume).cloned() else {
        return Err(Refusal::NoSuchVolume {
            volume: write.volume,
        });
    };
    if !model.allows(write.grant.as_ref(), write.block.file, true) {
        return Err(Refusal::NotGranted);
    }
    if volume.epoch != write.epoch {
        return Err(Refusal::StaleEpoch {
            current: Box::new(volume),
        });
    }
    if crc_fast::crc32_iscsi(&data) != write.crc32c {
        return Err(Refusal::Corrupt);
    }
    let members: Vec<_> = volume.acknowledging().collect();
    for member in &members {
        let kept = model
            .blocks
            .entry((*member, write.volume, write.block))
            .or_insert_with(|| data.clone());
        if *kept != data {
            return Err(Refusal::BlockExists);
        }
    }
    Ok(BlockStored {
        copies: u8::try_from(members.len()).unwrap(),
    })
}

fn load(model: &mut Model, me: ServerId, read: &ReadBlock) -> Result<(BlockRange, Bytes), Refusal> {
    if !model.allows(read.grant.as_ref(), read.block.file, false) {
        return Err(Refusal::NotGranted);
    }
    let kept = model
        .blocks
        .get(&(me, read.volume, read.block))
        .ok_or(Refusal::NoSuchBlock)?;
    let piece = PIECE_BYTES as usize;
    let begin = (read.offset_bytes as usize).min(kept.len()) / piece * piece;
    let end = read.offset_bytes as usize + read.length_bytes as usize;
    let end = end.next_multiple_of(piece).min(kept.len());
    let bytes = kept.slice(begin..end);
    let is_whole = bytes.len() == kept.len();
    let range = BlockRange {
        offset_bytes: u32::try_from(begin).unwrap(),
        block_bytes: u32::try_from(kept.len()).unwrap(),
        crc32c: crc_fast::crc32_iscsi(kept),
        piece_crc32c: if is_whole {
            Vec::new()
        } else {
            bytes.chunks(piece).map(crc_fast::crc32_iscsi).collect()
        },
    };
    Ok((range, bytes))
}
