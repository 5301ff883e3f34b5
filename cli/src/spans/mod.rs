//! Sends what the logs tell of operations to a collector: each line is a span (OpenTelemetry, OTLP
//! over HTTP).

mod collector;
mod line;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use sdfs_server_group::limits::TRACE_TARGET;
use sdfs_server_group::{Config, ServerConfig};
use sdfs_types::clock;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::failure::Outcome;
use collector::Collector;
use line::Line;

/// How long a server that ends waits for what is not sent yet.
const FLUSH: Duration = Duration::from_secs(2);

/// Where spans go; nowhere until it is opened. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans(Arc<OnceLock<Collector>>);

impl Spans {
    /// Sends from now on, when the configuration names a collector.
    pub(crate) fn open(&self, config: &Config, server: &ServerConfig) -> Outcome {
        let operator = config.operator.as_ref();
        let Some(to) = operator.and_then(|operator| operator.spans_to.as_ref()) else {
            return Ok(());
        };
        let collector = Collector::new(to, &resource(config, server))?;
        tracing::info!(%to, "spans are sent");
        // It is opened once.
        self.0.set(collector).unwrap_or(());
        Ok(())
    }

    /// Sends what was not sent yet, if the collector takes it soon. Blocks.
    pub(crate) fn close(&self) {
        if let Some(collector) = self.0.get() {
            collector.close(FLUSH);
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
        if let Some(collector) = self.0.get() {
            let mut line = Line::default();
            event.record(&mut line);
            if let Some(span) = line.into_span(clock::now()) {
                collector.take(span);
            }
        }
    }
}
