//! The door for reading files by their ids over HTTP, as FastDFS's module for nginx has it. hyper
//! speaks HTTP/1.1.

mod body;
mod condition;
mod content_type;
mod instead;
mod link;
mod range;
mod reader;
mod site;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sdfs_net_layer::Stream;

use crate::connection::End;
use crate::counters::{Counted, Counters};
use crate::limits::{HTTP_HEAD_BYTES_MAX, HTTP_HEAD_WAIT};
pub use link::{LinkFault, Links};
use reader::Reader;
pub(crate) use site::Site;

/// Serves a connection until its end.
pub(crate) async fn serve(
    (stream, client): (Stream, IpAddr),
    site: Arc<Site>,
    counters: Arc<Counters>,
) -> End {
    let service = service_fn(move |request| {
        let (site, counters) = (Arc::clone(&site), Arc::clone(&counters));
        async move {
            let trace = site.storage.mesh.fresh_trace();
            let (outcome, response) = trace.scope(site.answer(&request, client)).await;
            counters.count(outcome);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_HEAD_WAIT)
        .max_buf_size(HTTP_HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Reader::new(stream)), service);
    match connection.await {
        Ok(()) => End::Clean,
        Err(error) => End::Counted(why_closed(&error)),
    }
}

fn why_closed(error: &hyper::Error) -> Counted {
    let source = error.source();
    let source = source.and_then(|source| source.downcast_ref::<io::Error>());
    let is_late = source.is_some_and(|source| source.kind() == io::ErrorKind::TimedOut);
    if error.is_parse_too_large() {
        Counted::TooLong
    } else if error.is_parse() {
        Counted::OtherProtocol
    } else if error.is_timeout() || is_late {
        Counted::TooSlow
    } else if error.is_user() {
        Counted::CutOff
    } else {
        Counted::Gone
    }
}
