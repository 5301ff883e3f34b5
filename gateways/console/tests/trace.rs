//! One operation through the logs of a whole cluster.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod kit;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kit::talk::Talk;
use kit::{PATIENCE, cluster, console_of};
use sdfs_client::{Client, PutOptions};
use serde_json::Value;

/// What all servers of this process log. Each runs on a thread of its own, which has its name.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> Log {
        let log = Log::default();
        let kept = log.clone();
        tracing_subscriber::fmt()
            .json()
            .with_env_filter("warn,sdfs::trace=info")
            .with_thread_names(true)
            .with_writer(move || kept.clone())
            .init();
        log
    }

    /// The lines about operations since they were last forgotten.
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines
            .filter(|line: &Value| line["target"] == "sdfs::trace")
            .collect()
    }

    fn forget(&self) {
        self.0.lock().unwrap().clear();
    }

    /// Which servers say that: an answered call by its name, or another step.
    fn servers_that(&self, did: &str) -> BTreeSet<String> {
        let lines = self.lines();
        let of_it = lines
            .iter()
            .filter(|line| line["fields"]["call"] == did || line["fields"]["message"] == did);
        of_it
            .map(|line| line["threadName"].as_str().unwrap().to_owned())
            .collect()
    }

    fn ids(&self) -> BTreeSet<String> {
        let lines = self.lines();
        let ids = lines
            .iter()
            .map(|line| line["fields"]["trace"].as_str().unwrap().to_owned());
        ids.collect()
    }
}

#[actix_rt::test]
async fn one_id_leads_from_the_client_to_every_disk() {
    let log = Log::start();
    let cluster = cluster().await;
    let client = Client::connect_admin(cluster.config().clone())
        .await
        .unwrap();
    let admin = cluster.config().admin_key().unwrap();
    let mut talk = Talk::login(console_of(&cluster, "dserver-2"), "admin", &admin).await;
    let said = talk.ask("trace on /x").await;
    let sentence = "  each server logs what it does for /x, with one id for each operation, until ";
    assert!(
        said.starts_with(sentence) && said.ends_with(" UTC\nok\n"),
        "{said}"
    );
    let shown = talk.ask("trace").await;
    assert!(shown.contains("mserver-1,mserver-2,mserver-3"), "{shown}");

    client
        .put("/y", vec![7; 4096], PutOptions::default())
        .await
        .unwrap();
    assert_eq!(log.lines(), [Value::Null; 0]);
    client
        .put("/x", vec![7; 4096], PutOptions::default())
        .await
        .unwrap();
    let begun = Instant::now();
    // The vote ends when it ends.
    while log.servers_that("CanCreate").len() < 2 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", log.lines());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let coordinator = log.servers_that("BeginPut");
    assert_eq!(coordinator.len(), 1);
    assert_eq!(log.servers_that("FinishPut"), coordinator);
    assert_eq!(log.servers_that("committed"), coordinator);
    let mservers = &coordinator | &log.servers_that("CanCreate");
    assert_eq!(mservers, names("mserver"));
    assert_eq!(log.servers_that("appended"), names("dserver"));
    let written = &log.servers_that("WriteBlock") | &log.servers_that("WriteCopy");
    assert_eq!(written, names("dserver"));
    let put = log.ids();
    assert_eq!(put.len(), 1, "{:?}", log.lines());

    log.forget();
    assert_eq!(client.get("/x").await.unwrap().len(), 4096);
    assert_eq!(log.servers_that("GetFile").len(), 1);
    assert_eq!(log.servers_that("ReadBlock").len(), 1);
    let get = log.ids();
    assert_eq!((get.len(), &get & &put), (1, BTreeSet::new()));

    assert_eq!(talk.ask("trace off /x").await, "ok\n");
    log.forget();
    let again = client.put("/x", vec![8; 4096], PutOptions::default());
    again.await.unwrap();
    assert_eq!(client.get("/x").await.unwrap(), vec![8; 4096]);
    assert_eq!(log.lines(), [Value::Null; 0]);
}

fn names(role: &str) -> BTreeSet<String> {
    (1..=3).map(|number| format!("{role}-{number}")).collect()
}
