//! `sdfs fastdfs link`: links as the servers take them, made without asking any.

mod common;

use common::{TestCluster, small};
use sdfs_fastdfs::Links;
use sdfs_server::ClusterOptions;
use sdfs_server_group::{Config, LinkSecret};
use sdfs_types::clock;

const NAME: &str = "M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ805.bin";
const SECRET: &str = "FastDFS1234567890";

/// A cluster that is not started, of two groups; `links` stands in its `fastdfs: (..)` part.
fn cluster(links: &str) -> TestCluster {
    let mut cluster = TestCluster::prepared(&ClusterOptions {
        fastdfs: true,
        groups: ["group1", "group1", "group2", "group2"]
            .map(str::to_owned)
            .into(),
        dservers: 4,
        storage: Some("storage: (copies: 2, copies_min: 1)".to_owned()),
        ..small()
    });
    cluster.local("links.secret", SECRET.as_bytes());
    let text = std::fs::read_to_string(&cluster.config_file).expect("the configuration");
    let text = text.replace("fastdfs: (", &format!("fastdfs: ({links}"));
    std::fs::write(&cluster.config_file, text).expect("written");
    cluster.config = Config::load(&cluster.config_file).expect("read back");
    cluster
}

/// Where the HTTP door of a server is.
fn door(cluster: &TestCluster, server: &str) -> String {
    let config = &cluster.config;
    let settings = config.fastdfs.as_ref().expect("wanted");
    let server = config.server_named(server).expect("a server");
    settings.http_url(config, server).expect("open")
}

#[test]
fn signed_links_are_those_servers_take() {
    let cluster = cluster("link_secret: \"links.secret\", link_ttl_s: 300, ");
    let links = Links::new(LinkSecret::of_secret(SECRET), 300);
    let id = format!("group1/{NAME}");
    for (valid, valid_s) in [(None, 300), (Some("1m"), 60), (Some("300s"), 300)] {
        let before_s = clock::now_ms() / 1_000;
        let mut words = vec!["fastdfs", "link", &id];
        words.extend(valid.iter().flat_map(|valid| ["--valid", valid]));
        let told = cluster.json(&words);
        let link = told["link"].as_str().expect("a link");
        let (path, query) = link.split_once('?').expect("signed");
        assert_eq!(path, format!("{}/{id}", door(&cluster, "dserver-1")));
        assert_eq!(told["server"], "dserver-1");
        let until_s = told["good_until_s"].as_u64().expect("a time");
        let late_s = until_s - valid_s - before_s;
        assert!(late_s < 60, "{told}");
        let check = |now_s| links.check(NAME, Some(query), now_s);
        assert_eq!(check(before_s), Ok(()), "{link}");
        assert_eq!(check(until_s), Ok(()), "{link}");
        assert!(check(until_s + 1).is_err(), "{link}");
    }
    // For people it is the link and nothing else.
    let line = cluster.ok(&["fastdfs", "link", &id]);
    assert!(
        line.starts_with("http://") && line.lines().count() == 1,
        "{line}"
    );
}

#[test]
fn links_lead_to_a_dserver_of_their_group() {
    let cluster = cluster("");
    let (one, other) = (format!("group1/{NAME}"), format!("/group2/{NAME}"));
    for (id, named, server) in [
        (&one, None, "dserver-1"),
        (&one, Some("dserver-2"), "dserver-2"),
        (&other, None, "dserver-3"),
        (&other, Some("dserver-4"), "dserver-4"),
    ] {
        let mut words = vec!["fastdfs", "link", id];
        words.extend(named.iter().flat_map(|named| ["--server", named]));
        let expected = format!(
            "{}/{}\n",
            door(&cluster, server),
            id.trim_start_matches('/')
        );
        assert_eq!(cluster.ok(&words), expected);
    }
}

#[test]
fn what_gives_no_link_has_its_exit_code() {
    let signed = cluster("link_secret: \"links.secret\", link_ttl_s: 300, ");
    let plain = cluster("");
    let id = format!("group1/{NAME}");
    let unknown = format!("group9/{NAME}");
    for (cluster, code, words, told) in [
        (&signed, 2, vec!["group1"], "no file's id"),
        (&signed, 2, vec![NAME], "no file's id"),
        (&signed, 2, vec!["group1/M00/x"], "no file's id"),
        (&signed, 2, vec![&id, "--valid", "301s"], "at most"),
        (&signed, 2, vec![&id, "--valid", "soon"], "no time"),
        (&plain, 2, vec![&id, "--valid", "1m"], "no link_secret"),
        (&signed, 1, vec![&unknown], "group9"),
        (&signed, 1, vec![&id, "--server", "dserver-3"], "dserver-3"),
        (&signed, 1, vec![&id, "--server", "mserver-1"], "mserver-1"),
    ] {
        let words = [&["fastdfs", "link"], &words[..]].concat();
        let said = cluster.fails(code, &words);
        assert!(said.contains(told), "{words:?}: {said}");
    }
    signed.local("links.secret", b"short");
    for words in [
        &["fastdfs", "link", &id][..],
        &["serve", "--name", "dserver-1"],
    ] {
        let said = signed.fails(3, words);
        assert!(said.contains("links.secret"), "{words:?}: {said}");
    }
    // Without an HTTP door there is no link.
    let text = std::fs::read_to_string(&plain.config_file).expect("the configuration");
    let at = text.find(", http_port").expect("a door");
    let end = at + text[at..].find(')').expect("the end of the part");
    let closed = plain.local(
        "closed.conf",
        (text[..at].to_owned() + &text[end..]).as_bytes(),
    );
    let ran = common::sdfs(&["--config", &closed, "fastdfs", "link", &id]);
    assert!(
        ran.code == 3 && ran.err.contains("http_port"),
        "{}",
        ran.err
    );
    let help = common::sdfs(&["fastdfs", "link", "--help"]);
    assert!(help.out.contains("Examples:") && help.out.contains("Exit codes:"));
}
