//! Telling the root leader of members in trouble.

use std::collections::BTreeMap;
use std::sync::Arc;

use sdfs_server_group::{Deadline, Payload};
use sdfs_types::calls::Call;
use sdfs_types::calls::negotiation::ReportTrouble;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::limits::{REPORT_APART, REPORT_PAUSE, REPORT_WAIT};
use crate::peers::{AskFault, Peers, ask};

/// Sends reports until the last sender is gone; the same one no more often than every
/// `REPORT_APART`. One that no mserver takes is given up after a round: what is wrong goes on
/// being wrong and is reported again.
pub(crate) async fn run(peers: Arc<dyn Peers>, mut reports: mpsc::Receiver<ReportTrouble>) {
    let mut sent: BTreeMap<_, Instant> = BTreeMap::new();
    while let Some(report) = reports.recv().await {
        let now = Instant::now();
        sent.retain(|_, at| now.saturating_duration_since(*at) < REPORT_APART);
        let key = (
            report.volume,
            report.epoch,
            report.member,
            report.trouble as u8,
        );
        if sent.insert(key, now).is_none() {
            tracing::warn!(?report, "a member is in trouble");
            tell(&*peers, &report).await;
        }
    }
}

/// Tells one mserver after the other until one takes it; whether one did. One that answers with a
/// refusal has taken it too: the volume has moved on.
pub(crate) async fn tell<C: Call<Reply = ()>>(peers: &dyn Peers, report: &C) -> bool {
    for mserver in peers.mservers() {
        let asked = (report, Payload::default());
        match ask(peers, mserver, asked, Deadline::after(REPORT_WAIT)).await {
            Ok(_) | Err(AskFault::Refused(sdfs_types::Refusal::StaleEpoch { .. })) => return true,
            Err(fault) => tracing::debug!(%mserver, ?fault, "a report was not taken"),
        }
    }
    tokio::time::sleep(REPORT_PAUSE).await;
    false
}
