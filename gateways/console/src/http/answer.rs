//! What is answered to which request. Everything here is for reading.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::watch;

use super::counters::{HttpCounters, Outcome};
use crate::console::ConsoleCounters;
use crate::lately::Lately;
use crate::looking::Looking;
use crate::metrics;
use crate::observed::Observed;
use crate::ready::not_ready;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The live page: one file, which asks for `/api/status` each second.
const PAGE: &str = include_str!("page.html");
/// The page brings all it needs, and asks nobody else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      img-src data:; connect-src 'self'; frame-ancestors 'none'";

/// What the door shows.
pub(crate) struct Site {
    pub(crate) server: Arc<dyn Observed>,
    pub(crate) lately: watch::Receiver<Arc<Lately>>,
    /// Whether it listens on loopback alone.
    pub(crate) is_loopback: bool,
    pub(crate) looking: Looking,
    pub(crate) counters: HttpCounters,
    pub(crate) console: Arc<ConsoleCounters>,
}

/// Whether a request names this machine as nobody else can: a page of a stranger whose name was
/// made to mean this machine (DNS rebinding) sends its own name.
fn is_local<B>(request: &Request<B>) -> bool {
    let Some(host) = request.headers().get(HOST) else {
        return true;
    };
    let host = host.to_str().unwrap_or("");
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

impl Site {
    pub(crate) async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (outcome, kind, text) = match (request.method(), request.uri().path()) {
            _ if self.is_loopback && !is_local(request) => (
                Outcome::WrongHost,
                TEXT,
                "this door is for this machine: ask for localhost or an address\n".to_owned(),
            ),
            (&Method::GET | &Method::HEAD, path) => self.page(path).await,
            _ => (
                Outcome::NotAllowed,
                TEXT,
                "nothing is changed here: GET and HEAD only\n".to_owned(),
            ),
        };
        self.counters.count(outcome);
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = match outcome {
            Outcome::Served => StatusCode::OK,
            Outcome::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Outcome::NotFound => StatusCode::NOT_FOUND,
            Outcome::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Outcome::WrongHost => StatusCode::FORBIDDEN,
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    async fn page(&self, path: &str) -> (Outcome, &'static str, String) {
        match path {
            "/" => (Outcome::Served, HTML, PAGE.to_owned()),
            "/api/status" => match self.looking.latest().await {
                Some(look) => (Outcome::Served, JSON, look.to_string()),
                None => (Outcome::NotReady, TEXT, "no look in time\n".to_owned()),
            },
            "/metrics" => {
                let lately = Arc::clone(&self.lately.borrow());
                let counters = (&self.counters, &*self.console);
                let text = metrics::text(&*self.server, &lately, counters);
                (Outcome::Served, METRICS, text)
            }
            // Whoever reads this was answered by the thread everything runs on.
            "/healthz" => (Outcome::Served, TEXT, "alive\n".to_owned()),
            "/readyz" => self.readiness(),
            _ => {
                let text = "there are /, /api/status, /metrics, /healthz and /readyz\n".to_owned();
                (Outcome::NotFound, TEXT, text)
            }
        }
    }

    fn readiness(&self) -> (Outcome, &'static str, String) {
        let election_ms = self.server.mesh().config().timers.election_ms;
        let why = not_ready(&self.server.status(), &self.server.groups(), election_ms);
        if why.is_empty() {
            return (Outcome::Served, TEXT, "ready\n".to_owned());
        }
        let text = format!("not ready\n{}\n", why.join("\n"));
        (Outcome::NotReady, TEXT, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_names_are_not_local() {
        let is_local_as =
            |host: &str| is_local(&Request::builder().header(HOST, host).body(()).unwrap());
        for host in [
            "localhost",
            "LOCALHOST:7300",
            "127.0.0.1:7300",
            "[::1]:7300",
            "10.0.0.7",
        ] {
            assert!(is_local_as(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7300",
            "127.0.0.1.evil.example",
            "",
            "localhost.x",
        ] {
            assert!(!is_local_as(host), "{host}");
        }
        assert!(is_local(&Request::new(())), "HTTP/1.0 names nobody");
    }
}
