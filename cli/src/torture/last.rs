//! After everything is mended, every name is read once more, those of all through every mserver:
//! part of the history, which then tells whether anything acknowledged is lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::iter;
use sdfs_client::Client;
use tokio::time::sleep;

use super::limits::{LAST_READS_AT_ONCE, READABLE_WITHIN, SHARED_NAMES};
use super::load::Load;
use crate::failure::Outcome;

/// Between two tries of one name.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// When a name is read, so that a file on its way from one to another is met: names files are
/// renamed from before those they are renamed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// Names of one client.
    Own,
    /// Names of all.
    Shared,
    /// Names of one client to which those of all were renamed.
    TakenTo,
}

/// Reads all names. Returns how many it read, and those that could not be read, with the reason.
pub(super) async fn read_all(load: &Load) -> Outcome<(u64, Vec<(String, String)>)> {
    let turns = turns(load);
    let mut read_back = 0;
    let mut unreadable = Vec::new();
    for turn in [Turn::Own, Turn::Shared, Turn::TakenTo] {
        let names = turns.iter().filter(|(_, of)| **of == turn);
        let reads = names.enumerate().flat_map(|(place, (name, _))| {
            let by_all = (load.clients..).zip(&load.by_mserver);
            let one_of_them = place % load.by_mserver.len().max(1);
            let (skipped, taken) = match turn {
                Turn::Shared => (0, load.by_mserver.len()),
                Turn::Own | Turn::TakenTo => (one_of_them, 1),
            };
            let by = by_all.skip(skipped).take(taken);
            by.map(move |(number, client)| read(load, number, client, name))
        });
        let mut reads = iter(reads).buffer_unordered(LAST_READS_AT_ONCE);
        while let Some((name, why)) = reads.next().await {
            match why {
                None => read_back += 1,
                Some(why) => unreadable.push((name.to_owned(), why)),
            }
        }
    }
    Ok((read_back, unreadable))
}

/// Every name with its turn.
fn turns(load: &Load) -> BTreeMap<String, Turn> {
    let operations = load.work.operations.borrow();
    let own = operations.iter().map(|one| (one.name.clone(), Turn::Own));
    let mut turns: BTreeMap<String, Turn> = own.collect();
    let shared = SHARED_NAMES.iter().map(|one| load.work.shared(one));
    turns.extend(shared.map(|name| (name, Turn::Shared)));
    let renames = load.work.renames.borrow();
    let taken = renames.iter().filter(|rename| rename.value.is_none());
    turns.extend(taken.map(|rename| (rename.to.clone(), Turn::TakenTo)));
    turns
}

async fn read<'a>(
    load: &Load,
    number: u32,
    client: &Client,
    name: &'a str,
) -> (&'a str, Option<String>) {
    let begin = Instant::now();
    loop {
        let outcome = load.work.get(number, client, name).await;
        if outcome.is_answer() {
            return (name, None);
        }
        if begin.elapsed() > READABLE_WITHIN {
            return (name, Some(outcome.sentence()));
        }
        sleep(AGAIN_AFTER).await;
    }
}
