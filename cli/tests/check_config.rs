//! `check-config`: every mistake is named with its place, and nothing is started.

mod common;

use common::sdfs;

/// A good configuration with a place to spoil.
fn config(spoiled: &str, instead: &str) -> String {
    let good = r#"(
    cluster: "test",
    secret_file: "secret",
    admin: (name: "admin", secret_file: "admin.secret"),
    servers: [
        (name: "mserver-1", role: Mserver, address: "127.0.0.1:7101", space: ["m1"], zone: "a"),
        (name: "dserver-1", role: Dserver, address: "127.0.0.1:7201", space: ["d1"], zone: "a"),
    ],
    storage: (copies: 1, copies_min: 1),
)
"#;
    assert!(good.contains(spoiled), "{spoiled}");
    good.replacen(spoiled, instead, 1)
}

fn check(text: &str) -> common::Ran {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.conf");
    std::fs::write(&path, text).expect("written");
    let ran = sdfs(&["check-config", "--config", path.to_str().expect("UTF-8")]);
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("listed").collect();
    assert_eq!(left.len(), 1, "nothing is made: {left:?}");
    ran
}

#[test]
fn a_good_file_is_good() {
    let ran = check(&config("cluster", "cluster"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.contains("dserver-1") && ran.out.ends_with("good\n"),
        "{}",
        ran.out
    );
}

#[test]
fn every_mistake_names_line_key_and_range() {
    // What is spoiled, what stands instead, the line, and words of the answer.
    let table: &[(&str, &str, usize, &[&str])] = &[
        (
            "127.0.0.1:7201",
            "127.0.0.1:7101",
            7,
            &["address", "allowed"],
        ),
        ("127.0.0.1:7201", "nowhere", 7, &["address", "IP:PORT"]),
        ("127.0.0.1:7201", "127.0.0.1:0", 7, &["address", "65535"]),
        (
            "\"dserver-1\", role",
            "\"mserver-1\", role",
            7,
            &["name", "no other server"],
        ),
        ("Dserver", "Xserver", 7, &["Mserver"]),
        ("role: Mserver", "role: Dserver", 5, &["servers", "Mserver"]),
        (
            "copies: 1,",
            "copies: 99,",
            9,
            &["storage.copies", "1 to 7"],
        ),
        (
            "copies_min: 1",
            "copies_min: 2",
            9,
            &["storage.copies_min", "1 to 1"],
        ),
        (
            "copies_min: 1",
            "copies_mni: 1",
            9,
            &["copies_mni", "copies_min"],
        ),
        (
            "cluster: \"test\"",
            "cluster: \"te st\"",
            2,
            &["cluster", "letters"],
        ),
        ("[\"d1\"]", "[]", 7, &["space", "1 to 64"]),
        ("[\"d1\"]", "[\"m1\"]", 7, &["space", "no other server"]),
        ("cluster: \"test\",", "", 10, &["cluster"]),
    ];
    for (spoiled, instead, line, words) in table {
        let ran = check(&config(spoiled, instead));
        assert_eq!(ran.code, 3, "{instead}: {}", ran.err);
        let place = format!("config.conf:{line}:");
        for word in words.iter().chain(&[place.as_str()]) {
            assert!(
                ran.err.contains(word),
                "{instead}: no {word} in {}",
                ran.err
            );
        }
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
    }
}

#[test]
fn no_file_is_said_with_advice() {
    let ran = sdfs(&["check-config", "--config", "/nowhere/config.conf"]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.err.contains("/nowhere/config.conf") && ran.err.contains("--config"),
        "{}",
        ran.err
    );
}

#[test]
fn garbage_is_no_configuration() {
    for text in ["", "(", "not ron at all", "\u{0}\u{1}", "(servers: 5)"] {
        let ran = check(text);
        assert_eq!(ran.code, 3, "{text:?}: {}", ran.err);
        assert!(ran.err.contains("config.conf"), "{}", ran.err);
    }
}

#[test]
fn a_short_secret_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.conf");
    std::fs::write(&path, config("cluster", "cluster")).expect("written");
    std::fs::write(folder.path().join("secret"), "short").expect("written");
    let ran = sdfs(&["check-config", "--config", path.to_str().expect("UTF-8")]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("secret"), "{}", ran.err);
}

#[test]
fn ports_of_all_doors_are_shown() {
    let text = config(
        "storage:",
        "fastdfs: (http_port: 8888, link_secret: \"links\"),\n    storage:",
    );
    let ran = check(&text);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for word in ["fastdfs.http", "8888", "23000", "22122", "links is missing"] {
        assert!(ran.out.contains(word), "no {word} in {}", ran.out);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.conf");
    std::fs::write(&path, &text).expect("written");
    let path = path.to_str().expect("UTF-8");
    let ran = sdfs(&["--json", "check-config", "--config", path]);
    let told: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let ports = &told["ports"]["dserver-1"];
    assert_eq!(ports["fastdfs.http_port"], "127.0.0.1:8888", "{told}");
    // The secret of links is looked at as the others are.
    for (wrong, word) in [
        ("short", "fewer than 16"),
        (&*"x".repeat(129), "more than 128"),
    ] {
        std::fs::write(folder.path().join("links"), wrong).expect("written");
        let ran = sdfs(&["check-config", "--config", path]);
        assert_eq!(ran.code, 3, "{}", ran.out);
        assert!(
            ran.err.contains("links") && ran.err.contains(word),
            "{}",
            ran.err
        );
    }
    std::fs::remove_file(folder.path().join("links")).expect("removed");
    std::fs::create_dir(folder.path().join("links")).expect("a folder in its place");
    let ran = sdfs(&["check-config", "--config", path]);
    assert!(
        ran.code == 3 && ran.err.contains("cannot read"),
        "{}",
        ran.err
    );
}

#[test]
fn doors_in_the_way_of_each_other_are_refused() {
    let ran = check(&config(
        "storage:",
        "fastdfs: (http_port: 23000),\n    storage:",
    ));
    assert_eq!(ran.code, 3, "{}", ran.out);
    for word in [
        "config.conf:9:",
        "fastdfs.http_port",
        "23000",
        "storage_port of dserver-1",
    ] {
        assert!(ran.err.contains(word), "no {word} in {}", ran.err);
    }
}

#[test]
fn shipped_configuration_is_good() {
    for file in ["config.conf", "deploy/compose.conf"] {
        let shipped = format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"));
        let ran = sdfs(&["--json", "check-config", "--config", &shipped]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let value: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
        assert_eq!(value["servers"].as_array().map(Vec::len), Some(6));
    }
}
