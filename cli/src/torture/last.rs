//! After everything is mended, every name is read once more, those of all through every mserver:
//! part of the history, which then tells whether anything acknowledged is lost.

use std::collections::BTreeSet;
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

/// Reads all names. Returns how many it read, and those that could not be read, with the reason.
pub(super) async fn read_all(load: &Load) -> Outcome<(u64, Vec<(String, String)>)> {
    let shared: BTreeSet<String> = SHARED_NAMES
        .iter()
        .map(|one| load.work.shared(one))
        .collect();
    let mut names: BTreeSet<String> = shared.clone();
    names.extend(
        load.work
            .operations
            .borrow()
            .iter()
            .map(|one| one.name.clone()),
    );
    let mut reads: Vec<(u32, &Client, &str)> = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let by_all = (load.clients..).zip(&load.by_mserver);
        let one_of_them = place % load.by_mserver.len().max(1);
        match shared.contains(name) {
            true => reads.extend(by_all.map(|(number, client)| (number, client, name.as_str()))),
            false => reads.extend(
                by_all
                    .skip(one_of_them)
                    .take(1)
                    .map(|(number, client)| (number, client, name.as_str())),
            ),
        }
    }
    let mut read_back = 0;
    let mut unreadable = Vec::new();
    let reads = reads
        .into_iter()
        .map(|(number, client, name)| read(load, number, client, name));
    let mut reads = iter(reads).buffer_unordered(LAST_READS_AT_ONCE);
    while let Some((name, why)) = reads.next().await {
        match why {
            None => read_back += 1,
            Some(why) => unreadable.push((name.to_owned(), why)),
        }
    }
    Ok((read_back, unreadable))
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
