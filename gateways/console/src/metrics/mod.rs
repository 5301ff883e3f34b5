//! What a server measures, in Prometheus's text form (version 0.0.4).

mod collect;
mod exposition;
mod list;
mod storage;

pub use list::{ALL, Metric, MetricKind};

use crate::console::ConsoleCounters;
use crate::http::HttpCounters;
use crate::lately::Lately;
use crate::observed::Observed;
use exposition::Exposition;

/// Everything a server measures, as text.
#[must_use]
pub fn text(
    server: &dyn Observed,
    lately: &Lately,
    (http, console): (&HttpCounters, &ConsoleCounters),
) -> String {
    let mut out = Exposition::default();
    let status = server.status();
    let groups = server.groups();
    collect::of_server(&mut out, server, (&status, &groups), lately);
    let snapshot = server.mesh().snapshot();
    collect::of_network(&mut out, &snapshot);
    collect::of_peers(&mut out, &status, &snapshot);
    collect::of_groups(&mut out, &status, &groups);
    storage::of_logs(&mut out, &server.logs());
    storage::of_spaces(&mut out, &status);
    storage::of_volumes(&mut out, &status);
    if let Some(fastdfs) = server.fastdfs() {
        collect::of_fastdfs(&mut out, &fastdfs);
    }
    collect::of_doors(&mut out, http, console);
    out.finish()
}
