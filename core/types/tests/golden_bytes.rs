//! The wire form of calls and records, byte by byte. A change here is a change of the protocol:
//! servers of two versions would misread each other. Add a variant or a call instead.

use sdfs_server_group::Trace;
use sdfs_types::calls::activity::{
    Activity, CallActivity, Happened, LogActivity, Severity, SlowActivity,
};
use sdfs_types::calls::anonymous::{FreeAnonymous, LeaseReads, LeaseStamps, StampsLeased};
use sdfs_types::calls::behalf::{CheckLogin, LoginChecked, OnBehalf};
use sdfs_types::calls::blocks::{Durability, ReadBlock, WriteBlock};
use sdfs_types::calls::content::{
    ContentChallenge, ContentLinked, ContentProof, ContentRange, DigestBlock, DigestHow,
    LinkContent, ShareContent, Sharing,
};
use sdfs_types::calls::names::{
    BeginPut, CreateFile, FileOptions, Freshness, GetFile, PutBeginning, PutBegun, RenewGrant,
};
use sdfs_types::calls::negotiation::{
    AreNeeded, Ballot, CanCreate, CanCreateAsk, GetTimeline, TimelinePart, Vote,
};
use sdfs_types::calls::servers::{ChangeServers, GetServers, GroupLed, ServerOrder, ServersTold};
use sdfs_types::calls::trace_paths::{TraceOrder, TracePaths, TracedNow, TracedPath};
use sdfs_types::calls::trash::{
    DeleteNow, EmptyTrash, ListTrash, RestoreTrash, TrashEmptied, TrashEntry, TrashName, TrashPage,
};
use sdfs_types::{
    BlockDescriptor, BlockEntry, BlockIndex, BlockPage, BlockSize, BlockVersion, Epoch,
    FileDescriptor, FileId, FilePath, FileVersion, Grant, GrantRights, Locate, MemberState,
    MetaGroup, PutProof, Refusal, RequestId, Role, ServerId, ServerList, ServerRecord, ServerState,
    Stamp, TraceStep, TraceWhat, Traced, Volume, VolumeId, VolumeMember, VolumeStatus, wire,
};

const REQUEST: RequestId = RequestId {
    client: 0x0102_0304,
    sequence: 9,
};

fn path(text: &str) -> FilePath {
    FilePath::parse(text).expect("a path")
}

fn block() -> BlockDescriptor {
    BlockDescriptor {
        file: FileDescriptor {
            id: FileId(300),
            version: FileVersion(2),
        },
        block: BlockIndex(65_535),
        version: BlockVersion(1),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check<T>(value: &T, golden: &str)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let bytes = wire::encode(value);
    assert_eq!(hex(&bytes), golden, "{value:?}");
    assert_eq!(&wire::decode::<T>(&bytes).expect("decodes"), value);
}

#[test]
fn create_file_keeps_its_bytes() {
    let call = CreateFile {
        request: REQUEST,
        path: path("/a/文"),
        size_bytes: 1 << 32,
        options: FileOptions {
            block_size: Some(BlockSize::default()),
            attributes: [("k".to_owned(), "v".to_owned())].into(),
            make_parents: true,
        },
        explain: false,
    };
    check(
        &call,
        "018486880809062f612fe696878080808010011601016b01760100",
    );
}

#[test]
fn get_file_keeps_its_bytes() {
    let call = GetFile {
        path: path("/a"),
        write: true,
        freshness: Freshness::Local,
    };
    check(&call, "01022f610101");
}

#[test]
fn puts_keep_their_bytes() {
    let begin = BeginPut {
        request: REQUEST,
        path: path("/a"),
        size_bytes: Some(3),
        options: FileOptions::default(),
        replace: true,
        may_be_repeated: false,
    };
    check(&begin, "018486880809022f6101030000000100");
    let proof = PutProof([0x50; 16]);
    let grant = Grant {
        descriptor: block().file,
        rights: GrantRights::Write,
        expires_ms: 1 << 40,
        mac: [0x6d; 16],
    };
    let begun = PutBegun {
        descriptor: block().file,
        block_size: BlockSize::default(),
        locate: Locate {
            group: MetaGroup(1),
            main: ServerId(2),
            slaves: vec![ServerId(3)],
        },
        plan: Vec::new(),
        grant,
        proof,
    };
    let granted = "ac0202018080808080206d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d";
    let proven = "50505050505050505050505050505050";
    let begun = PutBeginning::Begun(begun);
    check(&begun, &format!("0100ac0202160102010300{granted}{proven}"));
    let renew = RenewGrant {
        request: REQUEST,
        path: path("/a"),
        descriptor: block().file,
        proof,
    };
    check(&renew, &format!("018486880809022f61ac0202{proven}"));
    check(&grant, &format!("01{granted}"));
}

#[test]
fn write_block_keeps_its_bytes() {
    let call = WriteBlock {
        volume: VolumeId(5),
        epoch: Epoch(3),
        block: block(),
        crc32c: 0xdead_beef,
        durability: Durability::Synced,
        grant: None,
    };
    check(&call, "010503ac0202ffff0301effdb6f50d0000");
}

#[test]
fn read_block_keeps_its_bytes() {
    let call = ReadBlock {
        volume: VolumeId(5),
        block: block(),
        offset_bytes: 4_096,
        length_bytes: 100,
        grant: None,
    };
    check(&call, "0105ac0202ffff030180206400");
}

#[test]
fn orders_for_traces_keep_their_bytes() {
    let what = TracedPath::parse("/a/").expect("a path");
    let order = |order| TracePaths {
        user: "ann".to_owned(),
        order,
    };
    check(&order(TraceOrder::On(what.clone())), "0103616e6e00022f6101");
    check(
        &order(TraceOrder::Off(what.clone())),
        "0103616e6e01022f6101",
    );
    check(&order(TraceOrder::Show), "0103616e6e02");
    let now = vec![TracedNow {
        what,
        by: "ann".to_owned(),
        since_ms: 1,
        until_ms: 300,
    }];
    check(&now, "0101022f610103616e6e01ac02");
}

#[test]
fn votes_keep_their_bytes() {
    let ballot = Ballot {
        round: 1,
        coordinator: ServerId(2),
        sequence: 3,
    };
    let asks = CanCreate {
        asks: vec![Traced {
            trace: Trace::from_wire((300, 5)),
            ask: CanCreateAsk {
                path: path("/n"),
                owner: "admin".into(),
                size_bytes: 7,
                request: REQUEST,
                replace: false,
                ballot,
            },
        }],
    };
    check(&asks, "0101ac0205022f6e0561646d696e07848688080900010203");
    let votes = vec![
        Vote::Can {
            load: 4,
            free_bytes: 1_000,
        },
        Vote::Cannot {
            refusal: Refusal::NotFound { path: path("/n") },
        },
        Vote::Outranked { by: ballot },
    ];
    check(&votes, "01030004e8070100022f6e02010203");
}

#[test]
fn volumes_keep_their_bytes() {
    let volume = Volume {
        id: VolumeId(9),
        epoch: Epoch(2),
        members: vec![
            VolumeMember {
                server: ServerId(4),
                state: MemberState::InSync,
            },
            VolumeMember {
                server: ServerId(5),
                state: MemberState::Syncing,
            },
            VolumeMember {
                server: ServerId(6),
                state: MemberState::Out,
            },
        ],
        status: VolumeStatus::Degraded,
    };
    check(&volume, "0109020304000501060201");
}

#[test]
fn block_pages_keep_their_bytes() {
    let page = BlockPage {
        first: 128,
        entries: vec![
            BlockEntry::default(),
            BlockEntry {
                version: BlockVersion(1),
                volume: VolumeId(2),
                length_bytes: 65_536,
                crc32c: 1,
            },
        ],
    };
    check(&page, "0180010200000000010280800401");
}

#[test]
fn refusals_keep_their_bytes() {
    let answer: Result<(), Refusal> = Err(Refusal::NoSuchBlock);
    assert_eq!(hex(&wire::encode_answer(&answer)), "01010f");
    let done: Result<u32, Refusal> = Ok(300);
    assert_eq!(hex(&wire::encode_answer(&done)), "0100ac02");
}

#[test]
fn trash_keeps_its_bytes() {
    let delete = DeleteNow {
        request: REQUEST,
        path: path("/a"),
        recursive: true,
    };
    check(&delete, "018486880809022f6101");
    let list = ListTrash {
        path: path("/a"),
        after: Some(path("/a/b")),
        limit: 300,
    };
    check(&list, "01022f6101042f612f62ac02");
    let page = TrashPage {
        entries: vec![TrashEntry {
            path: path("/a/c"),
            descriptor: block().file,
            size_bytes: 1_000,
            owner: "ann".into(),
            created_ms: 1,
            deleted_by: "bob".into(),
            deleted_ms: 2,
            until_ms: 300,
        }],
        next: None,
        is_growing: true,
    };
    check(
        &page,
        "0101042f612f63ac0202e80703616e6e0103626f6202ac020001",
    );
    let restore = |what| RestoreTrash {
        request: REQUEST,
        what,
        to: Some(path("/b")),
        replace: true,
    };
    check(
        &restore(TrashName::Path(path("/a"))),
        "01848688080900022f6101022f6201",
    );
    check(
        &restore(TrashName::Descriptor(block().file)),
        "01848688080901ac020201022f6201",
    );
    let empty = EmptyTrash {
        request: REQUEST,
        path: path("/"),
        older_than_ms: 300,
        after: None,
    };
    check(&empty, "018486880809012fac0200");
    let emptied = TrashEmptied {
        files: 3,
        bytes: 1_000,
        next: Some(path("/a")),
    };
    check(&emptied, "0103e80701022f61");
    let what = TrashName::Path(path("/a"));
    check(&Refusal::NotInTrash { what }, "011d00022f61");
    let full = Refusal::VolumesFull {
        volumes: 4,
        server: ServerId(5),
        free_bytes: 300,
    };
    check(&full, "011f0405ac02");
}

#[test]
fn the_list_of_servers_keeps_its_bytes() {
    check(&GetServers { known_version: 300 }, "01ac02");
    let address = ([127, 0, 0, 1], 7_204).into();
    let order = |order| ChangeServers { order };
    let join = ServerOrder::Join {
        name: "d-4".into(),
        role: Role::Dserver,
        address,
        zone: "a".to_owned(),
    };
    let place = "007f000001a4380161";
    check(&order(join), &format!("010003642d3401{place}"));
    let name = || "d-4".into();
    check(&order(ServerOrder::Leave { name: name() }), "010103642d34");
    check(
        &order(ServerOrder::Replace { name: name() }),
        "010203642d34",
    );
    let record = ServerRecord {
        id: ServerId(7),
        name: name(),
        role: Role::Dserver,
        address,
        zone: "a".to_owned(),
        state: ServerState::Leaving,
        change: 300,
    };
    let bytes = format!("0703642d3401{place}02ac02");
    check(&record, &format!("01{bytes}"));
    let told = ServersTold {
        list: Some(ServerList {
            version: 9,
            servers: [(record.id, record.clone())].into(),
        }),
        up: vec![ServerId(1), ServerId(7)],
        forgotten: vec![(ServerId(2), 5)],
        led: vec![GroupLed {
            group: 0,
            voters: vec![ServerId(1), ServerId(2)],
        }],
    };
    check(&told, &format!("0101090107{bytes}0201070102050100020102"));
    let exists = Refusal::ServerExists {
        record: Box::new(record),
    };
    check(&exists, &format!("0120{bytes}"));
    check(&Refusal::NoSuchServer { name: name() }, "012103642d34");
}

#[test]
fn anonymous_calls_keep_their_bytes() {
    check(&LeaseStamps { now_s: 300 }, "01ac02");
    let leased = StampsLeased {
        from_s: 300,
        until_s: 320,
    };
    check(&leased, "01ac02c002");
    let reads = LeaseReads { known_version: 300 };
    check(&reads, "01ac02");
    let stamp = Stamp {
        second: 300,
        number: 1,
        server: ServerId(4),
    };
    let free = FreeAnonymous {
        volume: VolumeId(7),
        epoch: Epoch(5),
        blocks: vec![stamp.block()],
    };
    check(&free, "01070501ac0281808080080401");
}

#[test]
fn calls_on_behalf_keep_their_bytes() {
    let check_login = CheckLogin {
        user: "ann".to_owned(),
        challenge: "c".to_owned(),
        proof: [7; 32],
    };
    check(&check_login, &format!("0103616e6e0163{}", "07".repeat(32)));
    check(&LoginChecked::Right { is_admin: true }, "010001");
    check(&LoginChecked::Wrong, "0101");
    check(&LoginChecked::CannotTell, "0102");
    let on_behalf = OnBehalf {
        user: "ann".to_owned(),
        kind: 0x0212,
        call: vec![1],
    };
    check(&on_behalf, "0103616e6e92040101");
}

#[test]
fn activity_keeps_its_bytes() {
    let activity = Activity {
        now_ms: 300,
        zone: "a".to_owned(),
        calls: vec![CallActivity {
            kind: 0x0203,
            counts: vec![1, 2],
            sum_us: 5,
        }],
        slowest: vec![SlowActivity {
            kind: 0x0201,
            took_us: 300,
            ended_ms: 1,
            from: "b".to_owned(),
            trace: Trace::from_wire((7, 6)),
        }],
        bytes_in: 1,
        bytes_out: 2,
        clients: 3,
        logs: vec![LogActivity {
            log: "r".to_owned(),
            syncs: 1,
            records: 2,
            record_bytes: 3,
            queued_bytes: 4,
            total_bytes: 5,
        }],
        not_ready: vec!["x".to_owned()],
        alone_since_ms: Some(300),
        events: vec![Happened {
            at_ms: 300,
            severity: Severity::Trouble,
            what: "y".to_owned(),
        }],
    };
    check(
        &activity,
        "01ac02016101830402010205018104ac02010162070601020301017201020304\
         0501017801ac0201ac02020179",
    );
}

#[test]
fn timelines_keep_their_bytes() {
    let request = RequestId {
        client: 1,
        sequence: 2,
    };
    check(&GetTimeline { request }, "010102");
    let part = TimelinePart {
        began_ms: 300,
        trace: sdfs_types::Trace {
            steps: vec![TraceStep {
                at_us: 5,
                server: ServerId(1),
                what: TraceWhat::Decided,
            }],
        },
    };
    check(&vec![part], "0101ac0201050106");
}

#[test]
fn contents_keep_their_bytes() {
    let digest = [0x64; 32];
    let told = "64".repeat(32);
    let proof = ContentProof {
        key: [0x6b; 32],
        sum: [0x73; 32],
    };
    let link = LinkContent {
        request: REQUEST,
        path: path("/a"),
        digest,
        size_bytes: 300,
        make_parents: true,
        replace: false,
        proof: Some(proof),
    };
    let (key, sum) = ("6b".repeat(32), "73".repeat(32));
    check(
        &link,
        &format!("018486880809022f61{told}ac02010001{key}{sum}"),
    );
    check(&ContentLinked::Unknown, "0100");
    let challenge = ContentChallenge {
        key: [0x6b; 32],
        ranges: vec![ContentRange {
            offset_bytes: 1,
            length_bytes: 2,
        }],
    };
    check(
        &ContentLinked::Prove(challenge),
        &format!("0101{key}010102"),
    );
    let share = ShareContent {
        path: path("/a"),
        descriptor: block().file,
    };
    check(&share, "01022f61ac0202");
    let sharing = Sharing {
        contents: 1,
        names: 2,
        bytes: 3,
        saved_bytes: 4,
    };
    check(&sharing, "0101020304");
    let ask = DigestBlock {
        volume: VolumeId(7),
        block: block(),
        crc32c: 5,
        offset_bytes: 1,
        length_bytes: 2,
        how: DigestHow::Subtree(65_536),
    };
    check(&ask, "0107ac0202ffff030105010201808004");
    check(
        &Refusal::Shared {
            descriptor: block().file,
        },
        "0124ac0202",
    );
    check(&Refusal::NoSuchContent, "0125");
    let needed = AreNeeded {
        volume: VolumeId(7),
        blocks: vec![block()],
    };
    check(&needed, "010701ac0202ffff0301");
}
