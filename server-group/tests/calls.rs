//! Calls between servers and from clients.

#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod kit;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kit::*;
use sdfs_net_layer::TcpTransport;
use sdfs_server_group::{
    CallError, ClientCredentials, Deadline, Payload, ServerId, connect_client,
};

#[test]
fn servers_answer_each_other() {
    run(async {
        let plan = Plan::new(1, 1);
        let servers = plan.start_all().await;
        let head = Bytes::from_static(b"head");
        let payload = Payload::from(vec![9; 5000]);
        for (from, to) in [(0, 2), (1, 1), (0, 1), (1, 2)] {
            let answer = servers[from]
                .mesh
                .call(ServerId(to), ECHO, head.clone(), payload.clone(), soon())
                .await
                .unwrap();
            assert_eq!(answer.head, head);
            assert_eq!(answer.payload, payload);
        }
    });
}

#[test]
fn largest_payload_travels_both_ways() {
    run(async {
        let plan = Plan::new(1, 1);
        let servers = plan.start_all().await;
        let bytes: Vec<u8> = (0..sdfs_server_group::limits::PAYLOAD_BYTES_MAX)
            .map(|at| (at * 31 % 251) as u8)
            .collect();
        let payload = Payload::from(bytes);
        let mesh = &servers[0].mesh;
        let answer = mesh
            .call(ServerId(2), ECHO, Bytes::new(), payload.clone(), soon())
            .await
            .unwrap();
        assert!(answer.payload == payload);
        let larger: Payload = [payload.to_bytes(), Bytes::from_static(b"x")]
            .into_iter()
            .collect();
        let refused = mesh
            .call(ServerId(2), ECHO, Bytes::new(), larger, soon())
            .await;
        assert_eq!(refused, Err(CallError::TooLarge));
        let head = u32::try_from(payload.len() + 1)
            .unwrap()
            .to_le_bytes()
            .to_vec();
        let refused = mesh
            .call(ServerId(2), BYTES, head.into(), Payload::new(), soon())
            .await;
        assert_eq!(refused, Err(CallError::TooLarge));
    });
}

#[test]
fn client_gets_ticket_for_all_servers() {
    run(async {
        let plan = Plan::new(1, 1);
        let _servers = plan.start_all().await;
        let first = connect_client(&TcpTransport, plan.address(1), &ann(), soon())
            .await
            .unwrap();
        assert_eq!(first.server, ServerId(1));
        assert_eq!(&*first.cluster, "test");
        let ticket = ClientCredentials::Ticket(first.ticket.unwrap());
        for id in [1, 2] {
            let client = connect_client(&TcpTransport, plan.address(id), &ticket, soon())
                .await
                .unwrap();
            let who = client
                .link
                .call(WHO, Bytes::new(), Payload::new(), soon())
                .await
                .unwrap();
            assert_eq!(who.head, "Client None Some(UserName(\"ann\"))");
        }
    });
}

#[test]
fn client_works_in_any_runtime() {
    let plan = Arc::new(Plan::new(1, 0));
    let (ready, started) = std::sync::mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = Arc::clone(&plan);
    let server = std::thread::spawn(move || {
        run(async move {
            let _server = serving.start(1).await;
            ready.send(()).unwrap();
            stopped.await.unwrap();
        });
    });
    started.recv().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = connect_client(&TcpTransport, plan.address(1), &ann(), soon())
            .await
            .unwrap();
        let calls = (0..64_u32).map(|number| {
            let link = client.link.clone();
            tokio::spawn(async move {
                for _ in 0..100 {
                    let head = Bytes::copy_from_slice(&number.to_le_bytes());
                    let answer = link.call(ECHO, head.clone(), Payload::new(), soon()).await;
                    assert_eq!(answer.unwrap().head, head);
                }
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
    });
    stop.send(()).unwrap();
    server.join().unwrap();
}

#[test]
fn deadline_ends_a_call() {
    run(async {
        let plan = Plan::new(1, 1);
        let servers = plan.start_all().await;
        for to in [1, 2] {
            let began = tokio::time::Instant::now();
            let deadline = Deadline::after_ms(50);
            let answer = servers[0]
                .mesh
                .call(ServerId(to), KEEP, Bytes::new(), Payload::new(), deadline)
                .await;
            assert_eq!(answer, Err(CallError::Deadline));
            assert!(began.elapsed() >= Duration::from_millis(50));
            assert!(began.elapsed() < PATIENCE / 2);
        }
        let mesh = &servers[0].mesh;
        let over = Deadline::after_ms(0);
        let answer = mesh
            .call(ServerId(2), KEEP, Bytes::new(), Payload::new(), over)
            .await;
        assert_eq!(answer, Err(CallError::Deadline));
    });
}
