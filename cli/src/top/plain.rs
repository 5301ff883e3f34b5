//! What moved between two looks, as a table or as JSON.

use sdfs_server_group::Config;
use serde_json::json;

use super::look::Done;
use super::rates::{Rates, rates};
use crate::output::{Ink, Output};
use crate::table::{Cell, Table};
use crate::units;

/// Events shown.
const EVENTS_SHOWN: usize = 8;

/// Prints what moved between two looks.
pub(super) fn print(config: &Config, (before, now): (&Done, &Done), out: Output) {
    let of = |name: &str| {
        let now = now.get(name)?;
        Some((now, before.get(name).and_then(|before| rates(before, now))))
    };
    if out.is_json() {
        let servers = config.servers.iter().map(|server| {
            let rates = of(server.name.as_str()).and_then(|(_, rates)| rates);
            json!({ "name": server.name, "rates": rates })
        });
        out.json(&json!({ "servers": servers.collect::<Vec<_>>() }));
        return;
    }
    let mut table = Table::new(&[
        "server",
        "state",
        ">clients",
        ">calls/s",
        ">p50",
        ">p99",
        ">in",
        ">out",
        ">records/s",
        ">syncs/s",
    ]);
    for server in &config.servers {
        let name = Cell::from(server.name.to_string());
        match of(server.name.as_str()) {
            None => table.row([name, Cell::inked(Ink::Bad, "no answer")]),
            Some((activity, rates)) => {
                let state = match activity.not_ready.first() {
                    None => Cell::inked(Ink::Good, "ready"),
                    Some(_) => Cell::inked(Ink::Warn, "not ready"),
                };
                let begin = [name, state, Cell::from(activity.clients.to_string())];
                table.row(begin.into_iter().chain(cells(rates.as_ref())));
            }
        }
    }
    table.print(out, 0);
    out.say("");
    for line in events(now) {
        out.say(&line);
    }
}

fn cells(rates: Option<&Rates>) -> Vec<Cell> {
    let Some(rates) = rates else {
        return vec!["-".into(); 7];
    };
    let time = |time_us: Option<u64>| match time_us {
        Some(time_us) => format!("{} us", units::count(time_us)),
        None => "-".to_owned(),
    };
    let each_s = |bytes: u64| format!("{}/s", units::size(bytes));
    [
        units::count(rates.calls),
        time(rates.p50_us),
        time(rates.p99_us),
        each_s(rates.bytes_in),
        each_s(rates.bytes_out),
        units::count(rates.records),
        units::count(rates.syncs),
    ]
    .map(Cell::from)
    .into()
}

/// The last events of all servers, newest first.
fn events(now: &Done) -> Vec<String> {
    let all = now.iter().flat_map(|(name, activity)| {
        let of = move |event: &sdfs_types::calls::activity::Happened| {
            (event.at_ms, format!("{name}: {}", event.what))
        };
        activity.events.iter().map(of)
    });
    let mut all: Vec<_> = all.collect();
    all.sort_by(|a, b| b.cmp(a));
    let shown = all.into_iter().take(EVENTS_SHOWN);
    let now_ms = now.values().map(|activity| activity.now_ms).max();
    let ago = |at_ms: u64| now_ms.unwrap_or(at_ms).saturating_sub(at_ms) / 1_000;
    shown
        .map(|(at_ms, what)| format!("{:>8} ago  {what}", units::uptime(ago(at_ms))))
        .collect()
}
