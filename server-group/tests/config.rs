//! `config.conf`: what is accepted, and what each mistake is told.

#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

use std::path::{Path, PathBuf};

use sdfs_server_group::{AddressWidth, Config, ConfigError, OperatorTls, Role, ServerId};

const GOOD: &str = r#"
// The whole cluster.
(
    cluster: "sdfs",
    secret_file: "secret",
    admin: (name: "admin", secret_file: "/etc/admin.secret"),
    servers: [
        (name: "m1", role: Mserver, address: "127.0.0.1:7101", space: ["data/m1"], zone: "a"),
        (
            name: "d1", role: Dserver, /* (,: "x" */ address: "127.0.0.1:7201",
            space: ["data/d1", "/disk2"], id: 9,
        ),
    ],
    timers: (
        ping_every_ms: 100,
        silence_ms_max: 1_000,
    ),
)
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/conf/config.conf"))
}

#[test]
fn good_file_is_read_whole() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.cluster, "sdfs");
    assert_eq!(config.secret_file, PathBuf::from("/conf/secret"));
    assert_eq!(config.admin.secret_file, PathBuf::from("/etc/admin.secret"));
    let m1 = config.server(ServerId(1)).unwrap();
    assert_eq!(
        (m1.name.as_str(), m1.role, m1.zone.as_str()),
        ("m1", Role::Mserver, "a")
    );
    assert_eq!(m1.space, [PathBuf::from("/conf/data/m1")]);
    let d1 = config.server(ServerId(9)).unwrap();
    assert_eq!(d1.address, "127.0.0.1:7201".parse().unwrap());
    assert_eq!(
        d1.space,
        [PathBuf::from("/conf/data/d1"), PathBuf::from("/disk2")]
    );
    assert_eq!(config.server_named("d1").unwrap().id, ServerId(9));
    assert_eq!(
        (config.timers.ping_every_ms, config.timers.heartbeat_ms),
        (100, 200)
    );
    assert_eq!(
        (config.storage.copies, config.storage.block_bytes),
        (3, 4 << 20)
    );
    assert!(config.tls.is_none());
}

#[test]
fn tls_is_read_with_and_without_some() {
    let files = r#"(certificate: "c", key: "k", authority: "a")"#;
    for tls in [files.to_owned(), format!("Some({files})")] {
        let text = GOOD.replace("timers:", &format!("tls: {tls},\n timers:"));
        assert_eq!(
            parse(&text).unwrap().tls.unwrap().key,
            PathBuf::from("/conf/k")
        );
    }
    let text = GOOD.replace("timers:", "tls: None,\n timers:");
    assert!(parse(&text).unwrap().tls.is_none());
}

#[test]
fn every_mistake_names_line_key_and_range() {
    // What is replaced by what; the line, the key, a part of what is allowed.
    let table = [
        (
            "cluster: \"sdfs\"",
            "cluster: \"\"",
            4,
            "cluster",
            "1 to 64 letters",
        ),
        (
            "cluster: \"sdfs\"",
            "cluster: \"a b\"",
            4,
            "cluster",
            "1 to 64 letters",
        ),
        ("cluster: \"sdfs\"", "cluster: 7", 4, "cluster", ""),
        (
            "secret_file: \"secret\",",
            "secret_file: \"\",",
            5,
            "secret_file",
            "a path",
        ),
        (
            "secret_file: \"secret\",",
            "",
            18,
            "secret_file",
            "must be given",
        ),
        ("name: \"admin\", ", "", 6, "admin.name", "must be given"),
        (
            "name: \"admin\"",
            "nmae: \"admin\"",
            6,
            "admin.nmae",
            "name, secret_file",
        ),
        ("cluster:", "clutser:", 4, "clutser", "cluster, secret_file"),
        (
            "name: \"d1\"",
            "name: \"m1\"",
            10,
            "servers[1].name",
            "no other server",
        ),
        (
            "name: \"d1\"",
            "name: \"d/1\"",
            10,
            "servers[1].name",
            "letters",
        ),
        (
            "role: Dserver",
            "role: Client",
            10,
            "servers[1].role",
            "Mserver, Dserver",
        ),
        (
            "127.0.0.1:7201",
            "127.0.0.1",
            10,
            "servers[1].address",
            "IP:PORT",
        ),
        (
            "127.0.0.1:7201",
            "127.0.0.1:0",
            10,
            "servers[1].address",
            "1 to 65535",
        ),
        (
            "127.0.0.1:7201",
            "127.0.0.1:7101",
            10,
            "servers[1].address",
            "no other server",
        ),
        ("id: 9", "id: 1", 11, "servers[1].id", "no other server"),
        ("id: 9", "id: 0", 11, "servers[1].id", "1 to 65535"),
        ("id: 9", "id: 65536", 11, "servers[1].id", "1 to 65535"),
        ("id: 9", "id: -1", 11, "servers[1].id", "whole number"),
        (
            "\"/disk2\"",
            "\"/conf/data/m1\"",
            11,
            "servers[1].space",
            "no other server",
        ),
        (
            "[\"data/m1\"]",
            "[]",
            8,
            "servers[0].space",
            "1 to 1 folders",
        ),
        (
            "[\"data/m1\"]",
            "[\"a\", \"b\"]",
            8,
            "servers[0].space",
            "1 to 1 folders",
        ),
        (
            "role: Mserver",
            "role: Dserver",
            7,
            "servers",
            "role: Mserver",
        ),
        (
            "ping_every_ms: 100",
            "ping_every_ms: 9",
            15,
            "timers.ping_every_ms",
            "10 to 60000",
        ),
        (
            "ping_every_ms: 100",
            "ping_evry_ms: 9",
            15,
            "timers.ping_evry_ms",
            "ping_every_ms",
        ),
        ("1_000", "199", 16, "timers.silence_ms_max", "200 to 600000"),
        (
            "1_000",
            "\"1s\"",
            16,
            "timers.silence_ms_max",
            "whole number",
        ),
        (
            "1_000,",
            "1_000, ping_every_ms: 1,",
            16,
            "timers.ping_every_ms",
            "once",
        ),
        (
            "1_000,",
            "1_000, election_ms: 300,",
            16,
            "timers.election_ms",
            "600 to 60000",
        ),
    ];
    for (good, bad, line, key, allowed) in table {
        assert!(GOOD.contains(good), "{good}");
        let error = parse(&GOOD.replacen(good, bad, 1)).unwrap_err();
        let mistake = error.mistake().unwrap();
        assert_eq!(
            (mistake.line, mistake.key.as_str()),
            (line, key),
            "{bad}: {error}"
        );
        assert!(mistake.allowed.contains(allowed), "{bad}: {error}");
        assert!(mistake.column > 0 && !mistake.what.is_empty());
        assert!(
            error
                .to_string()
                .starts_with(&format!("/conf/config.conf:{line}:")),
            "{error}"
        );
    }
}

#[test]
fn storage_bounds_are_checked() {
    let table = [
        ("copies: 8", "storage.copies", "1 to 7"),
        ("copies: 2, copies_min: 3", "storage.copies_min", "1 to 2"),
        (
            "block_bytes: 65537",
            "storage.block_bytes",
            "a power of two",
        ),
        (
            "block_bytes: 134217728",
            "storage.block_bytes",
            "65536 to 67108864",
        ),
        (
            "segment_bytes: 4194304",
            "storage.segment_bytes",
            "5242880 to 2147483648",
        ),
        (
            "volumes_per_dserver: 0",
            "storage.volumes_per_dserver",
            "1 to 1024",
        ),
        (
            "volumes_per_dserver: 99999999999999999999",
            "storage.volumes_per_dserver",
            "whole",
        ),
        ("trash_s: 315360001", "storage.trash_s", "0 to 315360000"),
        ("trash_s: \"1d\"", "storage.trash_s", "whole number"),
        (
            "replace_after_s: 0",
            "storage.replace_after_s",
            "1 to 2592000",
        ),
    ];
    for (storage, key, allowed) in table {
        let text = GOOD.replace("timers:", &format!("storage: (\n  {storage}),\n timers:"));
        let error = parse(&text).unwrap_err();
        let mistake = error.mistake().unwrap();
        assert_eq!((mistake.line, mistake.key.as_str()), (15, key), "{error}");
        assert!(mistake.allowed.contains(allowed), "{error}");
    }
}

#[test]
fn fastdfs_bounds_are_checked() {
    let table = [
        ("group: \"a-b\"", "fastdfs.group", "letters and digits"),
        ("tls: Server", "fastdfs.tls", "Off"),
        ("http_port: 0", "fastdfs.http_port", "1 to 65535"),
        ("http_port: 65536", "fastdfs.http_port", "1 to 65535"),
        ("http_port: \"8888\"", "fastdfs.http_port", ""),
        (
            "http_port: 8888, link_ttl_s: 0",
            "fastdfs.link_ttl_s",
            "1 to 315360000",
        ),
        (
            "http_port: 8888, link_secret: \"\"",
            "fastdfs.link_secret",
            "a path",
        ),
        (
            "link_secret: \"links\"",
            "fastdfs.link_secret",
            "with http_port",
        ),
        (
            "instant: [\"group2\"]",
            "fastdfs.instant",
            "groups of group1",
        ),
        (
            "response_ip_addr_size: IPv4",
            "fastdfs.response_ip_addr_size",
            "auto, or IPv6",
        ),
        (
            "response_ip_addr_size: Auto",
            "fastdfs.response_ip_addr_size",
            "one of auto, IPv4, IPv6",
        ),
        (
            "tracker_allow: [\"10.0.0.0/33\"]",
            "fastdfs.tracker_allow",
            "10.0.0.0/8",
        ),
        (
            "storage_allow: [\"host\"]",
            "fastdfs.storage_allow",
            "10.0.0.0/8",
        ),
        (
            "http_port: 8888, http_allow: [\"\"]",
            "fastdfs.http_allow",
            "10.0.0.0/8",
        ),
        ("http_allow: []", "fastdfs.http_allow", "with http_port"),
        ("http_allow: 7", "fastdfs.http_allow", ""),
        (
            "advertise: [(to: \"10.0.0.0/8\", servers: {}), (to: \"ten\", servers: {})]",
            "fastdfs.advertise[1].to",
            "10.0.0.0/8",
        ),
        (
            "advertise: [(to: \"10.0.0.0/8\", servers: {\"d9\": \"10.0.0.1\"})]",
            "fastdfs.advertise[0].servers",
            "names of servers",
        ),
        (
            "advertise: [(to: \"10.0.0.0/8\", servers: {\"d1\": \"10.0.0.1:23000\"})]",
            "fastdfs.advertise[0].servers",
            "without a port",
        ),
        (
            "response_ip_addr_size: IPv4, \
             advertise: [(to: \"::/0\", servers: {\"d1\": \"fe80::1\"})]",
            "fastdfs.response_ip_addr_size",
            "auto, or IPv6",
        ),
        (
            "advertise: [(to: \"::/0\")]",
            "fastdfs.advertise[0].servers",
            "must be given",
        ),
    ];
    for (fastdfs, key, allowed) in table {
        let text = GOOD.replace("timers:", &format!("fastdfs: (\n  {fastdfs}),\n timers:"));
        let text = match key {
            "fastdfs.response_ip_addr_size" => text.replace("127.0.0.1:7201", "[::1]:7201"),
            _ => text,
        };
        let error = parse(&text).unwrap_err();
        let mistake = error.mistake().unwrap();
        assert_eq!((mistake.line, &*mistake.key), (15, key), "{error}");
        assert!(mistake.allowed.contains(allowed), "{error}");
        assert!(
            error.to_string().starts_with("/conf/config.conf:15:"),
            "{error}"
        );
        let wide = text.replace(fastdfs, "response_ip_addr_size: IPv6");
        assert!(parse(&wide).is_ok());
    }
}

#[test]
fn fastdfs_addresses_are_as_wide_as_they_must_be() {
    use AddressWidth::{IPv4, IPv6};
    let far = "advertise: [(to: \"10.0.0.0/8\", servers: {\"d1\": \"2001:db8::1\"})]";
    let near = "advertise: [(to: \"::/0\", servers: {\"d1\": \"::ffff:10.0.0.1\"})]";
    // The part, whether a server has an IPv6 address, and the width.
    let table = [
        ("", false, IPv4),
        ("", true, IPv6),
        ("response_ip_addr_size: auto", false, IPv4),
        ("response_ip_addr_size: auto", true, IPv6),
        ("response_ip_addr_size: IPv4", false, IPv4),
        ("response_ip_addr_size: IPv6", false, IPv6),
        (far, false, IPv6),
        (near, false, IPv4),
    ];
    for (part, is_wide, expected) in table {
        let text = GOOD.replace("timers:", &format!("fastdfs: ({part}),\n timers:"));
        let text = match is_wide {
            true => text.replace("127.0.0.1:7201", "[::1]:7201"),
            false => text,
        };
        let fastdfs = parse(&text).unwrap().fastdfs.unwrap();
        assert_eq!(fastdfs.addresses, expected, "{part} {is_wide}");
    }
}

#[test]
fn each_network_has_its_addresses() {
    let config = with_doors(
        "fastdfs: (http_port: 8888, advertise: [\n\
         (to: \"10.1.0.0/16\", servers: {\"d1\": \"203.0.113.5\", \"m1\": \"203.0.113.9\"}),\n\
         (to: \"10.0.0.0/8\", servers: {\"d1\": \"198.51.100.1\"}),\n\
         ])",
    );
    let config = config.unwrap();
    let fastdfs = config.fastdfs.as_ref().unwrap();
    let table = [
        // The first network that fits counts; who is not named there has his own address.
        ("10.1.2.3", "d1", "203.0.113.5"),
        ("::ffff:10.1.2.3", "m1", "203.0.113.9"),
        ("10.1.2.3", "d3", "10.0.0.2"),
        ("10.2.2.3", "d1", "198.51.100.1"),
        ("10.2.2.3", "m1", "10.0.0.1"),
        ("11.0.0.1", "d1", "10.0.0.1"),
    ];
    for (client, name, expected) in table {
        let server = config.server_named(name).unwrap();
        let found = fastdfs.ip_for(client.parse().unwrap(), server);
        assert_eq!(found.to_string(), expected, "{client} {name}");
    }
    let server = config.server_named("d1").unwrap();
    let url = fastdfs.http_url_for([10, 1, 2, 3].into(), &config, server);
    assert_eq!(url.as_deref(), Some("http://203.0.113.5:8888"));
}

#[test]
fn fastdfs_links_are_read() {
    let settings = |fastdfs: &str| {
        let text = GOOD.replace("timers:", &format!("fastdfs: ({fastdfs}),\n timers:"));
        parse(&text).unwrap()
    };
    let usual = settings("").fastdfs.unwrap();
    assert_eq!((usual.http_port, usual.link_secret), (None, None));
    assert_eq!(usual.link_ttl_s, 600);
    let config = settings("http_port: 8888, link_secret: \"links\", link_ttl_s: 60");
    let links = config.fastdfs.as_ref().unwrap();
    let secret = PathBuf::from("/conf/links");
    assert_eq!(config.link_secret_file(), Some(&secret));
    assert_eq!((links.http_port, links.link_ttl_s), (Some(8888), 60));
    let server = config.server_named("d1").unwrap();
    let url = links.http_url(&config, server);
    assert_eq!(url.as_deref(), Some("http://127.0.0.1:8888"));
}

/// Two machines, one of them with two dservers, and these doors.
fn with_doors(doors: &str) -> Result<Config, ConfigError> {
    let server = |(name, role, address): (&str, &str, &str)| {
        format!("(name: \"{name}\", role: {role}, address: \"{address}\", space: [\"{name}\"]),\n")
    };
    let servers = [
        ("m1", "Mserver", "10.0.0.1:7101"),
        ("d1", "Dserver", "10.0.0.1:7201"),
        ("d2", "Dserver", "10.0.0.1:7202"),
        ("d3", "Dserver", "10.0.0.2:7201"),
    ];
    let servers = servers.map(server).concat();
    parse(&format!(
        "(cluster: \"a\", secret_file: \"s\", admin: (name: \"a\", secret_file: \"a\"),\n\
         servers: [{servers}],\nstorage: (copies: 1, copies_min: 1),\n{doors})"
    ))
}

#[test]
fn servers_of_one_address_take_ports_in_a_row() {
    let config =
        with_doors("fastdfs: (http_port: 8888), operator: (http_port: 7300, console_port: 0)");
    let config = config.unwrap();
    let doors = |name: &str| {
        let doors = config.doors(config.server_named(name).unwrap());
        let doors = doors.into_iter();
        let doors: Vec<_> = doors.map(|(key, at)| format!("{key} {at}")).collect();
        doors.join(", ")
    };
    for (name, expected) in [
        (
            "m1",
            "fastdfs.tracker_port 10.0.0.1:22122, operator.http_port 127.0.0.1:7300",
        ),
        (
            "d2",
            "fastdfs.storage_port 10.0.0.1:23001, fastdfs.http_port 10.0.0.1:8889, \
             operator.http_port 127.0.0.1:7302",
        ),
        (
            "d3",
            "fastdfs.storage_port 10.0.0.2:23000, fastdfs.http_port 10.0.0.2:8888, \
             operator.http_port 127.0.0.1:7300",
        ),
    ] {
        assert_eq!(doors(name), expected, "{name}");
    }
}

#[test]
fn doors_of_one_machine_stand_apart() {
    // The doors, the key that is told and what it is told of; nothing where all stand apart.
    let table = [
        ("fastdfs: (http_port: 8888)", None),
        // On the other machine there is one dserver.
        ("fastdfs: (http_port: 23002)", None),
        // A loopback address and the machine's own are two.
        (
            "fastdfs: (http_port: 7300), operator: (http_port: 7300)",
            None,
        ),
        (
            "fastdfs: (http_port: 23000)",
            Some(("fastdfs.http_port", "storage_port of d1")),
        ),
        (
            "fastdfs: (http_port: 22999)",
            Some(("fastdfs.http_port", "storage_port of d1")),
        ),
        (
            "fastdfs: (http_port: 22121)",
            Some(("fastdfs.http_port", "tracker_port of m1")),
        ),
        (
            "fastdfs: (http_port: 7201)",
            Some(("fastdfs.http_port", "address of d1")),
        ),
        (
            "fastdfs: (storage_port: 7101)",
            Some(("fastdfs.storage_port", "address of m1")),
        ),
        (
            "fastdfs: (tracker_port: 23001)",
            Some(("fastdfs.storage_port", "tracker_port of m1")),
        ),
        (
            "fastdfs: (http_port: 7301), operator: (listen: \"0.0.0.0\", http_port: 7300)",
            Some(("operator.http_port", "fastdfs.http_port of d1")),
        ),
        (
            "operator: (http_port: 7300, console_port: 7302)",
            Some(("operator.http_port", "operator.console_port of m1")),
        ),
    ];
    for (doors, expected) in table {
        match (with_doors(doors), expected) {
            (Ok(_), None) => {}
            (Err(error), Some((key, of))) => {
                let mistake = error.mistake().unwrap();
                assert_eq!(mistake.key, key, "{error}");
                assert!(mistake.what.contains(of), "{error}");
                assert!(mistake.line > 1, "{error}");
            }
            (read, _) => panic!("{doors}: {read:?}"),
        }
    }
}

/// A cluster of a mserver and dservers with something more in each line.
fn grouped(mserver: &str, dservers: &[&str], fastdfs: &str) -> String {
    let line = |(number, more): (usize, &&str)| {
        format!(
            "(name: \"d{number}\", role: Dserver, address: \"127.0.0.1:{}\", \
             space: [\"d{number}\"]{more}),\n",
            7_201 + number
        )
    };
    let dservers: String = dservers.iter().enumerate().map(line).collect();
    format!(
        "(cluster: \"c\", secret_file: \"s\", admin: (name: \"a\", secret_file: \"a\"),\n\
         servers: [\n\
         (name: \"m1\", role: Mserver, address: \"127.0.0.1:7101\", space: [\"m1\"]{mserver}),\n\
         {dservers}],\nstorage: (copies: 2, copies_min: 1),\n{fastdfs})"
    )
}

#[test]
fn groups_of_dservers_are_read() {
    let (a, b) = (", group: \"abcdefghijklmn16\"", ", group: \"B\"");
    let fastdfs = "fastdfs: (group: \"B\"),";
    for text in [
        grouped("", &[a, b, a, b], ""),
        grouped("", &[a, b, a, b], fastdfs),
    ] {
        let config = parse(&text).unwrap();
        let of = |name: &str| config.groups.of(&name.into()).map(|group| &**group);
        assert_eq!(of("d0"), Some("abcdefghijklmn16"));
        assert_eq!((of("d3"), of("m1"), of("d9")), (Some("B"), None, None));
        let names: Vec<&str> = config
            .groups
            .names()
            .into_iter()
            .map(|one| &**one)
            .collect();
        assert_eq!(names, ["B", "abcdefghijklmn16"]);
    }
    assert!(
        parse(&grouped("", &["", ""], ""))
            .unwrap()
            .groups
            .is_empty()
    );
}

#[test]
fn mistakes_in_groups_are_told() {
    let a = ", group: \"a\"";
    let letters = "1 to 16 letters and digits";
    // The mserver's line, the dservers', the fastdfs part, the line, the key, what is allowed.
    type Row<'a> = (&'a str, &'a [&'a str], &'a str, usize, &'a str, &'a str);
    let table: &[Row<'_>] = &[
        (
            "",
            &[a, ", group: \"\""],
            "",
            5,
            "servers[2].group",
            letters,
        ),
        (
            "",
            &[a, ", group: \"a-b\""],
            "",
            5,
            "servers[2].group",
            letters,
        ),
        (
            "",
            &[a, ", group: \"abcdefghijklmno17\""],
            "",
            5,
            "servers[2].group",
            letters,
        ),
        (a, &[a, a], "", 3, "servers[0].group", "dservers alone"),
        ("", &[a, a, ""], "", 2, "servers", "for every dserver"),
        (
            "",
            &[a, a, ", group: \"b\""],
            "",
            6,
            "servers[3].group",
            "2 dservers of each",
        ),
        (
            "",
            &[a, a],
            "fastdfs: (group: \"b\")",
            8,
            "fastdfs.group",
            "one of a:",
        ),
        (
            "",
            &["", ""],
            "fastdfs: (group: \"\")",
            8,
            "fastdfs.group",
            letters,
        ),
    ];
    for (mserver, dservers, fastdfs, line, key, allowed) in table {
        let error = parse(&grouped(mserver, dservers, fastdfs)).unwrap_err();
        let mistake = error.mistake().unwrap();
        assert_eq!(mistake.key.as_str(), *key, "{error}");
        assert!(mistake.allowed.contains(allowed), "{error}");
        assert_eq!(mistake.line, *line, "{error}");
    }
}

#[test]
fn damaged_text_never_panics() {
    for end in 0..GOOD.len() {
        if !GOOD.is_char_boundary(end) {
            continue;
        }
        assert!(parse(&GOOD[..end]).is_err() || end > GOOD.len() - 3);
        let doubled = format!("{}{}", &GOOD[..end], &GOOD[end / 2..]);
        drop(parse(&doubled));
    }
}

#[test]
fn missing_file_is_named() {
    let error = Config::load(Path::new("/nowhere/config.conf")).unwrap_err();
    assert!(error.to_string().contains("/nowhere/config.conf"));
}

#[test]
fn secrets_are_read_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::parse(GOOD, &folder.path().join("config.conf")).unwrap();
    assert!(
        config
            .cluster_secret()
            .unwrap_err()
            .to_string()
            .contains("secret")
    );
    std::fs::write(folder.path().join("secret"), "too short\n").unwrap();
    assert!(
        config
            .cluster_secret()
            .unwrap_err()
            .to_string()
            .contains("16")
    );
    std::fs::write(folder.path().join("secret"), "long enough a secret\n").unwrap();
    let secret = config.cluster_secret().unwrap();
    assert_eq!(format!("{secret:?}"), "ClusterSecret(..)");
    assert_ne!(secret.derive("one"), secret.derive("other"));
}

#[test]
fn doors_for_operators_follow_each_other() {
    let closed = parse(GOOD).unwrap();
    assert!(closed.operator.is_none());
    let with =
        |part: &str| parse(&GOOD.replace("timers:", &format!("operator: {part},\n timers:")));
    let config = with("()").unwrap();
    let operator = config.operator.clone().unwrap();
    let address = |name: &str| {
        let server = config.server_named(name).unwrap();
        let http = operator.http_address(&config, server).unwrap();
        let console = operator.console_address(&config, server).unwrap();
        (http.to_string(), console.to_string())
    };
    let text = |http: &str, console: &str| (http.to_owned(), console.to_owned());
    assert_eq!(address("m1"), text("127.0.0.1:7300", "127.0.0.1:7400"));
    assert_eq!(address("d1"), text("127.0.0.1:7301", "127.0.0.1:7401"));
    let apart = GOOD.replace("127.0.0.1:7201", "10.0.0.7:7201").replace(
        "timers:",
        "operator: (listen: \"0.0.0.0\", http_port: 0),\n timers:",
    );
    let config = parse(&apart).unwrap();
    let operator = config.operator.clone().unwrap();
    let d1 = config.server_named("d1").unwrap();
    assert_eq!(operator.http_address(&config, d1), None);
    let console = operator.console_address(&config, d1).unwrap();
    assert_eq!(console.to_string(), "0.0.0.0:7400", "alone on its machine");
    let reached = operator.console_reached_at(&config, d1).unwrap();
    assert_eq!((reached.ip(), reached.port()), (d1.address.ip(), 7400));
    assert_eq!(operator.tls, OperatorTls::Off);
    let files = "tls: (certificate: \"c\", key: \"k\", authority: \"a\"),\n timers:";
    let text = GOOD.replace("timers:", &format!("operator: (tls: Server), {files}"));
    assert_eq!(
        parse(&text).unwrap().operator.unwrap().tls,
        OperatorTls::Server
    );
    for place in ["[::1]:4318", "[::1]", "127.0.0.1", "otel.example:4318", "h"] {
        let sending = with(&format!("(spans_to: \"http://{place}/\")")).unwrap();
        let to = sending.operator.unwrap().spans_to;
        assert_eq!(to, Some(format!("http://{place}")));
    }
    for (part, key) in [
        ("(listen: \"nowhere\")", "operator.listen"),
        ("(http_port: 65535)", "operator.http_port"),
        ("(console_port: 70000)", "operator.console_port"),
        ("(allow: [\"10.0.0.0/33\"])", "operator.allow"),
        ("(tls: Mutual)", "operator.tls"),
    ] {
        let error = with(part).unwrap_err();
        assert_eq!(error.mistake().unwrap().key, key, "{error}");
    }
    for place in [
        "127.0.0.1:4318",
        "https://collector",
        "http://:4318",
        "http://",
        "http://a b",
        "http://h:",
        "http://h:0",
        "http://h:99999",
        "http://h:43i8",
        "http://[::1",
        "http://a:1:2",
        "http://user:key@h",
        "http://h/v1/traces",
    ] {
        let error = with(&format!("(spans_to: \"{place}\")")).unwrap_err();
        assert_eq!(error.mistake().unwrap().key, "operator.spans_to", "{place}");
    }
}
