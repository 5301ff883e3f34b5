//! Every call: what it does, how it is refused, its deadline, its end by a drop, and that a
//! repeated request is done once. Against doubles, which fail when told.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use crate::kit::{Fault, Kit};
use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use sdfs_client::{
    Attributes, BlockIndex, BlockSize, CallOptions, Client, CreateOptions, Error, OnConflict,
    PutOptions, Refusal, UserKey,
};
use sdfs_types::calls::CallKind;
use sdfs_types::calls::trash::TrashName;
use sdfs_types::{
    Access, BlockVersion, FileDescriptor, FilePath, PathFault, PathRight, Role, ServerId,
    ServerRecord, ServerState,
};
use tokio::time::{Instant, timeout};

type Outcome = Result<String, Error>;

/// One call of the client, by the kind of call it makes last.
struct Call {
    name: &'static str,
    kind: CallKind,
    is_change: bool,
    run: fn(Client) -> BoxFuture<'static, Outcome>,
}

macro_rules! call {
    ($name:literal, $kind:ident, $change:literal, |$client:ident| $run:expr) => {
        Call {
            name: $name,
            kind: CallKind::$kind,
            is_change: $change,
            run: |$client| Box::pin(async move { $run.await.map(|done| format!("{done:?}")) }),
        }
    };
}

fn small_blocks() -> PutOptions {
    let block_size = BlockSize::from_bytes(65_536).ok();
    PutOptions {
        block_size,
        ..PutOptions::default()
    }
}

async fn write_blocks(client: Client) -> Result<(), Error> {
    let file = client
        .with(CallOptions::default())
        .open_for_write("/f")
        .await?;
    let data = Bytes::from_static(b"changed");
    client
        .write_blocks(&file, vec![(BlockIndex(0), data)])
        .await
        .map(drop)
}

async fn write_block(client: Client) -> Result<(), Error> {
    let file = client
        .with(CallOptions::default())
        .open_for_write("/f")
        .await?;
    client
        .write_block(&file, BlockIndex(1), "changed")
        .await
        .map(drop)
}

async fn write_block_array(client: Client) -> Result<(), Error> {
    let file = client
        .with(CallOptions::default())
        .open_for_write("/f")
        .await?;
    let data = vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")];
    client
        .write_block_array(&file, BlockIndex(0), data)
        .await
        .map(drop)
}

async fn get_block_metadata(client: Client) -> Result<usize, Error> {
    let file = client.open("/large").await?;
    client
        .get_block_metadata(&file, 10..30)
        .await
        .map(|entries| entries.len())
}

/// The calls whose answer comes from a mserver.
fn calls() -> Vec<Call> {
    vec![
        call!("create_file_meta_data", CreateFile, true, |client| async {
            let created = client
                .create_file_meta_data("/new", CreateOptions::default())
                .await?;
            Ok::<_, Error>(created.file.meta_data())
        }),
        call!("get_file_meta_data", GetFile, false, |client| async {
            client.get_file_meta_data("/f").await.map(|open| open.file)
        }),
        call!("expand_file_size", ResizeFile, true, |client| client
            .expand_file_size("/f", 1 << 30)),
        call!("truncate", ResizeFile, true, |client| client
            .truncate("/f", 9)),
        call!("get_block_metadata", GetBlocks, false, |client| {
            get_block_metadata(client)
        }),
        call!("write_block", CommitBlocks, true, |client| write_block(
            client
        )),
        call!("write_block_array", CommitBlocks, true, |client| {
            write_block_array(client)
        }),
        call!("write_blocks", CommitBlocks, true, |client| write_blocks(
            client
        )),
        call!("put", FinishPut, true, |client| client.put(
            "/p",
            "bytes",
            small_blocks()
        )),
        call!("get", GetFile, false, |client| client.get("/f")),
        call!("open", GetFile, false, |client| client.open("/f")),
        call!("list", ListDirectory, false, |client| client
            .list("/")
            .try_collect::<Vec<_>>()),
        call!("stat", Stat, false, |client| client.stat("/f")),
        call!("delete", DeleteFile, true, |client| client.delete("/f")),
        call!("delete_all", DeleteFile, true, |client| client
            .delete_all("/d")),
        call!("rename", Rename, true, |client| client.rename("/f", "/g")),
        call!("rename_over", Rename, true, |client| client
            .rename_over("/f", "/large")),
        call!("mkdir", MakeDirectory, true, |client| client.mkdir("/d/e")),
        call!("mkdir_all", MakeDirectory, true, |client| client
            .mkdir_all("/x/y")),
        call!("set_attributes", SetAttributes, true, |client| async {
            let set = Attributes::from([("a".to_owned(), "b".to_owned())]);
            client.set_attributes("/f", set, &["c"]).await
        }),
        call!("set_quota", SetQuota, true, |client| client.set_quota(
            "/d",
            Some(9),
            None
        )),
        call!("put_user", PutUser, true, |client| async {
            let rights = vec![PathRight {
                path: FilePath::root(),
                access: Access::Read,
            }];
            let key = UserKey::of_secret("a secret of ann alone");
            client.put_user("ann", Some(key), rights).await
        }),
        call!("delete_user", DeleteUser, true, |client| client
            .delete_user("bob")),
        call!("list_users", ListUsers, false, |client| client.list_users()),
        call!("volume_map", GetVolumeMap, false, |client| client
            .volume_map()),
        call!("own_status", GetStatus, false, |client| client.own_status()),
    ]
}

/// A cluster with `/f` of three small blocks, `/large` of many, a directory and a user.
async fn prepared() -> (Kit, Client) {
    let kit = Kit::start();
    let client = kit.client().await;
    client
        .put("/f", vec![7; 150_000], small_blocks())
        .await
        .unwrap();
    client
        .put("/large", vec![7; 40 * 65_536], small_blocks())
        .await
        .unwrap();
    client.mkdir("/d").await.unwrap();
    client.put_user("bob", None, Vec::new()).await.unwrap();
    (kit, client)
}

#[actix_rt::test]
async fn every_call_succeeds() {
    for call in calls() {
        let (_kit, client) = prepared().await;
        (call.run)(client)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", call.name));
    }
}

/// Every refusal that repeating the call does not help against.
pub(crate) fn given_up() -> Vec<Refusal> {
    let path = FilePath::parse("/f").unwrap();
    let descriptor = FileDescriptor::default();
    let server = ServerId(5);
    let text = || "text".to_owned();
    let record = || {
        Box::new(ServerRecord {
            id: server,
            name: "dserver-2".into(),
            role: Role::Dserver,
            address: ([127, 0, 0, 1], 7_205).into(),
            zone: text(),
            state: ServerState::Leaving,
            change: 1,
        })
    };
    let of_path = |refusal: fn(FilePath) -> Refusal| refusal(path.clone());
    vec![
        of_path(|path| Refusal::NotFound { path }),
        of_path(|path| Refusal::IsDirectory { path }),
        of_path(|path| Refusal::NotDirectory { path }),
        of_path(|path| Refusal::NotEmpty { path }),
        of_path(|path| Refusal::IntoItself { path }),
        Refusal::Exists {
            path: path.clone(),
            descriptor,
        },
        Refusal::Denied {
            user: "admin".to_owned(),
            access: Access::Write,
            path: path.clone(),
        },
        Refusal::Quota {
            path: path.clone(),
            used: 1,
            limit: 1,
            unit: text(),
        },
        Refusal::Path(PathFault::EmptyName),
        Refusal::OutOfRange {
            what: text(),
            value: text(),
            allowed: text(),
        },
        Refusal::Conflict {
            block: 1,
            current: BlockVersion(2),
        },
        Refusal::Changed { revision: 7 },
        Refusal::Shared { descriptor },
        Refusal::NoSuchContent,
        Refusal::NoVolume { why: text() },
        Refusal::Malformed { why: text() },
        Refusal::NoSuchUser { name: text() },
        Refusal::NotInTrash {
            what: TrashName::Path(path),
        },
        Refusal::TooFewServers {
            server,
            staying: 1,
            needed: 2,
        },
        Refusal::VolumesFull {
            volumes: 2,
            server,
            free_bytes: 0,
        },
        Refusal::ServerExists { record: record() },
        Refusal::NoSuchServer {
            name: "dserver-2".into(),
        },
        Refusal::ServerState {
            record: record(),
            why: text(),
        },
    ]
}

#[actix_rt::test]
async fn every_refusal_reaches_the_caller() {
    let (kit, client) = prepared().await;
    // Otherwise a write in conflict is made again.
    let client = client.with(CallOptions {
        on_conflict: OnConflict::Fail,
        ..CallOptions::default()
    });
    for call in calls() {
        for refusal in given_up() {
            let before = kit.served(call.kind);
            kit.fault_everywhere(call.kind, &Fault::Refuse(refusal.clone()), 1_000);
            match (call.run)(client.clone()).await {
                Err(Error::Refused(told)) => assert_eq!(told, refusal, "{}", call.name),
                other => panic!("{} on {refusal}: {other:?}", call.name),
            }
            // The client asks for the volumes by itself now and then.
            if call.kind != CallKind::GetVolumeMap {
                assert_eq!(kit.served(call.kind), before + 1, "{}", call.name);
            }
            kit.no_more_faults();
        }
    }
}

#[actix_rt::test]
async fn every_call_goes_elsewhere() {
    for call in calls() {
        let (kit, client) = prepared().await;
        let before = kit.served(call.kind);
        for server in 1..=2 {
            kit.fault(server, call.kind, Fault::Lose, 1);
        }
        let outcome = (call.run)(client).await;
        outcome.unwrap_or_else(|error| panic!("{}: {error}", call.name));
        assert!(kit.served(call.kind) > before, "{}", call.name);
    }
}

#[actix_rt::test]
async fn a_lost_answer_is_asked_for_again() {
    for call in calls().into_iter().filter(|call| call.is_change) {
        let (kit, client) = prepared().await;
        let before = kit.model().outcomes.len();
        let served = kit.served(call.kind);
        kit.fault_everywhere(call.kind, &Fault::LoseAnswer, 1);
        let outcome = (call.run)(client).await;
        outcome.unwrap_or_else(|error| panic!("{}: {error}", call.name));
        assert_eq!(
            kit.model().outcomes.len(),
            before + 1,
            "{} was done once",
            call.name
        );
        assert_eq!(kit.served(call.kind), served + 4, "{}", call.name);
    }
}

#[actix_rt::test]
async fn a_repeated_request_is_done_once() {
    for call in calls().into_iter().filter(|call| call.is_change) {
        let (kit, client) = prepared().await;
        let request = Some(client.next_request());
        let client = client.with(CallOptions {
            request,
            ..CallOptions::default()
        });
        let first = (call.run)(client.clone()).await.unwrap();
        let outcomes = kit.model().outcomes.len();
        let second = match (call.run)(client).await {
            // What was looked at before the change is gone by then.
            Err(error) if error.is_not_found() => first.clone(),
            other => other.unwrap_or_else(|error| panic!("{}: {error}", call.name)),
        };
        assert_eq!(first, second, "{}", call.name);
        assert_eq!(kit.model().outcomes.len(), outcomes, "{}", call.name);
    }
}

/// How late a busy machine may notice that a deadline has passed; less than a call may take by
/// itself.
pub(crate) const LATENESS_MAX: Duration = Duration::from_secs(10);

#[actix_rt::test]
async fn every_call_ends_by_its_deadline() {
    let (kit, client) = prepared().await;
    for call in calls() {
        kit.fault_everywhere(call.kind, &Fault::Silence, 9);
        let mut wait = Duration::from_millis(120);
        loop {
            let client = client.with(CallOptions {
                timeout: Some(wait),
                ..CallOptions::default()
            });
            let asked = kit.served(call.kind);
            let begin = Instant::now();
            let outcome = (call.run)(client).await;
            assert!(begin.elapsed() < wait + LATENESS_MAX, "{}", call.name);
            match outcome {
                Err(Error::Unknown { .. }) => assert!(call.is_change, "{}", call.name),
                // A busy machine has let the time pass before the silent call was made.
                Err(Error::Deadline { .. })
                    if kit.served(call.kind) == asked && wait < LATENESS_MAX =>
                {
                    wait *= 4;
                    continue;
                }
                Err(Error::Deadline { .. }) => assert!(!call.is_change, "{}", call.name),
                other => panic!("{}: {other:?}", call.name),
            }
            break;
        }
        kit.no_more_faults();
    }
}

#[actix_rt::test]
async fn a_dropped_call_is_cancelled() {
    let (kit, client) = prepared().await;
    for (count, call) in (1..).zip(calls()) {
        kit.fault_everywhere(call.kind, &Fault::Silence, 1);
        tokio::select! {
            outcome = (call.run)(client.clone()) => panic!("{}: {outcome:?}", call.name),
            () = kit.until_kept(count) => {}
        }
        kit.until_cancelled(count).await;
        kit.no_more_faults();
    }
}

#[actix_rt::test]
async fn no_quorum_is_a_definite_failure() {
    let (kit, client) = prepared().await;
    let alone = Fault::Refuse(Refusal::NoQuorum {
        heard: 1,
        voters: 3,
    });
    kit.fault_everywhere(CallKind::MakeDirectory, &alone, 1_000);
    let timeout = Some(Duration::from_secs(2));
    let client = client.with(CallOptions {
        timeout,
        ..CallOptions::default()
    });
    let outcome = client.mkdir("/never").await;
    assert!(
        matches!(outcome, Err(Error::Refused(Refusal::NoQuorum { .. }))),
        "{outcome:?}"
    );
}

#[actix_rt::test]
async fn a_silent_mserver_is_left() {
    let (kit, client) = prepared().await;
    let first = client.own_status().await.unwrap().server;
    kit.fault(first.0, CallKind::Stat, Fault::Silence, 1_000);
    let begin = Instant::now();
    client.stat("/f").await.unwrap();
    assert!(begin.elapsed() < LATENESS_MAX);
    // Each that waited for the silent one again would take as long as an attempt.
    let begin = Instant::now();
    for _ in 0..20 {
        client.stat("/f").await.unwrap();
    }
    assert!(begin.elapsed() < LATENESS_MAX);
}

#[actix_rt::test]
async fn login_waits_for_users_not_known_yet() {
    let kit = Kit::start();
    kit.forget_users_for(12);
    kit.client().await;
}

#[actix_rt::test]
async fn wrong_secret_is_refused() {
    let kit = Kit::start();
    let mut options = kit.options();
    options.key = UserKey::of_secret("a secret that is wrong");
    let outcome = Client::connect(options).await;
    assert!(
        matches!(outcome, Err(Error::Login { .. } | Error::Untrusted(_))),
        "{outcome:?}"
    );
}

#[actix_rt::test]
async fn nobody_there_is_unreachable() {
    let kit = Kit::start();
    let options = kit.options();
    drop(kit);
    let outcome = Client::connect(options).await;
    assert!(
        matches!(outcome, Err(Error::Unreachable { .. })),
        "{outcome:?}"
    );
}

#[actix_rt::test]
async fn via_talks_to_that_server_only() {
    let kit = Kit::start();
    for (via, id) in [("mserver-1", 1), ("mserver-2", 2), ("mserver-3", 3)] {
        let mut options = kit.options();
        options.via = Some(via.to_owned());
        let client = Client::connect(options).await.unwrap();
        assert_eq!(client.own_status().await.unwrap().server.0, id);
    }
    let mut options = kit.options();
    options.via = Some("dserver-1".to_owned());
    assert!(matches!(
        Client::connect(options.clone()).await,
        Err(Error::NotMserver { .. })
    ));
    options.via = Some("nobody".to_owned());
    assert!(matches!(
        Client::connect(options).await,
        Err(Error::UnknownServer { .. })
    ));
}

#[actix_rt::test]
async fn one_address_is_enough() {
    let kit = Kit::start();
    let address = kit.config.servers[1].address;
    let mut options = kit.options();
    options.servers = sdfs_client::Servers::Mservers(vec![address]);
    let client = Client::connect(options).await.unwrap();
    client
        .put("/f", "found", PutOptions::default())
        .await
        .unwrap();
    assert_eq!(client.get("/f").await.unwrap(), "found");
    assert_eq!(client.status("dserver-3").await.unwrap().server.0, 6);
}

#[actix_rt::test]
async fn a_client_works_from_other_threads() {
    let kit = Kit::start();
    let client = kit.client().await;
    let there = client.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime
            .block_on(there.put("/f", "from there", PutOptions::default()))
            .unwrap();
    });
    let done = async {
        while !thread.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), done).await.unwrap();
    assert_eq!(client.get("/f").await.unwrap(), "from there");
}

#[test]
fn handles_go_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<Client>();
    shared::<sdfs_client::File>();
    shared::<sdfs_client::ByteStream>();
    shared::<Error>();
    sent::<sdfs_client::FileWriter>();
    sent::<sdfs_client::Entries>();
}
