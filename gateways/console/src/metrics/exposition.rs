//! The text: families with their help and type, samples with their labels.
//!
//! Written by hand: a registry would hold a second copy of every number that the server has.

use std::fmt::Write;

use super::list::{Metric, MetricKind};

/// A metric, and where its value is in something that is read.
pub(crate) type ValueOf<T> = (&'static Metric, fn(&T) -> u64);

/// The text of a scrape that is being written, family by family.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
    family: Option<&'static str>,
}

/// Names and values of the labels of a sample.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// A sample of a counter or gauge. The samples of a family follow each other.
    pub(crate) fn sample(&mut self, metric: &'static Metric, labels: Labels<'_>, value: u64) {
        self.begin(metric);
        self.line((metric.name, ""), labels, &value.to_string());
    }

    /// A sample in seconds of a time in microseconds.
    pub(crate) fn seconds(&mut self, metric: &'static Metric, labels: Labels<'_>, time_us: u64) {
        self.begin(metric);
        self.line((metric.name, ""), labels, &seconds_text(time_us));
    }

    /// The samples of a histogram of times: how many by bucket, each bucket's longest time in
    /// microseconds, and the sum.
    pub(crate) fn times(
        &mut self,
        metric: &'static Metric,
        labels: Labels<'_>,
        counts: &[u64],
        (limit_us, sum_us): (impl Fn(usize) -> Option<u64>, u64),
    ) {
        self.begin(metric);
        let mut sum = 0;
        for (bucket, count) in counts.iter().enumerate() {
            sum += count;
            let limit = limit_us(bucket).map_or_else(|| "+Inf".to_owned(), seconds_text);
            let labels: Vec<_> = labels.iter().copied().chain([("le", &*limit)]).collect();
            self.line((metric.name, "_bucket"), &labels, &sum.to_string());
        }
        self.line((metric.name, "_sum"), labels, &seconds_text(sum_us));
        self.line((metric.name, "_count"), labels, &sum.to_string());
    }

    /// The text so far, which is the whole answer.
    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn begin(&mut self, metric: &'static Metric) {
        if self.family == Some(metric.name) {
            return;
        }
        self.family = Some(metric.name);
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let Metric { name, help, .. } = metric;
        // Writing to a string cannot fail.
        write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").unwrap_or(());
    }

    fn line(&mut self, (name, suffix): (&str, &str), labels: Labels<'_>, value: &str) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        for (place, (label, text)) in labels.iter().enumerate() {
            self.text.push(if place == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            for letter in text.chars() {
                match letter {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    letter => self.text.push(letter),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.text.push(' ');
        self.text.push_str(value);
        self.text.push('\n');
    }
}

fn seconds_text(time_us: u64) -> String {
    format!("{}.{:06}", time_us / 1_000_000, time_us % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    static ROOM: Metric = Metric {
        name: "room",
        kind: MetricKind::Gauge,
        help: "Room.",
    };
    static TOOK: Metric = Metric {
        name: "took",
        kind: MetricKind::Histogram,
        help: "Time.",
    };

    #[test]
    fn families_are_headed_once_and_labels_escaped() {
        let mut out = Exposition::default();
        out.sample(&ROOM, &[("at", "a\\b\"c\nd"), ("x", "y")], 7);
        out.seconds(&ROOM, &[], 1_500_001);
        assert_eq!(
            out.finish(),
            "# HELP room Room.\n# TYPE room gauge\n\
             room{at=\"a\\\\b\\\"c\\nd\",x=\"y\"} 7\nroom 1.500001\n"
        );
    }

    #[test]
    fn buckets_are_cumulative() {
        let mut out = Exposition::default();
        let limit_us = |bucket| (bucket == 0).then_some(64);
        out.times(&TOOK, &[("call", "Stat")], &[2, 3], (limit_us, 90));
        assert_eq!(
            out.finish(),
            "# HELP took Time.\n# TYPE took histogram\n\
             took_bucket{call=\"Stat\",le=\"0.000064\"} 2\n\
             took_bucket{call=\"Stat\",le=\"+Inf\"} 5\n\
             took_sum{call=\"Stat\"} 0.000090\ntook_count{call=\"Stat\"} 5\n"
        );
    }
}
