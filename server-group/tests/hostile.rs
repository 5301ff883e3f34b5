//! Killer packets at a live server, before and after authentication; then a normal call.

#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod kit;

use bytes::Bytes;
use kit::stranger::{Credential, Hello, Stranger, key_of};
use kit::*;
use sdfs_net_layer::{Flags, Packet, PacketKind, TcpTransport};
use sdfs_server_group::{CallError, Payload, connect_client};
use tokio::io::AsyncWriteExt;

/// Bytes that are no packet, each with the reason they are counted by.
fn killers() -> Vec<(Vec<u8>, &'static str)> {
    let sealed = |change: &dyn Fn(&mut [u8])| {
        let mut header = vec![0; 32];
        header[..6].copy_from_slice(b"sdfs\x01\x06");
        change(&mut header);
        let crc = crc_of(&header[..28]);
        header[28..].copy_from_slice(&crc);
        header
    };
    vec![
        (vec![0; 4], "bad_magic"),
        (vec![0xff; 4_000], "bad_magic"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "bad_magic"),
        (sealed(&|header| header[5] = 99), "bad_kind"),
        (sealed(&|header| header[4] = 7), "bad_version"),
        (
            sealed(&|header| header[16..20].fill(0xff)),
            "head_too_large",
        ),
        (
            sealed(&|header| header[20..24].fill(0xff)),
            "payload_too_large",
        ),
        (sealed(&|header| header[24] = 1), "bad_head_checksum"),
        (
            [&sealed(&|_| {})[..31], &[0]].concat(),
            "bad_header_checksum",
        ),
        (sealed(&|_| {})[..31].to_vec(), "truncated"),
    ]
}

fn crc_of(bytes: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
        }
    }
    (!crc).to_le_bytes()
}

async fn throw(stranger: &mut Stranger, bytes: &[u8]) {
    // The server may close before it has read all.
    let _closed: std::io::Result<()> = stranger.stream.write_all(bytes).await;
    let _closed: std::io::Result<()> = stranger.stream.shutdown().await;
    assert!(stranger.is_closed().await);
}

async fn normal_call(plan: &Plan) {
    let client = connect_client(&TcpTransport, plan.address(1), &ann(), soon())
        .await
        .unwrap();
    client
        .link
        .call(ECHO, Bytes::new(), Payload::new(), soon())
        .await
        .unwrap();
}

async fn authenticated(plan: &Plan) -> Stranger {
    let mut stranger = Stranger::connect(plan.address(1)).await;
    let hello = Hello::of_client(Credential::User(USER.into()));
    stranger.shake(&hello, &key_of(USER_SECRET)).await.unwrap();
    stranger
}

#[test]
fn killers_close_their_connection_only() {
    run(async {
        let plan = Plan::with(1, 0, "handshake_ms_max: 60000");
        let server = plan.start(1).await;
        let bystander = connect_client(&TcpTransport, plan.address(1), &ann(), soon())
            .await
            .unwrap();
        for (bytes, reason) in killers() {
            let counted = format!("closed_{reason}");
            let before = server.count(&counted);
            throw(&mut Stranger::connect(plan.address(1)).await, &bytes).await;
            until(reason, || server.count(&counted) == before + 1).await;
            throw(&mut authenticated(&plan).await, &bytes).await;
            until(reason, || server.count(&counted) == before + 2).await;
        }
        bystander
            .link
            .call(ECHO, Bytes::new(), Payload::new(), soon())
            .await
            .unwrap();
        normal_call(&plan).await;
    });
}

#[test]
fn packets_out_of_place_close_their_connection() {
    run(async {
        let plan = Plan::new(1, 0);
        let server = plan.start(1).await;
        let control =
            |kind, head: &'static [u8]| Packet::control(kind, 5, Bytes::from_static(head));
        let more = |packet| Packet {
            flags: Flags::MORE,
            ..packet
        };
        let announced = |bytes: u8| {
            let mut head = vec![ECHO as u8, 0, 255, 0, 0, 0, bytes, 0, 0, 0];
            head.extend([0; 16]);
            more(Packet::control(PacketKind::Request, 5, head.into()))
        };
        let chunk = |bytes: usize| Packet {
            payload: Bytes::from(vec![1; bytes]),
            ..control(PacketKind::Chunk, b"")
        };
        let table = [
            vec![control(PacketKind::Hello, b"")],
            vec![control(PacketKind::Proof, b"")],
            vec![control(PacketKind::Request, b"short")],
            vec![Packet {
                flags: Flags::REFUSED,
                ..control(PacketKind::Reply, b"")
            }],
            vec![more(control(PacketKind::Reply, b"x"))],
            vec![announced(10), chunk(11)],
            vec![announced(10), chunk(9)],
            vec![announced(10), more(chunk(10))],
        ];
        for (number, packets) in (1..).zip(table) {
            let mut stranger = authenticated(&plan).await;
            for packet in packets {
                stranger.send_packet(packet).await;
            }
            assert!(stranger.is_closed().await);
            until("it is counted", || {
                server.count("closed_unexpected") == number
            })
            .await;
        }
        normal_call(&plan).await;
    });
}

#[test]
fn answers_nobody_asked_for_are_counted() {
    run(async {
        let plan = Plan::new(1, 0);
        let server = plan.start(1).await;
        let mut stranger = authenticated(&plan).await;
        stranger
            .send(PacketKind::Reply, Bytes::from_static(b"answer"))
            .await;
        stranger.send(PacketKind::Cancel, Bytes::new()).await;
        stranger
            .send(PacketKind::Pong, Bytes::from_static(b"no load"))
            .await;
        let chunk = Packet::control(PacketKind::Chunk, 9, Bytes::new());
        stranger
            .send_packet(Packet {
                flags: Flags::OF_REPLY,
                ..chunk.clone()
            })
            .await;
        stranger.send_packet(chunk).await;
        until("the answer is counted", || {
            server.count("late_answers") == 1
        })
        .await;
        until("the chunks are counted", || {
            server.count("late_chunks") == 2
        })
        .await;
        stranger.send(PacketKind::Ping, Bytes::new()).await;
        while stranger.next().await.expect("the link stands").kind != PacketKind::Pong {}
    });
}

#[test]
fn announced_payload_above_limit_is_refused() {
    run(async {
        let plan = Plan::new(1, 0);
        let _server = plan.start(1).await;
        let mut stranger = authenticated(&plan).await;
        let mut head = vec![ECHO as u8, 0, 255, 255, 0, 0];
        head.extend(u32::MAX.to_le_bytes());
        head.extend([0; 16]);
        let request = Packet::control(PacketKind::Request, 3, head.into());
        stranger
            .send_packet(Packet {
                flags: Flags::MORE,
                ..request
            })
            .await;
        let answer = stranger.next().await.unwrap();
        assert_eq!((answer.kind, answer.request_id), (PacketKind::Reply, 3));
        assert_eq!(
            (answer.flags, &answer.head[..]),
            (Flags::REFUSED, &[4, 0, 0][..])
        );
    });
}

#[test]
fn ten_thousand_hostile_connections_do_no_harm() {
    run(async {
        let plan = Plan::new(1, 0);
        let server = plan.start(1).await;
        let killers = killers();
        for round in 0..100 {
            let throwing = (0..100).map(|number| {
                let bytes = killers[(round * 100 + number) % killers.len()].0.clone();
                let address = plan.address(1);
                tokio::spawn(async move {
                    throw(&mut Stranger::connect(address).await, &bytes).await;
                })
            });
            for thrown in throwing.collect::<Vec<_>>() {
                thrown.await.unwrap();
            }
        }
        until("all are closed", || {
            let counters = server.mesh.snapshot().counters;
            let closed: u64 = counters
                .iter()
                .filter(|(name, _)| name.starts_with("closed_"))
                .map(|(_, count)| count)
                .sum();
            counters["opened"] == 10_000 && closed == 10_000
        })
        .await;
        normal_call(&plan).await;
    });
}

#[test]
fn client_that_reads_nothing_grows_no_memory() {
    run(async {
        let plan = Plan::new(1, 0);
        let server = plan.start(1).await;
        let mut greedy = authenticated(&plan).await;
        let mut head = vec![BYTES as u8, 0, 255, 255, 0, 0, 0, 0, 0, 0];
        head.extend([0; 16]);
        head.extend((1_u32 << 20).to_le_bytes());
        // Asks for 400 MiB and reads not a byte.
        for id in 0..400 {
            greedy
                .send_packet(Packet::control(
                    PacketKind::Request,
                    id,
                    head.clone().into(),
                ))
                .await;
        }
        normal_call(&plan).await;
        let served = server
            .echo
            .served
            .load(std::sync::atomic::Ordering::Relaxed);
        // What fills the queue and the system's buffers.
        assert!(served < 40, "{served} answers were made");
        drop(greedy);
        normal_call(&plan).await;
    });
}

#[test]
fn each_role_sends_what_it_may() {
    run(async {
        let plan = Plan::new(1, 1);
        let servers = plan.start_all().await;
        let client = connect_client(&TcpTransport, plan.address(1), &ann(), soon())
            .await
            .unwrap();
        for kind in 0..20 {
            let refused = Err(CallError::NotAllowed(kind));
            let by_client = client
                .link
                .call(kind, Bytes::new(), Payload::new(), deadline(kind))
                .await;
            let id = servers[0].mesh.me();
            let by_server = servers[1]
                .mesh
                .call(id, kind, Bytes::new(), Payload::new(), deadline(kind))
                .await;
            let by_itself = servers[0]
                .mesh
                .call(id, kind, Bytes::new(), Payload::new(), deadline(kind))
                .await;
            let (for_clients, for_servers) = (matches!(kind, 1 | 3..=7), matches!(kind, 1..=7));
            assert_eq!(by_client == refused, !for_clients, "client, {kind}");
            assert_eq!(by_server == refused, !for_servers, "server, {kind}");
            assert_eq!(by_itself == refused, !for_servers, "itself, {kind}");
        }
        assert_eq!(servers[0].count("calls_not_allowed"), 14 + 13);
    });
}

fn deadline(kind: u16) -> sdfs_server_group::Deadline {
    if kind == KEEP {
        sdfs_server_group::Deadline::after_ms(30)
    } else {
        soon()
    }
}
