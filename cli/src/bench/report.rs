//! What came of a work, for people and for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::args::Work;
use super::limits::Limits;
use super::recorder::{Latency, Measured};
use crate::output::{Ink, Output};
use crate::table::{Cell, Table};
use crate::units;

/// What was done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Its name.
    pub(crate) name: &'static str,
    /// What is bound by the same limits.
    pub(crate) like: Work,
    /// Operations at the same time.
    pub(crate) concurrency: usize,
    /// Size of each file.
    pub(crate) size_bytes: u64,
    /// How many servers store each byte.
    pub(crate) copies: u16,
}

/// What came of a work, beside the machine's limits.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    work: &'static str,
    concurrency: usize,
    size_bytes: u64,
    operations: u64,
    seconds: f64,
    /// Operations a second; names a second for a listing.
    pub(crate) ops_per_s: f64,
    /// 10^6 bytes of files a second.
    pub(crate) mb_per_s: f64,
    #[serde(flatten)]
    latency: Latency,
    errors: u64,
    error_words: BTreeMap<String, u64>,
    cpu: Cpu,
    limits: Option<Limits>,
    shares: Vec<Share>,
}

/// Processor cores kept busy.
#[derive(Debug, Serialize)]
struct Cpu {
    own_cores: f64,
    servers_cores: f64,
    servers_seen: usize,
}

/// How much of a limit was reached.
#[derive(Debug, Serialize)]
struct Share {
    share: f64,
    of: String,
}

impl Report {
    /// From what was measured.
    pub(crate) fn new(measured: Measured, shape: &Shape, limits: Option<Limits>) -> Report {
        let seconds = measured.taken.as_secs_f64().max(f64::EPSILON);
        let mut report = Report {
            work: shape.name,
            concurrency: shape.concurrency,
            size_bytes: shape.size_bytes,
            operations: measured.operations,
            seconds,
            ops_per_s: measured.operations as f64 / seconds,
            mb_per_s: measured.bytes as f64 / seconds / 1e6,
            latency: measured.latency,
            errors: measured.errors,
            error_words: measured.told,
            cpu: Cpu {
                own_cores: measured.cpu.own_s / seconds,
                servers_cores: measured.cpu.servers_s / seconds,
                servers_seen: measured.cpu.servers,
            },
            limits,
            shares: Vec::new(),
        };
        if let Some(limits) = &report.limits {
            report.shares = shares(&report, shape, limits);
        }
        report
    }

    /// Prints it for people.
    pub(crate) fn show(&self, out: Output) {
        let heading = format!(
            "{}, {} at a time, {:.1} s",
            self.work, self.concurrency, self.seconds
        );
        out.say(&out.ink(Ink::Bold, &heading));
        let mut table = Table::new(&["", ""]);
        let what = if self.work == Work::Ls.name() {
            "names/s"
        } else {
            "ops/s"
        };
        table.row([what.to_owned(), units::number(self.ops_per_s)]);
        if self.mb_per_s > 0.0 {
            let size = units::size(self.size_bytes);
            table.row([
                "data".to_owned(),
                format!("{} in files of {size}", units::rate(self.mb_per_s)),
            ]);
        }
        let latency = self.latency;
        table.row([
            "latency".to_owned(),
            format!(
                "p50 {}, p99 {}, p99.9 {}, longest {}",
                units::micros(latency.p50_us),
                units::micros(latency.p99_us),
                units::micros(latency.p999_us),
                units::micros(latency.max_us)
            ),
        ]);
        let errors = units::count(self.errors);
        let errors = if self.errors == 0 {
            Cell::from(errors)
        } else {
            Cell::inked(Ink::Bad, errors)
        };
        table.row([Cell::from("errors"), errors]);
        for (words, times) in &self.error_words {
            table.row([String::new(), format!("{times} x {words}")]);
        }
        let cpu = &self.cpu;
        let servers = match cpu.servers_seen {
            0 => String::new(),
            seen => format!(", {seen} servers {:.2}", cpu.servers_cores),
        };
        table.row([
            "cores".to_owned(),
            format!("bench {:.2}{servers}", cpu.own_cores),
        ]);
        for share in &self.shares {
            table.row([
                "share".to_owned(),
                format!("{:.2} x {}", share.share, share.of),
            ]);
        }
        table.print(out, 2);
    }
}

/// What of the limits matters to a work.
fn shares(report: &Report, shape: &Shape, limits: &Limits) -> Vec<Share> {
    let share = |share: f64, of: String| Share { share, of };
    let sync_us = 1e6 / limits.fdatasync_per_s;
    let per_sync = share(
        report.ops_per_s / limits.fdatasync_per_s,
        format!(
            "this disk's {} fdatasync/s",
            units::number(limits.fdatasync_per_s)
        ),
    );
    let latency = share(
        report.latency.p50_us as f64 / sync_us,
        format!("one fdatasync ({sync_us:.0} us), as p50"),
    );
    let written = share(
        report.mb_per_s / (limits.write_mb_per_s / f64::from(shape.copies)),
        format!(
            "{} sequential / {} copies",
            units::rate(limits.write_mb_per_s),
            shape.copies
        ),
    );
    let sent = share(
        report.mb_per_s / 1e3 / limits.loopback_gb_per_s,
        format!("{:.2} GB/s of loopback", limits.loopback_gb_per_s),
    );
    match shape.like {
        Work::Create => vec![per_sync, latency],
        Work::Put => vec![per_sync, latency, written],
        Work::Get => vec![sent],
        Work::Ls | Work::Mixed => Vec::new(),
    }
}

/// Prints a machine's limits for people.
pub(crate) fn show_limits(limits: &Limits, out: Output) {
    out.say(&out.ink(Ink::Bold, "limits of this machine"));
    let mut table = Table::new(&["", ""]);
    table.row([
        "disk".to_owned(),
        format!(
            "{} fdatasync/s, {} sequential",
            units::number(limits.fdatasync_per_s),
            units::rate(limits.write_mb_per_s)
        ),
    ]);
    table.row([
        "loopback".to_owned(),
        format!(
            "{:.0} us round trip, {:.2} GB/s",
            limits.loopback_rtt_us, limits.loopback_gb_per_s
        ),
    ]);
    table.print(out, 2);
}
