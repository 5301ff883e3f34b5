//! The codec: its bytes, its limits, and what it makes of damaged ones.

#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use sdfs_net_layer::limits::{HEAD_BYTES_MAX, HEADER_BYTES, PAYLOAD_BYTES_MAX};
use sdfs_net_layer::{Flags, Packet, PacketCodec, PacketFault, PacketKind, PacketLimits};
use tokio_util::codec::{Decoder, Encoder};

fn wire(packet: &Packet) -> BytesMut {
    let mut wire = BytesMut::new();
    PacketCodec::default()
        .encode(packet.clone(), &mut wire)
        .unwrap();
    wire
}

fn kinds() -> impl Iterator<Item = PacketKind> {
    (1..=10).map(|byte| PacketKind::from_wire(byte).unwrap())
}

#[test]
fn golden_bytes_of_a_request() {
    let packet = Packet {
        kind: PacketKind::Request,
        flags: Flags::MORE,
        request_id: 0x0102_0304_0506_0708,
        head: Bytes::from_static(b"head"),
        payload: Bytes::from_static(b"pay"),
    };
    let golden = [
        b's', b'd', b'f', b's', // magic
        1, 6, 1, 0, // framing version, kind, flags
        8, 7, 6, 5, 4, 3, 2, 1, // request id
        4, 0, 0, 0, 3, 0, 0, 0, // head and payload length
        0xe8, 0x97, 0x7c, 0xea, // crc32c of the head
        0xf8, 0xfa, 0x2a, 0xa0, // crc32c of the header
        b'h', b'e', b'a', b'd', b'p', b'a', b'y',
    ];
    assert_eq!(wire(&packet)[..], golden[..]);
}

#[test]
fn golden_bytes_of_every_kind() {
    for (kind, byte) in kinds().zip(1..) {
        let wire = wire(&Packet::control(kind, 7, Bytes::new()));
        assert_eq!(wire[..4], *b"sdfs");
        assert_eq!(
            wire[4..24],
            [
                1, byte, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
            ]
        );
        assert_eq!(wire.len(), HEADER_BYTES);
    }
    assert_eq!(PacketKind::from_wire(0), None);
    assert_eq!(PacketKind::from_wire(11), None);
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let bytes = |max| proptest::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from);
    (
        1_u8..=10,
        any::<u16>(),
        any::<u64>(),
        bytes(300),
        bytes(20_000),
    )
        .prop_map(|(kind, flags, request_id, head, payload)| Packet {
            kind: PacketKind::from_wire(kind).unwrap(),
            flags: Flags(flags),
            request_id,
            head,
            payload,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packets_survive_any_cuts(
        packets in proptest::collection::vec(any_packet(), 1..6),
        cuts in proptest::collection::vec(1_usize..9_000, 1..9),
    ) {
        let stream: Vec<u8> = packets.iter().flat_map(wire).collect();
        let mut codec = PacketCodec::default();
        let (mut source, mut got, mut rest) = (BytesMut::new(), Vec::new(), &stream[..]);
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            source.extend_from_slice(now);
            while let Some(packet) = codec.decode(&mut source).unwrap() {
                got.push(packet);
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(got, packets);
        prop_assert!(codec.decode_eof(&mut source).unwrap().is_none());
    }
}

#[test]
fn million_mutated_frames_do_no_harm() {
    let seed = Packet {
        kind: PacketKind::Request,
        flags: Flags::NONE,
        request_id: 99,
        head: Bytes::from_static(b"a head of some bytes"),
        payload: Bytes::from_static(b"and a payload"),
    };
    let good = wire(&seed);
    let codec = PacketCodec::new(PacketLimits {
        head_bytes_max: 4096,
        payload_bytes_max: 4096,
    });
    let mut random = 0x9e37_79b9_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    let (mut refused, mut waiting, mut taken) = (0_u32, 0_u32, 0_u32);
    let mut source = BytesMut::with_capacity(4 * 4096);
    for _ in 0..1_000_000 {
        source.clear();
        source.extend_from_slice(&good);
        for _ in 0..=next() % 3 {
            let at = next() % source.len();
            source[at] = next() as u8;
        }
        source.truncate(source.len() - (next() % 8).saturating_sub(5) * 11);
        match codec.take(&mut source) {
            Ok(Some(packet)) => {
                assert!(packet.head.len() <= 4096 && packet.payload.len() <= 4096);
                taken += 1;
            }
            Ok(None) => waiting += 1,
            Err(_) => refused += 1,
        }
        assert!(
            source.capacity() <= 4 * 4096,
            "no length is believed before it is checked"
        );
    }
    // Damage to the payload alone is not this codec's to find; blocks carry their own checksums.
    assert!(
        refused > 500_000 && waiting > 0 && taken > 0,
        "{refused} {waiting} {taken}"
    );
}

/// A header whose own checksum is right, whatever it says.
fn sealed(change: impl FnOnce(&mut [u8])) -> BytesMut {
    let mut bytes = wire(&Packet::control(PacketKind::Ping, 1, Bytes::new()));
    change(&mut bytes);
    let crc = crc_fast::crc32_iscsi(&bytes[..28]).to_le_bytes();
    bytes[28..32].copy_from_slice(&crc);
    bytes
}

#[test]
fn every_fault_has_its_name() {
    let too_large = |at: usize, bytes: u32| {
        sealed(|header| header[at..at + 4].copy_from_slice(&bytes.to_le_bytes()))
    };
    let table = [
        (BytesMut::from(&[0; 4][..]), PacketFault::Magic),
        (
            BytesMut::from(&b"GET / HTTP/1.1\r\n"[..]),
            PacketFault::Magic,
        ),
        (sealed(|header| header[4] = 9), PacketFault::Version(9)),
        (sealed(|header| header[5] = 0), PacketFault::Kind(0)),
        (sealed(|header| header[5] = 77), PacketFault::Kind(77)),
        (sealed(|header| header[24] ^= 1), PacketFault::HeadChecksum),
        (
            too_large(16, HEAD_BYTES_MAX + 1),
            PacketFault::HeadTooLarge(HEAD_BYTES_MAX + 1),
        ),
        (too_large(16, u32::MAX), PacketFault::HeadTooLarge(u32::MAX)),
        (
            too_large(20, PAYLOAD_BYTES_MAX + 1),
            PacketFault::PayloadTooLarge(PAYLOAD_BYTES_MAX + 1),
        ),
        (
            too_large(20, u32::MAX),
            PacketFault::PayloadTooLarge(u32::MAX),
        ),
    ];
    for (mut bytes, fault) in table {
        assert_eq!(PacketCodec::default().take(&mut bytes), Err(fault));
        assert!(bytes.capacity() < 4096);
    }
    let mut damaged = wire(&Packet::control(PacketKind::Ping, 1, Bytes::new()));
    damaged[9] ^= 0x10;
    assert_eq!(
        PacketCodec::default().take(&mut damaged),
        Err(PacketFault::HeaderChecksum)
    );
}

#[test]
fn cut_stream_ends_truncated() {
    let whole = wire(&Packet::control(
        PacketKind::Ping,
        1,
        Bytes::from_static(b"head"),
    ));
    for bytes in 1..whole.len() {
        let mut cut = BytesMut::from(&whole[..bytes]);
        let error = PacketCodec::default().decode_eof(&mut cut).unwrap_err();
        assert_eq!(error.to_string(), PacketFault::Truncated.to_string());
    }
}

#[test]
fn packet_above_limits_is_not_encoded() {
    let head = Bytes::from(vec![0; HEAD_BYTES_MAX as usize + 1]);
    let packet = Packet::control(PacketKind::Request, 1, head);
    assert!(
        PacketCodec::default()
            .encode(packet, &mut BytesMut::new())
            .is_err()
    );
}
