//! The net layer's packets: bytes of a stream, however cut. Of the input the first byte says how
//! (bit 0: cut; bit 1: the first packet's checksums are put right), the next two where it is cut.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sdfs_fuzz::Parts;
use sdfs_net_layer::limits::HEADER_BYTES;
use sdfs_net_layer::{Packet, PacketCodec, PacketFault, PacketLimits};
use tokio_util::codec::Encoder;

const LIMITS: PacketLimits = PacketLimits {
    head_bytes_max: 4096,
    payload_bytes_max: 65_536,
};

fuzz_target!(|input: &[u8]| {
    let mut input = Parts(input);
    let (how, cut) = (input.byte(), usize::from(input.short()));
    let mut stream = input.0.to_vec();
    if how & 2 != 0 {
        seal(&mut stream);
    }
    let whole = read(&[&stream]);
    if how & 1 != 0 {
        let (begin, end) = stream.split_at(cut.min(stream.len()));
        assert_eq!(read(&[begin, end]), whole, "cuts make no difference");
    }
    for packet in whole.0 {
        let mut wire = BytesMut::new();
        let mut codec = PacketCodec::new(LIMITS);
        codec
            .encode(packet.clone(), &mut wire)
            .expect("a packet within the limits");
        assert_eq!(codec.take(&mut wire), Ok(Some(packet)));
        assert!(wire.is_empty());
    }
});

/// The packets of a stream that comes in pieces, and what ends it.
fn read(pieces: &[&[u8]]) -> (Vec<Packet>, Option<PacketFault>) {
    let codec = PacketCodec::new(LIMITS);
    let (mut source, mut packets) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        source.extend_from_slice(piece);
        loop {
            match codec.take(&mut source) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(fault) => return (packets, Some(fault)),
            }
        }
        assert!(source.capacity() <= 2 * (stream_bytes_max() + pieces.len() * piece.len()));
    }
    (packets, None)
}

/// No length is believed before it is checked.
fn stream_bytes_max() -> usize {
    HEADER_BYTES + (LIMITS.head_bytes_max + LIMITS.payload_bytes_max) as usize
}

/// Makes the checksums of the first packet right.
fn seal(stream: &mut [u8]) {
    let Some((header, rest)) = stream.split_at_mut_checked(HEADER_BYTES) else {
        return;
    };
    let head_bytes = u32::from_le_bytes([header[16], header[17], header[18], header[19]]);
    if let Some(head) = rest.get(..head_bytes as usize) {
        header[24..28].copy_from_slice(&sdfs_log::crc32c(head).to_le_bytes());
    }
    let crc = sdfs_log::crc32c(&header[..28]);
    header[28..].copy_from_slice(&crc.to_le_bytes());
}
