//! The actor that accepts connections and hands them on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::counters::Counters;
use crate::limits::{ACCEPT_PAUSE_MS, UNPROVEN_MAX};
use crate::transport::{Acceptor, Stream};

/// An accepted connection.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Accepted {
    /// The stream.
    pub stream: Stream,
    /// Who it is from.
    pub peer: SocketAddr,
    /// Its place among the connections that have not proven themselves: dropped when it has, or
    /// has failed to.
    pub place: UnprovenPlace,
}

/// A place among the connections that have not proven themselves yet.
#[derive(Debug)]
pub struct UnprovenPlace {
    _permit: OwnedSemaphorePermit,
}

/// Stops listening; what was handed on lives on. Answered when the address is free again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StopListening;

/// Accepts while there are places, so that strangers cannot take all descriptors.
pub struct Listener {
    acceptor: Option<Box<dyn Acceptor>>,
    to: Recipient<Accepted>,
    counters: Arc<Counters>,
    /// Ends when the acceptor is dropped.
    ended: Option<oneshot::Receiver<()>>,
}

impl Listener {
    /// Accepts from `acceptor` and hands each connection to `to`, on the current arbiter.
    #[must_use]
    pub fn start(
        acceptor: Box<dyn Acceptor>,
        to: Recipient<Accepted>,
        counters: Arc<Counters>,
    ) -> Addr<Self> {
        Actor::start(Self {
            acceptor: Some(acceptor),
            to,
            counters,
            ended: None,
        })
    }
}

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let Some(acceptor) = self.acceptor.take() else {
            return;
        };
        let (running, ended) = oneshot::channel();
        self.ended = Some(ended);
        let (to, counters) = (self.to.clone(), Arc::clone(&self.counters));
        let accepting = async move {
            accept_all(acceptor, to, counters).await;
            drop(running);
        };
        context.spawn(
            accepting
                .into_actor(self)
                .map(|(), _, context| context.stop()),
        );
    }
}

impl Handler<StopListening> for Listener {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: StopListening, context: &mut Self::Context) -> Self::Result {
        context.stop();
        let ended = self.ended.take();
        Box::pin(async move {
            if let Some(ended) = ended {
                // Nothing is ever sent: the end of the sender is the word.
                ended.await.unwrap_or_default();
            }
        })
    }
}

async fn accept_all(
    mut acceptor: Box<dyn Acceptor>,
    to: Recipient<Accepted>,
    counters: Arc<Counters>,
) {
    let places = Arc::new(Semaphore::new(UNPROVEN_MAX));
    while let Ok(permit) = Arc::clone(&places).acquire_owned().await {
        match acceptor.accept().await {
            Ok((stream, peer)) => {
                let place = UnprovenPlace { _permit: permit };
                if to
                    .send(Accepted {
                        stream,
                        peer,
                        place,
                    })
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Err(error) => {
                // Out of descriptors, or the caller hung up at once: neither ends the listener.
                counters.note_accept_error();
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}
