//! A collector of spans: what it is sent waits in a bounded queue, and nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor,
};

use crate::exit::Code;
use crate::failure::{Failure, Outcome};

/// How long the collector may take for what it is sent.
const SENT_WITHIN: Duration = Duration::from_secs(5);
/// Spans that wait to be sent: some hundred bytes each, of some hundred operations.
const QUEUE_MAX: usize = 8_192;

/// The way to a collector.
#[derive(Debug)]
pub(super) struct Collector {
    processor: BatchSpanProcessor,
    queued: Arc<AtomicUsize>,
}

impl Collector {
    /// Begins to send what it takes to the collector at `to`, as from `resource`.
    pub(super) fn new(to: &str, resource: &Resource) -> Outcome<Collector> {
        // Neither a proxy of the environment nor a redirect: spans name files, and go where the
        // configuration says.
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(SENT_WITHIN))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Http(agent.into()))
            .with_endpoint(format!("{to}/v1/traces"))
            .with_timeout(SENT_WITHIN)
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(|error| Failure::new(Code::Config, format!("operator.spans_to: {error}")))?;
        Ok(Collector::of(exporter, resource))
    }

    fn of(exporter: impl SpanExporter + 'static, resource: &Resource) -> Collector {
        let queued = Arc::new(AtomicUsize::new(0));
        let told = Told {
            exporter,
            queued: Arc::clone(&queued),
        };
        let queue = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_MAX)
            .build();
        let mut processor = BatchSpanProcessor::builder(told)
            .with_batch_config(queue)
            .build();
        processor.set_resource(resource);
        Collector { processor, queued }
    }

    /// Sends a span, or drops it and says so when the collector does not keep up.
    pub(super) fn take(&self, span: SpanData) {
        if self.queued.fetch_add(1, Ordering::Relaxed) < QUEUE_MAX {
            self.processor.on_end(span);
        } else {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!("spans are dropped: the collector does not keep up");
        }
    }

    /// Sends what waits, for so long at most. Blocks.
    pub(super) fn close(&self, within: Duration) {
        if let Err(error) = self.processor.shutdown_with_timeout(within) {
            let lost = self.queued.load(Ordering::Relaxed);
            tracing::warn!(lost, %error, "the last spans were not sent");
        }
    }
}

/// Says what was not sent.
#[derive(Debug)]
struct Told<E> {
    exporter: E,
    queued: Arc<AtomicUsize>,
}

impl<E: SpanExporter> SpanExporter for Told<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.exporter.export(batch).await;
        self.queued.fetch_sub(spans, Ordering::Relaxed);
        if let Err(error) = &sent {
            let error = match error {
                // The words around it are the library's own.
                OTelSdkError::InternalFailure(error) => error,
                other => &other.to_string(),
            };
            tracing::warn!(
                lost = spans,
                error,
                "the collector of spans does not take them"
            );
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// How the exporter, on a thread of its own, reaches the collector.
#[derive(Debug)]
struct Http(ureq::Agent);

#[async_trait]
impl HttpClient for Http {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.0.run(request.map(|body| body.to_vec()))?;
        let (parts, mut body) = answer.into_parts();
        Ok(Response::from_parts(parts, body.read_to_vec()?.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use opentelemetry::InstrumentationScope;
    use opentelemetry::trace::{
        SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
    };
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
    use sdfs_types::clock;

    use super::*;

    /// Takes a batch when it is let.
    #[derive(Debug)]
    struct Deaf(std::sync::Mutex<mpsc::Receiver<()>>);

    impl SpanExporter for Deaf {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            // An error is the end of the test.
            self.0.lock().expect("whole").recv().unwrap_or(());
            Ok(())
        }
    }

    fn span() -> SpanData {
        let (trace, id) = (TraceId::from(1), SpanId::from(1));
        let now = std::time::UNIX_EPOCH + clock::now();
        SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "x".into(),
            start_time: now,
            end_time: now,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::default(),
        }
    }

    #[test]
    fn a_full_queue_holds_nobody_up() {
        let (lets, let_go) = mpsc::channel();
        let deaf = Deaf(std::sync::Mutex::new(let_go));
        let collector = Collector::of(deaf, &Resource::builder_empty().build());
        for _ in 0..2 * QUEUE_MAX {
            collector.take(span());
        }
        let queued = || collector.queued.load(Ordering::Relaxed);
        assert_eq!(queued(), QUEUE_MAX);
        drop(lets);
        collector.close(Duration::from_secs(60));
        assert_eq!(queued(), 0);
    }
}
