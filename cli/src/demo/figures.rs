//! The figures of the demo, each beside what this machine can do at most.

use std::time::Duration;

use super::Stage;
use super::story::{Figures, Stored};
use crate::bench::args::{Extent, Work};
use crate::bench::{Bench, Limits, Report, creates};
use crate::failure::Outcome;
use crate::table::Table;
use crate::units;

/// How long creates are measured.
const CREATES_FOR: Duration = Duration::from_secs(1);
/// Creates at the same time.
const CREATES_AT_ONCE: usize = 64;

impl Stage {
    /// Measures creates for a second and shows everything measured so far.
    pub(super) async fn figures(&self, limits: &Limits, stored: &Stored) -> Outcome<Figures> {
        self.head("Figures, beside the limits of this machine");
        let mut clients = Vec::new();
        for name in ["mserver-1", "mserver-2", "mserver-3"] {
            clients.push(self.client(Some(name)).await?);
        }
        let bench = Bench {
            clients,
            directory: "/bench".to_owned(),
            size_bytes: 0,
            concurrency: CREATES_AT_ONCE,
            servers: Vec::new(),
        };
        let measured = creates(&bench, Extent::Time(CREATES_FOR)).await?;
        let copies = self.config.storage.copies;
        let creates = Report::new(measured, &bench.shape(Work::Create, copies), Some(*limits));
        let mut table = Table::new(&["", ">here", "limit"]);
        table.row([
            "put".to_owned(),
            units::rate(stored.put_mb_per_s),
            format!(
                "{} sequential write, for {copies} copies",
                units::rate(limits.write_mb_per_s)
            ),
        ]);
        table.row([
            "get".to_owned(),
            units::rate(stored.get_mb_per_s),
            format!("{} loopback", units::rate(limits.loopback_gb_per_s * 1e3)),
        ]);
        table.row([
            format!("create, {CREATES_AT_ONCE} at a time"),
            format!("{}/s", units::number(creates.ops_per_s)),
            format!(
                "{} fdatasync/s, {:.0} us round trip",
                units::number(limits.fdatasync_per_s),
                limits.loopback_rtt_us
            ),
        ]);
        table.print(self.out, 2);
        Ok(Figures {
            put_mb_per_s: stored.put_mb_per_s,
            get_mb_per_s: stored.get_mb_per_s,
            creates,
        })
    }
}
