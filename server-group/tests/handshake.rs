//! Who gets in, and what the others are told.

#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod kit;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use kit::stranger::{Credential, Hello, Stranger, TicketBody, dialer_proof, key_of, mac};
use kit::*;
use sdfs_net_layer::{Flags, Packet, PacketKind, TcpTransport};
use sdfs_server_group::{
    ClientCredentials, ClusterSecret, ConnectError, Payload, RefusalReason, Role, ServerId,
    UserKey, UserKeys, UserName, clock, connect_client, limits,
};

async fn shake(plan: &Plan, hello: Hello, key: [u8; 32]) -> Result<Packet, RefusalReason> {
    Stranger::connect(plan.address(1))
        .await
        .shake(&hello, &key)
        .await
}

#[test]
fn wrong_secret_is_refused() {
    run(async {
        let plan = Plan::new(1, 1);
        let right = plan.start(1).await;
        let config = plan.with_secret("another secret altogether");
        let wrong = Server::start(config, 2, Arc::new(TcpTransport)).await;
        until("both have refused", || {
            right.count("refused_wrong_proof") + wrong.count("refused_wrong_proof") >= 2
        })
        .await;
        assert!(!right.mesh.is_up(ServerId(2)) && !wrong.mesh.is_up(ServerId(1)));
        assert_eq!(right.mesh.epoch(ServerId(2)), 0);
    });
}

#[test]
fn replayed_handshake_is_refused() {
    run(async {
        let plan = Plan::new(1, 1);
        let server = plan.start(1).await;
        let hello = Hello::of_server(2, 1, 1);
        let mut first = Stranger::connect(plan.address(1)).await;
        first.send(PacketKind::Hello, hello.wire()).await;
        let theirs = first.expect(PacketKind::Hello).await.unwrap();
        let proof = dialer_proof(&key_of(SECRET), &hello.wire(), &theirs.head);
        first.send(PacketKind::Proof, proof.clone()).await;
        first.expect(PacketKind::Proof).await.unwrap();
        drop(first);
        until("the first is gone", || !server.mesh.is_up(ServerId(2))).await;
        let mut replay = Stranger::connect(plan.address(1)).await;
        replay.send(PacketKind::Hello, hello.wire()).await;
        let fresh = replay.expect(PacketKind::Hello).await.unwrap();
        assert_ne!(fresh.head, theirs.head);
        replay.send(PacketKind::Proof, proof).await;
        let refused = replay.expect(PacketKind::Proof).await;
        assert_eq!(refused, Err(RefusalReason::WrongProof));
    });
}

#[test]
fn every_false_claim_has_its_reason() {
    run(async {
        let plan = Plan::new(1, 1);
        let _server = plan.start(1).await;
        let good = || Hello::of_server(2, 1, 1);
        let table = [
            (
                Hello {
                    cluster: "other".into(),
                    ..good()
                },
                RefusalReason::OtherCluster("test".into()),
            ),
            (
                Hello { to: 2, ..good() },
                RefusalReason::WrongServer(ServerId(2)),
            ),
            (Hello { id: 1, ..good() }, RefusalReason::DuplicateServer),
            (Hello { id: 3, ..good() }, RefusalReason::UnknownServer),
            (
                Hello {
                    role: Role::Mserver,
                    ..good()
                },
                RefusalReason::UnknownServer,
            ),
            (
                Hello {
                    name: "s9".into(),
                    ..good()
                },
                RefusalReason::UnknownServer,
            ),
            (
                Hello {
                    role: Role::Client,
                    ..good()
                },
                RefusalReason::WrongProof,
            ),
            (
                Hello {
                    credential: Credential::User(USER.into()),
                    ..good()
                },
                RefusalReason::WrongProof,
            ),
            (
                Hello::of_client(Credential::User(USER.into())),
                RefusalReason::WrongProof,
            ),
            (
                Hello::of_client(Credential::User("nobody".into())),
                RefusalReason::WrongProof,
            ),
            (
                Hello::of_client(Credential::Ticket(vec![1, 2])),
                RefusalReason::Malformed,
            ),
        ];
        for (hello, reason) in table {
            assert_eq!(shake(&plan, hello, key_of(SECRET)).await, Err(reason));
        }
        assert!(shake(&plan, good(), key_of(SECRET)).await.is_ok());
    });
}

#[test]
fn guests_prove_the_clusters_secret() {
    run(async {
        let plan = Plan::new(1, 1);
        let server = plan.start(1).await;
        let guest = |words: &str| ClientCredentials::Cluster {
            name: "newcomer".into(),
            secret: ClusterSecret::of_secret(words),
        };
        let address = plan.address(1);
        let refused =
            connect_client(&TcpTransport, address, &guest("something else"), soon()).await;
        let reason = RefusalReason::WrongProof;
        assert!(
            matches!(&refused, Err(ConnectError::Refused { reason: told, .. }) if *told == reason),
            "{refused:?}"
        );
        let made = connect_client(&TcpTransport, address, &guest(SECRET), soon())
            .await
            .expect("a guest");
        assert_eq!((made.server, &*made.cluster), (ServerId(1), "test"));
        assert!(made.ticket.is_none());
        // It is nobody's peer: the server it will be is still waited for.
        assert!(!server.mesh.is_up(ServerId(2)));
    });
}

#[test]
fn second_server_of_a_number_is_refused() {
    run(async {
        let plan = Plan::new(1, 1);
        let servers = plan.start_all().await;
        let hello = Hello::of_server(2, 1, 1);
        let refused = shake(&plan, hello, key_of(SECRET)).await;
        assert_eq!(refused, Err(RefusalReason::DuplicateServer));
        let mesh = &servers[0].mesh;
        mesh.call(ServerId(2), ECHO, Bytes::new(), Payload::new(), soon())
            .await
            .unwrap();
        assert_eq!(mesh.epoch(ServerId(2)), 1);
    });
}

#[test]
fn silent_stranger_is_closed_in_time() {
    run(async {
        let plan = Plan::with(1, 0, "handshake_ms_max: 300");
        let server = plan.start(1).await;
        let mut silent = Stranger::connect(plan.address(1)).await;
        let refused = silent.expect(PacketKind::Hello).await;
        assert_eq!(refused, Err(RefusalReason::TooSlow));
        assert!(silent.is_closed().await);
        assert_eq!(server.count("refused_too_slow"), 1);
    });
}

#[test]
fn other_version_is_told_ours() {
    run(async {
        let plan = Plan::new(1, 1);
        let _server = plan.start(1).await;
        let mut hello = Hello::of_server(2, 1, 1).wire().to_vec();
        hello[0] = 9;
        let mut stranger = Stranger::connect(plan.address(1)).await;
        stranger.send(PacketKind::Hello, hello.into()).await;
        let refused = stranger.expect(PacketKind::Hello).await;
        assert_eq!(
            refused,
            Err(RefusalReason::OtherVersion(limits::PROTOCOL_VERSION))
        );
    });
}

#[test]
fn nothing_is_served_before_the_proof() {
    run(async {
        let plan = Plan::new(1, 0);
        let server = plan.start(1).await;
        let mut prefix = vec![ECHO as u8, 0, 255, 255, 0, 0, 0, 0, 0, 0];
        prefix.extend([0; 16]);
        prefix.extend(b"head");
        for kind in [
            PacketKind::Request,
            PacketKind::Ping,
            PacketKind::Chunk,
            PacketKind::Proof,
        ] {
            let mut stranger = Stranger::connect(plan.address(1)).await;
            stranger.send(kind, prefix.clone().into()).await;
            let refused = stranger.expect(PacketKind::Hello).await;
            assert_eq!(refused, Err(RefusalReason::Malformed));
            assert!(stranger.is_closed().await);
        }
        let mut stranger = Stranger::connect(plan.address(1)).await;
        stranger
            .send(PacketKind::Hello, Bytes::from(vec![1; 5_000]))
            .await;
        assert!(stranger.is_closed().await);
        assert_eq!(server.count("closed_head_too_large"), 1);
        let mut stranger = Stranger::connect(plan.address(1)).await;
        let payload = Bytes::from_static(b"x");
        let hello = Packet::control(PacketKind::Hello, 0, Bytes::new());
        stranger
            .send_packet(Packet {
                payload,
                flags: Flags::NONE,
                ..hello
            })
            .await;
        assert!(stranger.is_closed().await);
        assert_eq!(server.count("closed_payload_too_large"), 1);
        assert_eq!(
            server
                .echo
                .served
                .load(std::sync::atomic::Ordering::Relaxed),
            0
        );
    });
}

#[test]
fn wrong_user_secret_is_refused_as_unknown_user_is() {
    run(async {
        let plan = Plan::new(1, 0);
        let _server = plan.start(1).await;
        for (name, secret) in [(USER, "a wrong secret"), ("nobody", USER_SECRET)] {
            let credentials = ClientCredentials::User {
                name: UserName::from(name),
                key: UserKey::of_secret(secret),
            };
            let refused =
                connect_client(&TcpTransport, plan.address(1), &credentials, soon()).await;
            assert!(matches!(
                refused,
                Err(ConnectError::Refused {
                    reason: RefusalReason::WrongProof,
                    ..
                })
            ));
        }
    });
}

#[test]
fn server_that_is_behind_calls_no_secret_wrong() {
    run(async {
        let plan = Plan::new(1, 0);
        let users = Arc::new(LateAnn::default());
        let _group = start_with_users(&plan, 1, Arc::clone(&users) as Arc<dyn UserKeys>).await;
        let address = plan.address(1);
        let login = |who| async move {
            match connect_client(&TcpTransport, address, &who, soon()).await {
                Ok(_) => None,
                Err(ConnectError::Refused { reason, .. }) => Some(reason),
                Err(other) => unreachable!("{other}"),
            }
        };
        users.is_apart.store(true, Ordering::SeqCst);
        assert_eq!(login(ann()).await, Some(RefusalReason::NotReady));
        users.is_apart.store(false, Ordering::SeqCst);
        assert_eq!(login(ann()).await, None, "it asks for the news first");
        let wrong = ClientCredentials::User {
            name: UserName::from(USER),
            key: UserKey::of_secret("a wrong secret"),
        };
        assert_eq!(login(wrong).await, Some(RefusalReason::WrongProof));
    });
}

#[test]
fn only_true_tickets_open() {
    run(async {
        let plan = Plan::new(1, 0);
        let _server = plan.start(1).await;
        let body = |expires_ms| {
            let body = TicketBody {
                user: USER.into(),
                expires_ms,
                salt: [1; 32],
            };
            postcard::to_stdvec(&body).unwrap()
        };
        let key = |body: &[u8]| mac(&key_of(SECRET), &[b"sdfs ticket", body]);
        let good = body(clock::now_ms() + 60_000);
        let over = body(clock::now_ms() - 1);
        let ticket = |body: &Vec<u8>| Hello::of_client(Credential::Ticket(body.clone()));
        assert!(shake(&plan, ticket(&good), key(&good)).await.is_ok());
        let forged = shake(&plan, ticket(&good), key_of("guessed")).await;
        assert_eq!(forged, Err(RefusalReason::WrongProof));
        let expired = shake(&plan, ticket(&over), key(&over)).await;
        assert_eq!(expired, Err(RefusalReason::TicketExpired));
        let lengthened = shake(&plan, ticket(&good), key(&over)).await;
        assert_eq!(lengthened, Err(RefusalReason::WrongProof));
    });
}

#[test]
fn impostor_cannot_pose_as_server() {
    run(async {
        // Listens where the server should, and knows no key.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut impostor = Stranger::of(stream);
            impostor.expect(PacketKind::Hello).await.unwrap();
            let hello = Hello::of_server(1, 1, 0).wire();
            impostor.send(PacketKind::Hello, hello).await;
            let proof = impostor.expect(PacketKind::Proof).await.unwrap();
            // Sends the client's own proof back.
            impostor.send(PacketKind::Proof, proof.head).await;
            impostor.is_closed().await;
        });
        let refused = connect_client(&TcpTransport, address, &ann(), soon()).await;
        assert!(matches!(
            refused,
            Err(ConnectError::NotAccepted {
                reason: RefusalReason::WrongProof,
                ..
            })
        ));
    });
}
