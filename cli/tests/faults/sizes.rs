//! Files of every odd size come back as they were.

use futures::TryStreamExt;
use futures::future::join_all;
use sdfs_client::{BlockIndex, BlockSize, Client, CreateOptions, PutOptions};

use super::content;
use super::servers::{Servers, run};

async fn round_trip(client: &Client, length: u64) {
    let path = format!("/size-{length}");
    let mut source = std::pin::pin!(content::stream(length, length));
    client
        .put_stream(&path, &mut source, PutOptions::default())
        .await
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    let mut pieces = client.get_stream(&path).await.expect("a stream");
    while let Some(piece) = pieces.try_next().await.expect("the file reads") {
        hasher.update(&piece);
        bytes += piece.len() as u64;
    }
    assert_eq!(bytes, length);
    assert_eq!(
        hasher.finalize(),
        content::stream_hash(length, length),
        "{path}"
    );
}

#[test]
fn every_size_comes_back() {
    run(async {
        let servers = Servers::start(3, 3).await;
        let client = servers.client().await;
        let block = 4 << 20;
        for length in [0, 1, block - 1, block, block + 1, 100 << 20, 1 << 30] {
            round_trip(&client, length).await;
            client
                .delete(&format!("/size-{length}"))
                .await
                .expect("a delete");
        }
    });
}

#[test]
fn a_sparse_file_reaches_4_tib() {
    const FULL: BlockIndex = BlockIndex(40_000);
    run(async {
        let servers = Servers::start(3, 3).await;
        let client = servers.client().await;
        let options = CreateOptions {
            block_size: Some(BlockSize::from_bytes(64 << 20).expect("64 MiB")),
            ..CreateOptions::default()
        };
        client
            .create_file_meta_data("/sparse", options)
            .await
            .expect("a create");
        client
            .expand_file_size("/sparse", 4 << 40)
            .await
            .expect("4 TiB");
        let file = client.open_for_write("/sparse").await.expect("a handle");
        let last = BlockIndex(65_535);
        let data = content::bytes(1, 1_000);
        client
            .write_block(&file, last, data.clone())
            .await
            .expect("the last block");
        // A block as large as one can be, all of it written.
        let full = content::bytes(2, 64 << 20);
        client
            .write_block(&file, FULL, full.clone())
            .await
            .expect("a full block");
        let file = client.open("/sparse").await.expect("a handle");
        let read = client.read_block(&file, FULL).await.expect("a full block");
        assert!(read == full, "other bytes came back");
        assert_eq!(file.size_bytes(), 4 << 40);
        let at = 65_535 * (64 << 20);
        let read = file.read_at(at - 10..at + 1_010).await.expect("a range");
        assert!(
            read[..10].iter().all(|byte| *byte == 0),
            "holes read as zeros"
        );
        assert_eq!(read[10..1_010], data[..]);
        assert!(read[1_010..].iter().all(|byte| *byte == 0));
    });
}

#[test]
fn a_file_has_65536_blocks() {
    const WRITERS: usize = 32;
    const BATCH: usize = 256;
    let zeros = vec![0; (64 << 10) - 100];
    run(async {
        let servers = Servers::start(3, 3).await;
        let client = servers.client().await;
        let options = CreateOptions {
            size_bytes: 4 << 30,
            block_size: Some(BlockSize::from_bytes(64 << 10).expect("64 KiB")),
            ..CreateOptions::default()
        };
        client
            .create_file_meta_data("/blocks", options)
            .await
            .expect("a create");
        let file = client.open_for_write("/blocks").await.expect("a handle");
        let batches: Vec<usize> = (0..65_536).step_by(BATCH).collect();
        for some in batches.chunks(WRITERS) {
            join_all(some.iter().map(|first| {
                let blocks = (*first..first + BATCH)
                    .map(|block| (BlockIndex(block as u16), content::bytes(block as u64, 100)))
                    .collect();
                let (client, file) = (&client, &file);
                async move { client.write_blocks(file, blocks).await.expect("blocks") }
            }))
            .await;
        }
        let file = client.open("/blocks").await.expect("a handle");
        let entries = client.get_block_metadata(&file, 0..65_536).await;
        let entries = entries.expect("every entry");
        assert_eq!(entries.len(), 65_536);
        let hole = entries.iter().position(|entry| entry.is_hole());
        assert_eq!(hole, None, "a block was never written");
        for first in batches {
            let blocks: Vec<_> = (first..first + BATCH)
                .map(|block| BlockIndex(block as u16))
                .collect();
            let read = client.read_blocks(&file, &blocks).await.expect("blocks");
            assert_eq!(read.len(), BATCH);
            for (block, read) in (first..).zip(&read) {
                let (written, rest) = read.split_at(100);
                assert!(
                    written == content::bytes(block as u64, 100),
                    "block {block}"
                );
                assert!(rest == zeros, "block {block}: not zeros after it");
            }
        }
    });
}
