//! What a line about an operation says, as a span.

use std::fmt::Debug;
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};
use sdfs_server_group::limits::TRACE_TARGET;
use tracing::field::{Field, Visit};

/// What a line about an operation says.
#[derive(Debug, Default)]
pub(super) struct Line {
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
    pub(super) fn into_span(mut self, now: Duration) -> Option<SpanData> {
        // About a moment within a call, it is no call of its own.
        if self.took.is_none()
            && let Some(call) = self.call.take()
        {
            self.others.push(KeyValue::new("sdfs.call", call));
        }
        let (id, parent) = match self.parent {
            Some(parent) => (SpanId::from(self.span), parent),
            None => (RandomIdGenerator::default().new_span_id(), self.span),
        };
        let trace = TraceId::from(u128::from(self.trace));
        let flags = TraceFlags::SAMPLED;
        let span_context = SpanContext::new(trace, id, flags, false, TraceState::NONE);
        let begun = now.saturating_sub(self.took.unwrap_or(Duration::ZERO));
        let is_call = self.call.is_some();
        span_context.is_valid().then(|| SpanData {
            span_context,
            parent_span_id: SpanId::from(parent),
            parent_span_is_remote: is_call && parent != 0,
            span_kind: if is_call {
                SpanKind::Server
            } else {
                SpanKind::Internal
            },
            name: self.call.unwrap_or(self.message).into(),
            start_time: UNIX_EPOCH + begun,
            end_time: UNIX_EPOCH + now,
            attributes: self.others,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: match self.outcome {
                Some(outcome) if outcome != "ok" => Status::error(outcome),
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

#[cfg(test)]
mod tests {
    use sdfs_types::clock;

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
        assert_eq!((&*span.name, span.span_kind), ("Put", SpanKind::Server));
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
        assert_eq!(span.span_kind, SpanKind::Internal);
        assert_eq!(span.attributes, [KeyValue::new("sdfs.call", "GetFile")]);
        let nobodys = Line::default();
        assert!(nobodys.into_span(clock::now()).is_none());
    }
}
