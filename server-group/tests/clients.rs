//! Several clients at one server: what becomes of one is nothing to the others.

#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod kit;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use kit::*;
use sdfs_net_layer::TcpTransport;
use sdfs_server_group::{CallError, Link, Payload, ReplyBody, connect_client};

/// A client behind a proxy of its own.
struct Joined {
    number: u32,
    link: Link,
    control: Arc<proxy::Control>,
}

async fn join(plan: &Plan, number: u32) -> Joined {
    let at = free_addresses(1)[0];
    let control = proxy::start(at, plan.address(1)).await;
    let made = connect_client(&TcpTransport, at, &ann(), soon()).await;
    Joined {
        number,
        link: made.unwrap().link,
        control,
    }
}

impl Joined {
    fn head(&self, call: u32) -> Bytes {
        format!("call {call} of client {}", self.number).into()
    }

    fn kept(&self) -> tokio::task::JoinHandle<Result<ReplyBody, CallError>> {
        let (link, head) = (self.link.clone(), self.head(0));
        tokio::spawn(async move { link.call(KEEP, head, Payload::new(), soon()).await })
    }

    /// Each of many calls at once gets its own answer.
    async fn asks(&self) {
        let calls = (1..50).map(|call| async move {
            let head = self.head(call);
            let payload = Payload::from(head.to_vec());
            let answer = self.link.call(ECHO, head.clone(), payload.clone(), soon());
            let answer = answer.await.unwrap();
            assert_eq!((answer.head, answer.payload), (head, payload));
        });
        join_all(calls).await;
    }
}

#[test]
fn a_cut_connection_is_nobody_elses() {
    run(async {
        let plan = Plan::new(1, 0);
        let server = plan.start(1).await;
        let stays = join(&plan, 0).await;
        for round in 0..10 {
            let cut = join(&plan, 2 * round + 1).await;
            let (staying, cutting) = (stays.kept(), cut.kept());
            let kept = || server.echo.kept.lock().unwrap();
            until("both calls came", || kept().len() == 2).await;
            cut.control.cut();
            let lost = Err(CallError::Lost { maybe_done: true });
            assert_eq!(cutting.await.unwrap(), lost);
            until("the server knows", || server.mesh.snapshot().clients == 1).await;
            // It may get what the server kept for the one that is gone.
            let comes = join(&plan, 2 * round + 2).await;
            let coming = comes.kept();
            until("its call came", || kept().len() == 3).await;
            let calls = std::mem::take(&mut *kept());
            let answering = async {
                for call in calls.into_iter().rev() {
                    call.reply.send(call.head, call.payload);
                }
            };
            tokio::join!(answering, stays.asks(), comes.asks());
            assert_eq!(staying.await.unwrap().unwrap().head, stays.head(0));
            assert_eq!(coming.await.unwrap().unwrap().head, comes.head(0));
            drop(comes);
            until("it has left", || server.mesh.snapshot().clients == 1).await;
        }
    });
}
