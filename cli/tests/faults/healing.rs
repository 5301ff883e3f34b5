//! Healing as an operator sees it: what is missing, what is damaged, and that it is made good.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use sdfs_client::PutOptions;
use sdfs_server::ClusterOptions;
use sdfs_server_group::Role;
use serde_json::Value;

use super::content;
use super::fastdfs_client::{start, upload};
use super::servers::{Servers, run};

async fn put_some(servers: &Servers, from: u64) {
    let client = servers.client().await;
    for number in from..from + 20 {
        let data = content::bytes(number, 300_000);
        let put = client
            .put(&format!("/{number}"), data, PutOptions::default())
            .await;
        put.expect("a put");
    }
}

/// Turns a bit of these bytes in a segment of a dserver, once; whether they were found.
fn rot(log: &Path, bytes: &[u8]) -> bool {
    for entry in fs::read_dir(log).expect("a log") {
        let path = entry.expect("an entry").path();
        let segment = fs::read(&path).expect("a segment");
        let found = segment
            .windows(bytes.len())
            .position(|window| window == bytes);
        if let Some(at) = found {
            let mut file = OpenOptions::new()
                .write(true)
                .open(&path)
                .expect("the segment");
            file.seek(SeekFrom::Start(at as u64)).expect("its place");
            file.write_all(&[bytes[0] ^ 1]).expect("the bit");
            return true;
        }
    }
    false
}

#[test]
fn rot_is_found_by_a_scrub_and_repaired() {
    let (servers, doors) = start(ClusterOptions::default());
    let uploaded = upload(doors.trackers[0], (100, 300_000)).expect("an upload");
    run(async {
        put_some(&servers, 0).await;
        let config = servers.config();
        let dserver = config.servers_of(Role::Dserver).next().expect("a dserver");
        let log = dserver.space[0].join("log");
        for number in [3, 4, 5, 100] {
            assert!(rot(&log, &content::bytes(number, 300_000)[1_000..1_064]));
        }
        let (code, told) = servers.sdfs(&["scrub", "--wait", "--json"]);
        assert_eq!(code, 0, "{told}\n{}", servers.logs());
        let told: Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!(
            (&told["damaged_blocks"], &told["repaired_blocks"]),
            (&4.into(), &4.into())
        );
        let client = servers.client().await;
        for number in 0..20 {
            let read = client.get(&format!("/{number}")).await.expect("a get");
            assert!(read == content::bytes(number, 300_000), "/{number}");
        }
        let (code, told) = servers.sdfs(&["scrub", "--status"]);
        assert_eq!(code, 0, "{told}");
        assert!(told.contains(&*dserver.name.to_string()), "{told}");
        let (code, told) = servers.sdfs(&["verify"]);
        assert_eq!(code, 0, "{told}");
        assert!(told.contains("on every copy"), "{told}");
    });
    uploaded.must_be_at(doors.storages[0]);
}

#[test]
fn heal_status_tells_what_is_missing() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        put_some(&servers, 0).await;
        let status = |servers: &Servers, more: &[&str]| -> Value {
            let (code, told) = servers.sdfs(&[&["heal", "status", "--json"], more].concat());
            assert_eq!(code, 0, "{told}");
            serde_json::from_str(&told).expect("JSON")
        };
        assert_eq!(status(&servers, &["--wait"])["whole"], true);
        servers.kill("dserver-3");
        put_some(&servers, 20).await;
        let told = status(&servers, &[]);
        assert_eq!(
            (&told["whole"], &told["hears_majority"]),
            (&false.into(), &true.into())
        );
        assert_eq!(told["no_answer"], serde_json::json!(["dserver-3"]));
        let missing = told["missing"].as_array().expect("a list");
        assert!(!missing.is_empty());
        assert!(
            missing
                .iter()
                .all(|copy| copy["server"] == "dserver-3" && copy["state"] == "Out")
        );
        servers.spawn("dserver-3");
        let told = status(&servers, &["--wait"]);
        assert_eq!(
            (&told["whole"], &told["missing"]),
            (&true.into(), &serde_json::json!([]))
        );
    });
}

#[test]
fn the_lonely_side_says_that_it_is() {
    run(async {
        let mut servers = Servers::start(3, 3).await;
        servers.kill("mserver-2");
        servers.kill("mserver-3");
        let (code, told) = servers.sdfs(&["heal", "status"]);
        assert_eq!(code, 0, "{told}");
        assert!(told.contains("this side of the cut cannot heal"), "{told}");
    });
}
