//! Sends what the logs tell of operations to a collector: each line about something that took time
//! is a span (OpenTelemetry, OTLP over HTTP).

use std::fmt::{self, Debug};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks,
    SpanProcessor,
};
use sdfs_server_group::limits::TRACE_TARGET;
use sdfs_server_group::{Config, ServerConfig};
use sdfs_types::clock;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::exit::Code;
use crate::failure::{Failure, Outcome};

/// How long the collector may take for what it is sent.
const SENT_WITHIN: Duration = Duration::from_secs(5);
/// How long a server that ends waits for what is not sent yet.
const FLUSH: Duration = Duration::from_secs(2);

/// Where spans go; nowhere until it is opened. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans(Arc<OnceLock<BatchSpanProcessor>>);

impl Spans {
    /// Sends from now on, when the configuration names a collector. What it does not take is
    /// dropped: no call ever waits for it.
    pub(crate) fn open(&self, config: &Config, server: &ServerConfig) -> Outcome {
        let operator = config.operator.as_ref();
        let Some(to) = operator.and_then(|operator| operator.spans_to.as_ref()) else {
            return Ok(());
        };
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(SENT_WITHIN))
            .http_status_as_error(false)
            .build();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Http(agent.into()))
            .with_endpoint(format!("{to}/v1/traces"))
            .with_timeout(SENT_WITHIN)
            .build()
            .map_err(|error| Failure::new(Code::Config, format!("operator.spans_to: {error}")))?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        processor.set_resource(&resource(config, server));
        tracing::info!(%to, "spans are sent");
        // It is opened once.
        self.0.set(processor).unwrap_or(());
        Ok(())
    }

    /// Sends what was not sent yet, if the collector takes it soon. Blocks.
    pub(crate) fn close(&self) {
        let closed = self.0.get().map(|to| to.shutdown_with_timeout(FLUSH));
        if let Some(Err(error)) = closed {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

/// Who the spans are from.
fn resource(config: &Config, server: &ServerConfig) -> Resource {
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", "sdfs"),
            KeyValue::new("service.namespace", config.cluster.to_string()),
            KeyValue::new("service.instance.id", server.name.to_string()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("sdfs.role", server.role.to_string()),
        ])
        .build()
}

impl<S: Subscriber> Layer<S> for Spans {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != TRACE_TARGET {
            return;
        }
        if let Some(processor) = self.0.get() {
            let mut line = Line::default();
            event.record(&mut line);
            if let Some(span) = line.into_span(clock::now()) {
                processor.on_end(span);
            }
        }
    }
}

/// What a line about an operation says.
#[derive(Debug, Default)]
struct Line {
    trace: u64,
    /// The call it is said within.
    span: u64,
    /// Who made that call: the line is about the whole call.
    parent: Option<u64>,
    /// How long it took; a line without that is about a moment.
    took: Option<Duration>,
    call: Option<String>,
    message: String,
    outcome: Option<String>,
    others: Vec<KeyValue>,
}

impl Line {
    /// The span that ends now, so long after the epoch; nothing for a line without an operation.
    fn into_span(self, now: Duration) -> Option<SpanData> {
        let sampled = |id: u64| {
            let trace = TraceId::from(u128::from(self.trace));
            let flags = TraceFlags::SAMPLED;
            SpanContext::new(trace, SpanId::from(id), flags, false, TraceState::NONE)
        };
        let (span_context, parent) = match self.parent {
            Some(parent) => (sampled(self.span), parent),
            None => {
                let own = RandomIdGenerator::default().new_span_id();
                (sampled(u64::from_be_bytes(own.to_bytes())), self.span)
            }
        };
        let name = match self.took.and(self.call.as_ref()) {
            Some(call) => call.clone(),
            None => self.message,
        };
        let begun = now.saturating_sub(self.took.unwrap_or(Duration::ZERO));
        let is_failed = self.outcome.as_ref().is_some_and(|outcome| outcome != "ok");
        span_context.is_valid().then(|| SpanData {
            span_context,
            parent_span_id: SpanId::from(parent),
            parent_span_is_remote: self.parent.is_some(),
            span_kind: match self.call {
                Some(_) => SpanKind::Server,
                None => SpanKind::Internal,
            },
            name: name.into(),
            start_time: UNIX_EPOCH + begun,
            end_time: UNIX_EPOCH + now,
            attributes: self.others,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: match self.outcome {
                Some(outcome) if is_failed => Status::error(outcome),
                _ => Status::Unset,
            },
            instrumentation_scope: InstrumentationScope::builder(TRACE_TARGET).build(),
        })
    }

    fn text(&mut self, field: &Field, text: String) {
        let id = || u64::from_str_radix(&text, 16).unwrap_or_default();
        match field.name() {
            "trace" => self.trace = id(),
            "span" => self.span = id(),
            "parent" => self.parent = Some(id()),
            "call" => self.call = Some(text),
            "message" => self.message = text,
            "outcome" => self.outcome = Some(text),
            name => self
                .others
                .push(KeyValue::new(format!("sdfs.{name}"), text)),
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "us" {
            self.took = Some(Duration::from_micros(value));
        } else {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            let name = format!("sdfs.{}", field.name());
            self.others.push(KeyValue::new(name, value));
        }
    }
}

/// How the exporter, on a thread of its own, reaches the collector.
struct Http(ureq::Agent);

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

#[async_trait]
impl HttpClient for Http {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let to = request.uri().to_string();
        let sent = self.send(request);
        match &sent {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => {
                tracing::warn!(%to, status = %answer.status(), "the collector refuses spans");
            }
            Err(error) => tracing::warn!(%to, %error, "the collector of spans is not reached"),
        }
        sent
    }
}

impl Http {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = self.0.run(request.map(|body| body.to_vec()))?.into_parts();
        let mut body = body;
        let bytes = body.read_to_vec()?;
        Ok(Response::from_parts(parts, bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_about_a_call_is_its_span() {
        let now = Duration::from_secs(100);
        let line = Line {
            trace: 0xab,
            span: 2,
            parent: Some(1),
            took: Some(Duration::from_millis(1)),
            call: Some("Put".to_owned()),
            outcome: Some("Denied".to_owned()),
            ..Line::default()
        };
        let span = line.into_span(now).expect("an operation");
        assert_eq!(span.span_context.trace_id(), TraceId::from(0xab));
        assert_eq!(span.span_context.span_id(), SpanId::from(2));
        assert_eq!(span.parent_span_id, SpanId::from(1));
        assert_eq!(span.name, "Put");
        assert_eq!(span.status, Status::error("Denied"));
        assert_eq!(span.end_time, UNIX_EPOCH + now);
        assert_eq!(span.start_time, UNIX_EPOCH + now - Duration::from_millis(1));
    }

    #[test]
    fn any_other_line_is_a_span_within_its_call() {
        let line = Line {
            trace: 0xab,
            span: 2,
            call: Some("GetFile".to_owned()),
            message: "asked for".to_owned(),
            ..Line::default()
        };
        let span = line.into_span(clock::now()).expect("an operation");
        assert_ne!(span.span_context.span_id(), SpanId::from(2));
        assert_eq!(span.parent_span_id, SpanId::from(2));
        assert_eq!((&*span.name, span.status), ("asked for", Status::Unset));
        let nobodys = Line::default();
        assert!(nobodys.into_span(clock::now()).is_none());
    }
}
