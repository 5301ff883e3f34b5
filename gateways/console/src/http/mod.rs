//! The HTTP door: listening, and a task for each connection. hyper speaks HTTP/1.1.

mod answer;
mod counters;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sdfs_net_layer::{Acceptor, Stream, Transport};
use sdfs_server_group::Network;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::allowed::is_allowed;
use crate::console::ConsoleCounters;
use crate::lately::Lately;
use crate::limits::{
    ACCEPT_PAUSE, HTTP_CONNECTION_LIFE, HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEAD_WAIT,
};
use crate::looking::Looking;
use crate::observed::Observed;
use answer::Site;
use counters::Closed;
pub use counters::HttpCounters;

/// What the HTTP door is opened with.
pub struct HttpOptions {
    /// Where it listens.
    pub address: SocketAddr,
    /// Who may connect; empty for everybody.
    pub allow: Vec<Network>,
    /// The server it tells of.
    pub server: Arc<dyn Observed>,
    /// What happened there of late.
    pub lately: watch::Receiver<Arc<Lately>>,
    /// What the console beside it counts.
    pub console: Arc<ConsoleCounters>,
}

/// An open door. Dropped, it is closed with all its connections.
pub struct HttpDoor {
    address: SocketAddr,
    task: AbortHandle,
}

impl HttpDoor {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpDoor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens the door, on the runtime of the caller.
///
/// # Errors
/// When the address is taken.
pub async fn start_http(transport: &dyn Transport, options: HttpOptions) -> io::Result<HttpDoor> {
    let acceptor = transport.bind(options.address).await?;
    let address = acceptor.local_address()?;
    let looking = Looking::start(Arc::clone(&options.server), options.lately.clone());
    let site = Arc::new(Site {
        server: options.server,
        lately: options.lately,
        is_loopback: address.ip().is_loopback(),
        looking,
        counters: HttpCounters::default(),
        console: options.console,
    });
    let task = tokio::spawn(accept_all(acceptor, options.allow, site)).abort_handle();
    Ok(HttpDoor { address, task })
}

async fn accept_all(mut acceptor: Box<dyn Acceptor>, allow: Vec<Network>, site: Arc<Site>) {
    // Dropped with this task, it ends the connections.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection is accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if !is_allowed(&allow, from.ip()) {
            site.counters.count_closed(Closed::NotAllowed);
        } else if connections.len() >= HTTP_CONNECTIONS_MAX {
            site.counters.count_closed(Closed::TooMany);
        } else {
            connections.spawn(serve(stream, Arc::clone(&site)));
        }
    }
}

async fn serve(stream: Stream, site: Arc<Site>) {
    let service = {
        let site = Arc::clone(&site);
        service_fn(move |request| {
            let site = Arc::clone(&site);
            async move { Ok::<_, std::convert::Infallible>(site.answer(&request).await) }
        })
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_HEAD_WAIT)
        .max_buf_size(HTTP_HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(HTTP_CONNECTION_LIFE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.is_parse() => site.counters.count_closed(Closed::NotHttp),
        Ok(Err(error)) if error.is_timeout() => site.counters.count_closed(Closed::TooSlow),
        Ok(Err(_)) => site.counters.count_closed(Closed::Gone),
        Err(_) => site.counters.count_closed(Closed::Old),
    }
}
