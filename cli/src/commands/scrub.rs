//! `scrub`: has every dserver read and verify all it keeps, and shows how far they are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sdfs_client::Client;
use sdfs_server_group::Config;
use serde_json::json;

use crate::args::{Global, ScrubArgs};
use crate::commands::heal::{damage, dservers};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::progress::Progress;
use crate::session;
use crate::units;
use crate::view::{Seen, seen, server_name};

/// How often a wait looks again.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// How long repairs of the last blocks that were found damaged are waited for.
const REPAIRED_WITHIN: Duration = Duration::from_secs(10);

/// Passes of each disk: by its server and place.
type Passes = BTreeMap<(String, String), u64>;

/// Runs `scrub`.
pub(crate) async fn run(global: &Global, args: &ScrubArgs, out: Output) -> Outcome {
    let (client, config) = session::cluster(global).await?;
    let before = seen(&client, &config, global.timeout).await;
    if args.status {
        show(&before, out);
        return Ok(());
    }
    let begun = client.scrub().await?;
    if !begun.unreached.is_empty() {
        let unreached = begun.unreached.iter();
        let names = unreached.map(|server| server_name(&config, *server));
        let names = names.collect::<Vec<_>>().join(", ");
        let what = format!("{names}: no answer, not scrubbed; start it and scrub again");
        return Err(Failure::new(Code::NotNow, what));
    }
    if !args.wait {
        out.say(&format!(
            "{} dservers verify all they keep",
            begun.begun.len()
        ));
        out.say("sdfs scrub --status shows how far they are");
        out.json(&json!({ "begun": begun.begun.len() }));
        return Ok(());
    }
    let after = wait(&client, (&config, global.timeout), &before, out).await;
    show(&after, out);
    let (found, repaired) = damage(&after);
    if found > repaired {
        let what = format!("{} damaged blocks are not repaired", found - repaired);
        return Err(Failure::new(Code::Damaged, what));
    }
    Ok(())
}

/// Waits until each disk that was there has had a whole pass more, and a little for repairs.
pub(crate) async fn wait<'a>(
    client: &Client,
    (config, within): (&'a Config, Duration),
    before: &Seen<'_>,
    out: Output,
) -> Seen<'a> {
    let spaces = dservers(before).flat_map(|(_, status)| &status.spaces);
    let total = spaces.map(|space| space.live_bytes).sum();
    let passes_before = passes(before);
    let progress = Progress::new("verifying", Some(total), !out.is_json());
    let mut over_since = None;
    loop {
        let now = seen(client, config, within).await;
        let passed = passes(&now);
        let mut checked = 0;
        for (_, status) in dservers(&now) {
            for space in &status.spaces {
                let is_done = !space.scrub.is_hurried;
                checked += if is_done {
                    space.live_bytes
                } else {
                    space.scrub.checked_bytes
                };
            }
        }
        progress.reach(checked);
        let is_over = passes_before
            .iter()
            .all(|(disk, passes)| passed.get(disk).is_none_or(|now| now > passes));
        let over = is_over.then(|| *over_since.get_or_insert_with(Instant::now));
        let (found, repaired) = damage(&now);
        if over.is_some_and(|over| found == repaired || over.elapsed() > REPAIRED_WITHIN) {
            progress.finish();
            return now;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn passes(seen: &Seen<'_>) -> Passes {
    let mut passes = Passes::new();
    for (server, status) in dservers(seen) {
        for space in status.spaces.iter().filter(|space| space.failed.is_none()) {
            let disk = (server.name.to_string(), space.path.clone());
            passes.insert(disk, space.scrub.passes);
        }
    }
    passes
}

fn show(seen: &Seen<'_>, out: Output) {
    let (found, repaired) = damage(seen);
    if out.is_json() {
        let disks = dservers(seen).flat_map(|(server, status)| {
            status.spaces.iter().map(|space| {
                json!({
                    "server": server.name.to_string(), "path": space.path,
                    "live_bytes": space.live_bytes, "scrub": space.scrub,
                })
            })
        });
        let disks: Vec<_> = disks.collect();
        out.json(&json!({ "disks": disks, "damaged_blocks": found, "repaired_blocks": repaired }));
        return;
    }
    let mut table = crate::table::Table::new(&[
        "server",
        "disk",
        ">keeps",
        ">checked",
        ">passes",
        ">damaged",
        ">repaired",
    ]);
    for (server, status) in dservers(seen) {
        for space in &status.spaces {
            table.row([
                server.name.to_string(),
                space.path.clone(),
                units::size(space.live_bytes),
                units::size(space.scrub.checked_bytes),
                units::count(space.scrub.passes),
                units::count(space.scrub.damaged),
                units::count(space.scrub.repaired),
            ]);
        }
    }
    table.print(out, 0);
}
