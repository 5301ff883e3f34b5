//! The console over raw sockets: a whole session word for word, wrong logins, rights, and what is
//! no line, too long, or never read.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod kit;

use kit::talk::Talk;
use kit::{PATIENCE, cluster, console_of, get, http_of, until};
use sdfs_client::{Client, PutOptions};
use sdfs_console::limits::{LINE_BYTES_MAX, SESSIONS_MAX};
use sdfs_server::Cluster;
use sdfs_server_group::UserKey;
use sdfs_types::{Access, FilePath, PathRight};
use tokio::net::TcpStream;

/// What a session at a mserver reads, word for word; numbers that differ from run to run are `#`.
const SESSION: &[(&str, &str)] = &[
    (
        "help stat",
        "  command    what\n  stat PATH  what is known of a name\nok\n",
    ),
    (
        "frobnicate",
        "error unknown_command there is no command \"frobnicate\"; `help` lists them\n",
    ),
    ("stat", "error usage usage: stat PATH\n"),
    ("stat \"/a", "error usage a quote is not closed\n"),
    ("stat /nothing", "error not_found /nothing does not exist\n"),
    (
        "files /",
        "  name  kind  size_bytes  id   created\n  a     file  # (# KiB)   #    #-#-# #:#:#\nok\n",
    ),
    (
        "users",
        "  name   rights\n  admin  admin:/\n  ann    read:/a\nok\n",
    ),
    ("heal", "  all # volumes have every copy\nok\n"),
    ("maintenance", "  no orders stand\nok\n"),
    ("heal pause", "ok\n"),
    (
        "maintenance",
        "  order       by     at\n  heal pause  admin  #-#-# #:#:#\nok\n",
    ),
    ("heal start", "ok\n"),
    (
        "heal limit 7",
        "error out_of_range the heal rate is 7 bytes a second; allowed is at least 65536\n",
    ),
    (
        "drain dserver-9",
        "error no_such_server no server is called \"dserver-9\"\n",
    ),
    ("drain dserver-1", "confirm by typing dserver-1\n"),
    ("dserver-2", "error not_confirmed nothing was done\n"),
    (
        "stop mserver-2",
        "error elsewhere this is mserver-1: stop mserver-2 at its own console\n",
    ),
    (
        "log debug",
        "error not_done this server's log cannot be changed: it runs inside another program\n",
    ),
    (
        "drain mserver-1",
        "error refused mserver-1 is no dserver: only one is drained\n",
    ),
    (
        "leave mserver-9",
        "error no_such_server no server is called \"mserver-9\"\n",
    ),
    ("trace", "  the logs tell of no path\nok\n"),
    (
        "trace off /a/",
        "error not_found the logs do not tell of /a/\n",
    ),
    ("replace mserver-3", "confirm by typing mserver-3\n"),
    ("mserver-2", "error not_confirmed nothing was done\n"),
    ("json on", "{\"ok\":true}\n"),
    (
        "users",
        "{\"ok\":true,\"rows\":[{\"name\":\"admin\",\"rights\":[\"admin:/\"]},\
         {\"name\":\"ann\",\"rights\":[\"read:/a\"]}]}\n",
    ),
    (
        "stat /nothing",
        "{\"error\":{\"code\":\"not_found\",\"what\":\"/nothing does not exist\"},\"ok\":false}\n",
    ),
    (
        "leave dserver-1",
        "{\"confirm\":\"dserver-1\",\"ok\":false}\n",
    ),
    (
        "no",
        "{\"error\":{\"code\":\"not_confirmed\",\"what\":\"nothing was done\"},\"ok\":false}\n",
    ),
    ("json off", "ok\n"),
    ("quit", "ok\n"),
];

/// Numbers that differ from run to run.
fn masked(command: &str, answer: &str) -> String {
    let is_masked = ["files", "heal", "maintenance"].contains(&command.split(' ').next().unwrap());
    if !is_masked || answer == "ok\n" {
        return answer.to_owned();
    }
    let mut masked = String::new();
    let mut letters = answer.chars().peekable();
    while let Some(letter) = letters.next() {
        if !letter.is_ascii_digit() {
            masked.push(letter);
            continue;
        }
        masked.push('#');
        let goes_on = |letter: &char| letter.is_ascii_digit() || *letter == '.';
        while letters.next_if(goes_on).is_some() {}
    }
    // Numbers of different lengths leave different gaps.
    let lines = masked.lines().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let indent = if line.starts_with("  ") { "  " } else { "" };
        format!("{indent}{}\n", words.join(" "))
    });
    lines.collect()
}

fn ann() -> UserKey {
    UserKey::of_secret("the secret of ann")
}

#[actix_rt::test]
async fn people_are_served_and_strangers_are_not() {
    let cluster = cluster().await;
    let client = Client::connect_admin(cluster.config().clone())
        .await
        .unwrap();
    client
        .put("/a", vec![7; 100_000], PutOptions::default())
        .await
        .unwrap();
    let right = PathRight {
        path: FilePath::parse("/a").unwrap(),
        access: Access::Read,
    };
    client
        .put_user("ann", Some(ann()), vec![right])
        .await
        .unwrap();
    let admin = cluster.config().admin_key().unwrap();
    // Never reads; looked at again at the end.
    let deaf = a_slow_reader(&cluster, &admin).await;
    a_session_reads_so(&cluster, &admin).await;
    every_server_has_one(&cluster, &admin).await;
    rights_are_the_users(&cluster, &admin).await;
    wrong_logins_are_refused(&cluster, &admin).await;
    what_is_no_line_ends_a_session(&cluster, &admin).await;
    mutated_lines_are_answered(&cluster, &admin).await;
    a_server_is_stopped(&cluster, &admin).await;
    let door = http_of(&cluster, "mserver-2");
    let slow = "\nsdfs_console_ended_total{reason=\"slow_reader\"} 1\n";
    until(door, "/metrics", |(_, text)| text.contains(slow)).await;
    drop(deaf);
}

async fn a_session_reads_so(cluster: &Cluster, admin: &UserKey) {
    let mut talk = Talk::login(console_of(cluster, "mserver-1"), "admin", admin).await;
    assert!(
        talk.greeting
            .starts_with("sdfs-console 1 embedded mserver-1 "),
        "{}",
        talk.greeting
    );
    for (command, expected) in SESSION {
        let answer = talk.ask(command).await;
        let (answer, expected) = (masked(command, &answer), masked(command, expected));
        assert_eq!(answer, expected, "{command}");
    }
    assert_eq!(talk.rest().await, "");
    let mut talk = Talk::login(console_of(cluster, "mserver-1"), "admin", admin).await;
    let audit = talk.ask("audit").await;
    for words in ["heal pause", "begun", "ok", "out_of_range"] {
        assert!(audit.contains(words), "{words} is not in {audit}");
    }
    assert!(
        !audit.contains("drain"),
        "what was not confirmed was never begun: {audit}"
    );
    let events = talk.ask("events").await;
    assert!(
        events.contains("admin ordered: heal pause (ok)"),
        "{events}"
    );
    let blocks = talk.ask("blocks /a").await;
    for name in ["dserver-1", "dserver-2", "dserver-3"] {
        assert!(blocks.contains(name), "{blocks}");
    }
    let explained = talk.ask("explain /a").await;
    assert!(
        explained.contains("main") && explained.contains("mserver-"),
        "{explained}"
    );
    for command in [
        "status", "servers", "rtt", "groups", "volumes", "config", "top", "top", "sessions",
        "scrub",
    ] {
        let answer = talk.ask(command).await;
        assert!(answer.ends_with("ok\n"), "{command}: {answer}");
    }
    let groups = talk.ask("groups").await;
    assert!(
        groups.contains("leader") && groups.lines().count() >= 3,
        "{groups}"
    );
}

/// A dserver knows no users: it asks a mserver, on behalf of the user.
async fn every_server_has_one(cluster: &Cluster, admin: &UserKey) {
    for server in &cluster.config().servers {
        let name = server.name.as_str();
        let mut talk = Talk::login(console_of(cluster, name), "admin", admin).await;
        assert!(talk.ask("users").await.contains("admin:/"), "{name}");
        let status = talk.ask("status").await;
        assert!(status.contains(name), "{status}");
    }
    let mut talk = Talk::login(console_of(cluster, "dserver-1"), "admin", admin).await;
    assert!(
        talk.ask("groups")
            .await
            .contains("a dserver has no raft groups")
    );
    let spaces = talk.ask("spaces").await;
    assert!(spaces.contains("dserver-1"), "{spaces}");
}

async fn rights_are_the_users(cluster: &Cluster, admin: &UserKey) {
    let mut talk = Talk::login(console_of(cluster, "dserver-2"), "ann", &ann()).await;
    assert!(talk.ask("stat /a").await.ends_with("ok\n"));
    for command in [
        "users",
        "files /",
        "heal pause",
        "stop dserver-2",
        "audit",
        "scrub start",
        "trace",
        "trace on /a",
    ] {
        let answer = talk.ask(command).await;
        assert!(answer.starts_with("error denied "), "{command}: {answer}");
    }
    let mut talk = Talk::login(console_of(cluster, "dserver-2"), "admin", admin).await;
    let standing = talk.ask("maintenance").await;
    assert_eq!(
        standing, "  no orders stand\nok\n",
        "nothing was done for ann"
    );
}

async fn wrong_logins_are_refused(cluster: &Cluster, admin: &UserKey) {
    let address = console_of(cluster, "mserver-3");
    let mut talk = Talk::to(address).await;
    let proof = talk.proof("admin", &ann());
    let answer = talk.ask(&format!("login admin {proof}")).await;
    assert_eq!(answer, "error wrong_login the user or the proof is wrong\n");
    assert_eq!(talk.rest().await, "");
    // A proof for another session, or another server, is worth nothing here.
    let other = Talk::to(console_of(cluster, "mserver-1")).await;
    let mut talk = Talk::to(address).await;
    let answer = talk
        .ask(&format!("login admin {}", other.proof("admin", admin)))
        .await;
    assert_eq!(answer, "error wrong_login the user or the proof is wrong\n");
    let mut talk = Talk::to(address).await;
    let answer = talk.ask("status").await;
    assert_eq!(answer, "error no_login first comes: login USER PROOF\n");
    assert_eq!(talk.rest().await, "");
    until(http_of(cluster, "mserver-3"), "/metrics", |(_, text)| {
        text.contains("\nsdfs_console_ended_total{reason=\"wrong_login\"} 2\n")
            && text.contains("\nsdfs_console_ended_total{reason=\"no_login\"} 1\n")
    })
    .await;
}

async fn what_is_no_line_ends_a_session(cluster: &Cluster, admin: &UserKey) {
    let address = console_of(cluster, "dserver-3");
    let mut talk = Talk::login(address, "admin", admin).await;
    talk.send(&"x".repeat(LINE_BYTES_MAX + 1)).await;
    assert_eq!(talk.rest().await, "error too_long the line is too long\n");
    let mut talk = Talk::login(address, "admin", admin).await;
    talk.send("sta\0tus\n").await;
    assert_eq!(talk.rest().await, "error garbage that is no text\n");
    let mut talk = Talk::login(address, "admin", admin).await;
    talk.send("sta").await;
    drop(talk);
    let mut held = Vec::new();
    let begun = std::time::Instant::now();
    // Those above may still be ending.
    while held.len() < SESSIONS_MAX {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut talk = Talk {
            stream: tokio::io::BufReader::new(stream),
            greeting: String::new(),
        };
        if talk.line().await.is_some() {
            held.push(talk);
        }
        assert!(begun.elapsed() < PATIENCE);
    }
    let mut talk = Talk {
        stream: tokio::io::BufReader::new(TcpStream::connect(address).await.unwrap()),
        greeting: String::new(),
    };
    assert_eq!(talk.line().await, None, "one too many");
    drop(held);
    until(http_of(cluster, "dserver-3"), "/metrics", |(_, text)| {
        ["too_long", "garbage", "half_line"].iter().all(|reason| {
            text.contains(&format!(
                "\nsdfs_console_ended_total{{reason=\"{reason}\"}} 1\n"
            ))
        }) && !text.contains("\nsdfs_console_ended_total{reason=\"too_many\"} 0\n")
            && text.contains("\nsdfs_console_sessions 0\n")
    })
    .await;
}

const LINES: usize = 100_000;
const BATCH: usize = 500;

/// Each line is answered once, whatever it says.
async fn mutated_lines_are_answered(cluster: &Cluster, admin: &UserKey) {
    let seeds = [
        "help",
        "help stat",
        "json on",
        "json off",
        "status",
        "groups",
        "volumes",
        "events 3",
        "config",
        "top",
        "sessions",
        "log debug sdfs_raft",
        "drain dserver-1",
        "stop mserver-1",
        "transfer-leader root mserver-2",
        "heal limit 64KiB",
        "join d-9 dserver 1.2.3.4:5 z",
        "stat \"/a b\"",
        "files / after a",
        "leave dserver-2",
    ];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    let mut talk = Talk::login(console_of(cluster, "mserver-1"), "admin", admin).await;
    for _ in 0..LINES / BATCH {
        let mut batch = String::new();
        for _ in 0..BATCH {
            let mut line: Vec<char> = seeds[next(seeds.len())].chars().collect();
            for _ in 0..=next(3) {
                let place = next(line.len() + 1);
                match next(4) {
                    0 => line.insert(place, ['"', '\\', ' ', '/', '7', 'é', 'x'][next(7)]),
                    1 if place < line.len() => drop(line.remove(place)),
                    2 if place < line.len() => line[place] = ['"', '-', '\u{2028}', 'a'][next(4)],
                    _ => line.truncate(place.max(1)),
                }
            }
            let line: String = line.into_iter().collect();
            // A blank line is not answered.
            let line = if line.trim().is_empty() {
                "x"
            } else {
                line.trim()
            };
            batch.push_str(line);
            batch.push('\n');
        }
        talk.send(&batch).await;
        let mut answered = 0;
        while answered < BATCH {
            let line = talk.line().await.expect("the session goes on");
            answered += usize::from(!line.starts_with("  "));
        }
    }
    let (_, text) = get(http_of(cluster, "mserver-1"), "/metrics").await;
    let counted = text
        .lines()
        .filter_map(|line| line.strip_prefix("sdfs_console_commands_total{outcome="));
    let counts = counted.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap());
    // A line that had to be a name is none of its own.
    assert!(counts.sum::<usize>() > LINES / 2);
    // Whatever was half confirmed is forgotten.
    talk.ask("json off").await;
    talk.ask("json off").await;
    assert_eq!(talk.ask("heal limit off").await, "ok\n");
}

async fn a_slow_reader(cluster: &Cluster, admin: &UserKey) -> Talk {
    let mut talk = Talk::login(console_of(cluster, "mserver-2"), "admin", admin).await;
    talk.send(&"help\n".repeat(20_000)).await;
    talk
}

/// Also when its audit log cannot be written, which keeps it from all else.
async fn a_server_is_stopped(cluster: &Cluster, admin: &UserKey) {
    let server = cluster.config().server_named("dserver-3").unwrap();
    let audit = server.space[0].join("audit.log");
    std::fs::create_dir(&audit).unwrap();
    let address = console_of(cluster, "dserver-3");
    let mut talk = Talk::login(address, "admin", admin).await;
    assert_eq!(
        talk.ask("stop dserver-3").await,
        "confirm by typing dserver-3\n"
    );
    assert_eq!(
        talk.ask("no").await,
        "error not_confirmed nothing was done\n"
    );
    let refused = talk.ask("heal pause").await;
    let why = "error no_audit nothing was done: the audit log cannot be written: ";
    assert!(refused.starts_with(why), "{refused}");
    talk.ask("stop dserver-3").await;
    let stopped = talk.ask("dserver-3").await;
    let why = "  stopping; the audit log cannot be written: ";
    assert!(
        stopped.starts_with(why) && stopped.ends_with("\nok\n"),
        "{stopped}"
    );
    let begun = std::time::Instant::now();
    while TcpStream::connect(address).await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "dserver-3 still listens");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
