//! What is compared behind the names, and what is taken away because it is nobody's.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, stream};
use sdfs_client::PutOptions;
use sdfs_types::BlockSize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::content;
use super::servers::{HEALED_WITHIN, Servers, run};

const BLOCK: usize = 64 << 10;

/// The servers free what is a minute old; their clocks mark it each second.
const FREED_AFTER: Duration = Duration::from_secs(63);

fn small_blocks() -> PutOptions {
    PutOptions {
        block_size: BlockSize::from_bytes(BLOCK as u64).ok(),
        ..PutOptions::default()
    }
}

fn verify(servers: &Servers, arguments: &[&str], expected: i32) -> Value {
    let (code, told) = servers.sdfs(&[&["verify", "--json"], arguments].concat());
    let json = told.lines().next().unwrap_or_default();
    assert_eq!(code, expected, "{told}\n{}", servers.logs());
    serde_json::from_str(json).unwrap_or_else(|_| serde_json::from_str(&told).expect("JSON"))
}

/// A source that gives what is sent to it.
fn slow_source() -> (
    mpsc::Sender<Bytes>,
    impl Stream<Item = std::io::Result<Bytes>> + Send,
) {
    let (give, given) = mpsc::channel::<Bytes>(1);
    let pieces = stream::unfold(given, |mut given| async move {
        let piece = given.recv().await?;
        Some((std::io::Result::Ok(piece), given))
    });
    (give, pieces)
}

#[test]
fn what_is_nobodys_is_found_and_freed() {
    run(async {
        let servers = Servers::start(3, 3).await;
        servers.healed().await;
        let client = servers.client().await;
        client.mkdir_all("/a/b").await.expect("directories");
        for number in 0..20_u64 {
            let path = format!("/a/b/{number}");
            let data = content::bytes(number, 150_000);
            client
                .put(&path, data, small_blocks())
                .await
                .expect("a put");
        }
        let told = verify(&servers, &[], 0);
        assert_eq!(
            (&told["files"], &told["findings"]),
            (&20.into(), &serde_json::json!([]))
        );
        assert_eq!(verify(&servers, &["/a/b/7"], 0)["files"], 1);

        let (give, source) = slow_source();
        let putting = client.clone();
        let put = tokio::spawn(async move {
            let mut source = std::pin::pin!(source);
            putting
                .put_stream("/late", &mut source, small_blocks())
                .await
        });
        for seed in 0..4 {
            give.send(content::bytes(seed, BLOCK))
                .await
                .expect("it takes more");
        }
        let begun = Instant::now();
        // Young it may become a file; the ages begin with the first look at the disk behind them.
        while verify(&servers, &[], 0)["being_written"] == 0 {
            assert!(begun.elapsed() < HEALED_WITHIN, "no block arrived");
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        let told = verify(&servers, &["--older-than", "1s"], 12);
        assert!(told["orphans"].as_u64().is_some_and(|n| n >= 3), "{told}");
        // Whatever an operator calls old, the servers free nothing that is this young.
        let written_for = Instant::now();
        let told = verify(&servers, &["--older-than", "1s", "--repair"], 12);
        assert_eq!(told["freed_blocks"], 0, "{told}");
        tokio::time::sleep(FREED_AFTER.saturating_sub(written_for.elapsed())).await;
        let told = verify(&servers, &["--older-than", "1s", "--repair"], 0);
        assert!(
            told["freed_blocks"].as_u64().is_some_and(|n| n >= 1),
            "{told}"
        );
        let told = verify(&servers, &["--older-than", "1s"], 0);
        assert_eq!(told["findings"], serde_json::json!([]), "{told}");

        // The put that was swept under its hands ends refused: no name without its bytes.
        drop(give);
        let ended = put.await.expect("it ends");
        assert!(ended.is_err(), "{ended:?}");
        let missing = client.get("/late").await;
        assert!(missing.is_err_and(|error| error.is_not_found()));
        for number in 0..20_u64 {
            let read = client.get(&format!("/a/b/{number}")).await.expect("a get");
            assert!(read == content::bytes(number, 150_000), "/a/b/{number}");
        }
    });
}

#[test]
fn copies_of_a_dead_dserver_are_not_compared() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        servers.healed().await;
        let client = servers.client().await;
        for number in 0..5_u64 {
            let data = content::bytes(number, 150_000);
            let path = format!("/{number}");
            client
                .put(&path, data, small_blocks())
                .await
                .expect("a put");
        }
        assert_eq!(
            verify(&servers, &[], 0)["not_compared"],
            serde_json::json!([])
        );
        servers.kill("dserver-2");
        let told = verify(&servers, &[], 9);
        assert_eq!(
            (&told["files"], &told["missing"]),
            (&5.into(), &0.into()),
            "{told}"
        );
        let copies = told["not_compared"].as_array().expect("a list");
        assert!(!copies.is_empty(), "{told}");
        let is_its = |copy: &Value| copy["server"] == "dserver-2";
        assert!(copies.iter().all(is_its), "{told}");
        servers.spawn("dserver-2");
        servers.healed().await;
        verify(&servers, &[], 0);
    });
}
