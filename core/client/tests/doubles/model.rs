//! A file against a vector of bytes: any order of writes, reads, seeks, cuts and expansions
//! leaves both alike.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

use std::sync::LazyLock;

use crate::kit::Kit;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sdfs_client::{BlockIndex, BlockSize, Client, CreateOptions, Error, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

const BLOCK: u64 = 65_536;
/// A few blocks, so that every step meets what others left.
const SPAN: u64 = 4 * BLOCK;

static KIT: LazyLock<Kit> = LazyLock::new(Kit::start);

#[derive(Clone, Debug)]
enum Step {
    WriteAt(u64, usize, u8),
    WriteBlock(u16, usize, u8),
    ReadAt(u64, u64),
    ReadBlock(u16),
    SeekAndRead(u64, usize),
    Truncate(u64),
    Expand(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let near_edges = prop_oneof![
        0..SPAN,
        (0..4u64, -3i64..3).prop_map(|(block, by)| (block * BLOCK).saturating_add_signed(by)),
    ];
    let at = near_edges.boxed();
    let length = prop_oneof![0usize..9, 60_000usize..140_000];
    let step = prop_oneof![
        3 => (at.clone(), length.clone(), 1u8..).prop_map(|(a, l, b)| Step::WriteAt(a, l, b)),
        1 => (0u16..4, 0usize..=65_536, 1u8..).prop_map(|(i, l, b)| Step::WriteBlock(i, l, b)),
        2 => (at.clone(), 0..SPAN).prop_map(|(a, l)| Step::ReadAt(a, l)),
        1 => (0u16..5).prop_map(Step::ReadBlock),
        2 => (at.clone(), length).prop_map(|(a, l)| Step::SeekAndRead(a, l)),
        1 => at.clone().prop_map(Step::Truncate),
        1 => at.prop_map(Step::Expand),
    ];
    prop::collection::vec(step, 1..24)
}

/// What the file must be after the step; `false` when the step must be refused.
fn expect(model: &mut Vec<u8>, step: &Step) -> bool {
    match step {
        Step::WriteAt(at, length, byte) => {
            let begin = *at as usize;
            if *length > 0 {
                model.resize(model.len().max(begin + length), 0);
                model[begin..begin + length].fill(*byte);
            }
        }
        Step::WriteBlock(block, length, byte) => {
            let begin = usize::from(*block) * BLOCK as usize;
            model.resize(model.len().max(begin + length), 0);
            let end = model.len().min(begin + BLOCK as usize);
            model[begin..end].fill(0);
            model[begin..begin + length].fill(*byte);
        }
        Step::Truncate(size) if *size <= model.len() as u64 => model.truncate(*size as usize),
        Step::Expand(size) if *size >= model.len() as u64 => model.resize(*size as usize, 0),
        Step::Truncate(_) | Step::Expand(_) => return false,
        _ => {}
    }
    true
}

fn cut(model: &[u8], at: u64, length: u64) -> &[u8] {
    let begin = (at as usize).min(model.len());
    let end = (at + length).min(model.len() as u64) as usize;
    &model[begin..end.max(begin)]
}

async fn perform(client: &Client, file: &mut File, step: &Step) -> Result<Option<Vec<u8>>, Error> {
    let path = file.path().to_string();
    match step {
        Step::WriteAt(at, length, byte) => {
            file.write_at(*at, vec![*byte; *length]).await?;
        }
        Step::WriteBlock(block, length, byte) => {
            client
                .write_block(file, BlockIndex(*block), vec![*byte; *length])
                .await?;
        }
        Step::ReadAt(at, length) => {
            return file
                .read_at(*at..at + length)
                .await
                .map(|read| Some(read.to_vec()));
        }
        Step::ReadBlock(block) => {
            let read = client.read_block(file, BlockIndex(*block)).await?;
            return Ok(Some(read.to_vec()));
        }
        Step::SeekAndRead(at, length) => {
            file.seek(std::io::SeekFrom::Start(*at)).await.unwrap();
            let mut read = Vec::new();
            file.take(*length as u64)
                .read_to_end(&mut read)
                .await
                .unwrap();
            return Ok(Some(read));
        }
        Step::Truncate(size) => {
            client.truncate(&path, *size).await?;
            file.refresh().await?;
        }
        Step::Expand(size) => {
            client.expand_file_size(&path, *size).await?;
            file.refresh().await?;
        }
    }
    Ok(None)
}

async fn compare(client: Client, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let path = format!("/{}", client.next_request());
    let block_size = BlockSize::from_bytes(BLOCK).ok();
    let options = CreateOptions {
        block_size,
        ..CreateOptions::default()
    };
    let mut file = client
        .create_file_meta_data(&path, options)
        .await
        .unwrap()
        .file;
    let mut model = Vec::new();
    for step in &steps {
        let outcome = perform(&client, &mut file, step).await;
        if !expect(&mut model, step) {
            prop_assert!(matches!(outcome, Err(Error::Refused(_))), "{:?}", step);
            continue;
        }
        let read = outcome.unwrap();
        let expected = match step {
            Step::ReadAt(at, length) => cut(&model, *at, *length),
            Step::ReadBlock(block) => cut(&model, u64::from(*block) * BLOCK, BLOCK),
            Step::SeekAndRead(at, length) => cut(&model, *at, *length as u64),
            _ => continue,
        };
        prop_assert!(read.as_deref() == Some(expected), "{:?}", step);
    }
    prop_assert!(client.get(&path).await.unwrap() == model, "the whole file");
    prop_assert_eq!(file.size_bytes(), model.len() as u64);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_file_is_a_vector_of_bytes(steps in steps()) {
        let compared = async { compare(KIT.client().await, steps).await };
        actix_rt::System::new().block_on(compared)?;
    }
}

#[test]
fn a_stored_file_is_a_vector_of_bytes() {
    let cluster = crate::shared::cluster();
    let config = ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..Default::default()
    };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        let compared = async { compare(crate::shared::client_of(&cluster).await, steps).await };
        actix_rt::System::new().block_on(compared)
    });
    outcome.unwrap();
}
