//! Many clients put, replace and delete the same few names, some with the same bytes. What a name
//! stands for is always one whole put, and stays readable when everything that lost is swept.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use sdfs_client::{Client, Error, PutOptions};
use sdfs_types::Refusal;

use super::content;
use super::servers::{Servers, run};

const NAMES: u64 = 3;
const WRITERS: u64 = 6;
const WRITING_FOR: Duration = Duration::from_secs(12);

/// Blocks of what lost are freed ten seconds after.
const SWEPT_AFTER: Duration = Duration::from_secs(14);

/// The bytes of a kind: few kinds, so that different puts often store the same.
fn bytes_of(kind: u64) -> Bytes {
    content::bytes(kind, 20_000 + (kind as usize) * 1_000)
}

fn is_known(bytes: &Bytes) -> bool {
    (0..5).any(|kind| *bytes == bytes_of(kind))
}

/// Puts, deletes and reads until the time is over; counts acknowledged puts.
async fn write(client: Client, writer: u64, until: Instant) -> u64 {
    let mut acknowledged = 0;
    let mut dice = writer + 1;
    while Instant::now() < until {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let roll = dice >> 33;
        let path = format!("/shared-{}", roll % NAMES);
        match (roll / NAMES) % 8 {
            0 => match client.delete(&path).await {
                Ok(_) | Err(Error::Refused(Refusal::NotFound { .. })) => {}
                Err(error) => panic!("{path}: {error}"),
            },
            1 | 2 => match client.get(&path).await {
                Ok(read) => assert!(is_known(&read), "{path} holds what nobody put"),
                // Replaced under the reader often enough for it to give up.
                Err(Error::Refused(Refusal::NotFound { .. } | Refusal::Gone { .. })) => {}
                Err(error) => panic!("{path}: {error}"),
            },
            kind => {
                let options = PutOptions {
                    replace: kind != 3,
                    ..PutOptions::default()
                };
                match client.put(&path, bytes_of(kind % 5), options).await {
                    Ok(_) => acknowledged += 1,
                    Err(Error::Refused(Refusal::Exists { .. })) if kind == 3 => {}
                    Err(error) => panic!("{path}: {error}"),
                }
            }
        }
    }
    acknowledged
}

#[test]
fn overwriters_of_one_name_keep_it_whole() {
    run(async {
        let servers = Servers::start(3, 3).await;
        let until = Instant::now() + WRITING_FOR;
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let mservers = servers.mservers();
            let via = &mservers[writer as usize % mservers.len()];
            writers.push(tokio::spawn(write(
                servers.client_via(via).await,
                writer,
                until,
            )));
        }
        let done = join_all(writers).await;
        let acknowledged: u64 = done.into_iter().map(|count| count.expect("a writer")).sum();
        assert!(acknowledged > 30, "too few puts: {acknowledged}");
        let client = servers.client().await;
        let mut standing = Vec::new();
        for name in 0..NAMES {
            let path = format!("/shared-{name}");
            let read = client.get(&path).await.ok();
            assert!(
                read.as_ref().is_none_or(is_known),
                "{path} holds what nobody put"
            );
            standing.push((path, read));
        }
        tokio::time::sleep(SWEPT_AFTER).await;
        for (path, before) in &standing {
            match client.get(path).await {
                Ok(read) => assert!(Some(&read) == before.as_ref(), "{path} has changed"),
                Err(Error::Refused(Refusal::NotFound { .. })) if before.is_none() => {}
                Err(error) => panic!("{path}: {error}\n{}", servers.logs()),
            }
        }
    });
}
