//! The wire form of every call, byte by byte, and of the answers beside it. A change here is a
//! change of the protocol: servers of two versions would misread each other.

use std::fmt::Debug;

use sdfs_server_group::Trace;
use sdfs_types::calls::activity::GetActivity;
use sdfs_types::calls::anonymous::{FreeAnonymous, LeaseReads, LeaseStamps};
use sdfs_types::calls::behalf::{CheckLogin, OnBehalf};
use sdfs_types::calls::blocks::{
    AcceptAsk, AcceptFiles, BlockKept, BlockRange, BlockStored, Durability, FreeBlocks,
    FreeOldBlocks, ListVolume, PushVolumes, ReadBlock, SyncVolume, VolumePage, VolumesKept,
    WriteBlock, WriteCopy,
};
use sdfs_types::calls::content::{
    ContentLinked, ContentShared, DigestBlock, DigestHow, GetSharing, LinkContent, ShareContent,
};
use sdfs_types::calls::inspect::{
    CopiesPage, Inspect, InspectAnswer, InspectAsk, ListCopies, RecordListed, RecordPage,
};
use sdfs_types::calls::maintenance::{
    Maintain, Maintenance, MaintenanceOrder, Ordered, SetHealRate,
};
use sdfs_types::calls::names::{
    AbortPut, BeginPut, BlockWritten, BlocksGot, CommitBlocks, CreateFile, DeleteFile, DeleteUser,
    DirectoryEntry, DirectoryPage, FileCreated, FileDeleted, FileOptions, FileStat, FinishPut,
    Freshness, GetBlocks, GetFile, GetVolumeMap, ListDirectory, ListUsers, MakeDirectory,
    PutBeginning, PutBegun, PutFinished, PutUser, Quota, Rename, RenewGrant, Resize, ResizeFile,
    Scrub, ScrubBegun, SetAttributes, SetQuota, Stat, UserListed,
};
use sdfs_types::calls::negotiation::{
    AreNeeded, AtMain, Ballot, CanCreate, CanCreateAsk, CreateMetaData, GetTimeline, MainAnswer,
    MainAsk, MayForget, MetaDataCreated, MetaDataWanted, Release, ReportSync, ReportTrouble,
    Trouble,
};
use sdfs_types::calls::servers::{ChangeServers, GetServers, ServerOrder};
use sdfs_types::calls::status::{
    BeginScrub, GetStatus, GroupStatus, PeerStatus, ScrubStatus, ServerStatus, SpaceStatus,
    SyncStatus, VolumeKept,
};
use sdfs_types::calls::trace_paths::{TraceOrder, TracePaths};
use sdfs_types::calls::trash::{DeleteNow, EmptyTrash, ListTrash, RestoreTrash, TrashName};
use sdfs_types::calls::{Call, CallKind};
use sdfs_types::{
    Access, BlockDescriptor, BlockEntry, BlockIndex, BlockPage, BlockSize, BlockVersion, Digest,
    EntryKind, Epoch, FileDescriptor, FileId, FileMetaData, FileMetaMetaData, FilePath,
    FileVersion, Grant, GrantRights, Locate, MemberState, MetaGroup, OpenFile, PathRight, PutProof,
    Refusal, RequestId, Role, ServerId, TraceStep, TraceWhat, Traced, Volume, VolumeId, VolumeMap,
    VolumeMember, VolumeStatus, wire,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

const REQUEST: RequestId = RequestId {
    client: 0x0102_0304,
    sequence: 9,
};
const FILE: FileDescriptor = FileDescriptor {
    id: FileId(300),
    version: FileVersion(2),
};
const BLOCK: BlockDescriptor = BlockDescriptor {
    file: FILE,
    block: BlockIndex(65_535),
    version: BlockVersion(1),
};
const ENTRY: BlockEntry = BlockEntry {
    version: BlockVersion(1),
    volume: VolumeId(2),
    length_bytes: 300,
    crc32c: 5,
};
const KEPT: BlockKept = BlockKept {
    block: BLOCK,
    length_bytes: 300,
    crc32c: 5,
};
const GRANT: Grant = Grant {
    descriptor: FILE,
    rights: GrantRights::Write,
    expires_ms: 1 << 40,
    mac: [0x6d; 16],
};
const BALLOT: Ballot = Ballot {
    round: 1,
    coordinator: ServerId(2),
    sequence: 3,
};

// The bytes of what is above and below, in that order.
const R: &str = "8486880809";
const F: &str = "ac0202";
const B: &str = "ac0202ffff0301";
const E: &str = "0102ac0205";
const K: &str = "ac0202ffff0301ac0205";
const G: &str = "ac0202018080808080206d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d";
/// `/a`
const A: &str = "022f61";
const LOCATE: &str = "01020103";
const NAME: &str = "016eac02020084868808090101020103ac021603616e6e01";
const DIGEST: &str = "6464646464646464646464646464646464646464646464646464646464646464";
const PROOF: &str = "50505050505050505050505050505050";
const VOLUME: &str = "090201040003";
const PAGE: &str = "8001010102ac0205";

fn path(text: &str) -> FilePath {
    FilePath::parse(text).expect("a path")
}

fn a() -> FilePath {
    path("/a")
}

fn locate() -> Locate {
    Locate {
        group: MetaGroup(1),
        main: ServerId(2),
        slaves: vec![ServerId(3)],
    }
}

fn name() -> FileMetaMetaData {
    FileMetaMetaData {
        name: "n".into(),
        descriptor: FILE,
        kind: EntryKind::File,
        request: REQUEST,
        locate: Some(locate()),
        size_bytes: 300,
        block_size: BlockSize::default(),
        owner: "ann".into(),
        created_ms: 1,
    }
}

fn meta_data() -> FileMetaData {
    FileMetaData {
        descriptor: FILE,
        size_bytes: 300,
        block_size: BlockSize::default(),
        created_ms: 1,
        modified_ms: 2,
        owner: "ann".into(),
        attributes: [("k".to_owned(), "v".to_owned())].into(),
        digest: Some(Digest::Blake3([0x64; 32])),
        plan: vec![VolumeId(5)],
        revision: 7,
    }
}

/// The bytes of [`meta_data`].
fn meta() -> String {
    format!("{F}ac0216010203616e6e01016b01760100{DIGEST}010507")
}

fn volume() -> Volume {
    Volume {
        id: VolumeId(9),
        epoch: Epoch(2),
        members: vec![VolumeMember {
            server: ServerId(4),
            state: MemberState::InSync,
        }],
        status: VolumeStatus::Full,
    }
}

fn page() -> BlockPage {
    BlockPage {
        first: 128,
        entries: vec![ENTRY],
    }
}

fn begun() -> PutBegun {
    PutBegun {
        descriptor: FILE,
        block_size: BlockSize::default(),
        locate: locate(),
        plan: vec![volume()],
        grant: GRANT,
        proof: PutProof([0x50; 16]),
    }
}

fn traced<T>(ask: T) -> Traced<T> {
    Traced {
        trace: Trace::from_wire((300, 5)),
        ask,
    }
}

fn rights(access: Access) -> Vec<PathRight> {
    vec![PathRight { path: a(), access }]
}

/// The kinds whose bytes were compared, and what was wrong with them.
#[derive(Default)]
struct Compared {
    kinds: Vec<CallKind>,
    wrong: Vec<String>,
}

impl Compared {
    fn call<C: Call + PartialEq + Debug>(&mut self, call: &C, golden: &str) {
        self.kinds.push(C::KIND);
        self.record(call, golden);
    }

    /// What a call is answered with.
    fn reply<C: Call>(&mut self, reply: &C::Reply, golden: &str)
    where
        C::Reply: PartialEq + Debug,
    {
        self.record(reply, golden);
    }

    fn record<T>(&mut self, value: &T, golden: &str)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        let bytes = wire::encode(value);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = format!("01{golden}");
        if hex != golden {
            self.wrong
                .push(format!("{value:?}\n  is     {hex}\n  not    {golden}"));
        } else if wire::decode::<T>(&bytes).ok().as_ref() != Some(value) {
            self.wrong.push(format!("{value:?} does not read back"));
        }
    }
}

fn calls_on_names(all: &mut Compared) {
    all.call(
        &GetFile {
            path: a(),
            write: true,
            freshness: Freshness::Local,
        },
        &format!("{A}0101"),
    );
    let open = OpenFile {
        name: name(),
        file: meta_data(),
        blocks: page(),
        volumes: vec![volume()],
        grant: GRANT,
    };
    let opened = format!("{NAME}{}{PAGE}01{VOLUME}{G}", meta());
    all.reply::<GetFile>(&open, &opened);
    let create = CreateFile {
        request: REQUEST,
        path: a(),
        size_bytes: 300,
        options: FileOptions::default(),
        explain: true,
    };
    all.call(&create, &format!("{R}{A}ac0200000001"));
    let step = TraceStep {
        at_us: 5,
        server: ServerId(1),
        what: TraceWhat::Decided,
    };
    let trace = Some(sdfs_types::Trace { steps: vec![step] });
    all.reply::<CreateFile>(&FileCreated { open, trace }, &format!("{opened}0101050106"));
}

fn calls_on_records(all: &mut Compared) {
    all.call(
        &GetBlocks {
            descriptor: FILE,
            group: MetaGroup(1),
            grant: GRANT,
            first: 128,
            count: 300,
            freshness: Freshness::Linearizable,
        },
        &format!("{F}01{G}8001ac0200"),
    );
    all.reply::<GetBlocks>(
        &BlocksGot {
            file: meta_data(),
            page: page(),
            volumes: vec![volume()],
        },
        &format!("{}{PAGE}01{VOLUME}", meta()),
    );
    all.call(
        &Stat {
            path: a(),
            freshness: Freshness::Local,
        },
        &format!("{A}01"),
    );
    let quota = Quota {
        files_max: Some(3),
        bytes_max: None,
        files_used: 1,
        bytes_used: 300,
    };
    all.reply::<Stat>(
        &FileStat {
            name: name(),
            file: Some(meta_data()),
            quota: Some(quota),
        },
        &format!("{NAME}01{}0101030001ac02", meta()),
    );
}

fn calls_of_puts(all: &mut Compared) {
    let begin = BeginPut {
        request: REQUEST,
        path: a(),
        size_bytes: Some(3),
        options: FileOptions::default(),
        replace: true,
        may_be_repeated: false,
    };
    all.call(&begin, &format!("{R}{A}01030000000100"));
    all.reply::<BeginPut>(
        &PutBeginning::Finished { name: name() },
        &format!("01{NAME}"),
    );
    let finish = FinishPut {
        request: REQUEST,
        path: a(),
        descriptor: FILE,
        block_size: BlockSize::default(),
        locate: locate(),
        grant: GRANT,
        size_bytes: 300,
        blocks: vec![ENTRY],
        digest: Some(Digest::Blake3([0x64; 32])),
        options: FileOptions::default(),
        replace: true,
    };
    all.call(
        &finish,
        &format!("{R}{A}{F}16{LOCATE}{G}ac0201{E}0100{DIGEST}00000001"),
    );
    all.reply::<FinishPut>(&PutFinished::Done { name: name() }, &format!("00{NAME}"));
    all.reply::<FinishPut>(
        &PutFinished::Redo { begun: begun() },
        &format!("01{F}16{LOCATE}01{VOLUME}{G}{PROOF}"),
    );
    let renew = RenewGrant {
        request: REQUEST,
        path: a(),
        descriptor: FILE,
        proof: PutProof([0x50; 16]),
    };
    all.call(&renew, &format!("{R}{A}{F}{PROOF}"));
    let abort = AbortPut {
        request: REQUEST,
        path: a(),
        descriptor: FILE,
        proof: PutProof([0x50; 16]),
        locate: locate(),
        blocks: vec![ENTRY],
    };
    all.call(&abort, &format!("{R}{A}{F}{PROOF}{LOCATE}01{E}"));
    let commit = CommitBlocks {
        request: REQUEST,
        descriptor: FILE,
        group: MetaGroup(1),
        grant: GRANT,
        written: vec![BlockWritten {
            block: BlockIndex(65_535),
            previous: BlockVersion::NONE,
            entry: ENTRY,
        }],
        size_bytes_at_least: 300,
        revision: None,
    };
    all.call(&commit, &format!("{R}{F}01{G}01ffff0300{E}ac0200"));
    all.reply::<CommitBlocks>(&meta_data(), &meta());
    let resize = ResizeFile {
        request: REQUEST,
        path: a(),
        descriptor: FILE,
        size_bytes: 300,
        resize: Resize::Truncate,
        revision: Some(7),
    };
    all.call(&resize, &format!("{R}{A}{F}ac02010107"));
}

fn calls_on_directories(all: &mut Compared) {
    let delete = DeleteFile {
        request: REQUEST,
        path: a(),
        recursive: true,
    };
    all.call(&delete, &format!("{R}{A}01"));
    all.reply::<DeleteFile>(&FileDeleted { descriptor: FILE }, F);
    let rename = Rename {
        request: REQUEST,
        from: a(),
        to: path("/b"),
        replace: true,
    };
    all.call(&rename, &format!("{R}{A}022f6201"));
    all.reply::<Rename>(&name(), NAME);
    let make = MakeDirectory {
        request: REQUEST,
        path: a(),
        parents: true,
    };
    all.call(&make, &format!("{R}{A}01"));
    let list = ListDirectory {
        path: a(),
        after: Some("b".into()),
        limit: 300,
        freshness: Freshness::Local,
    };
    all.call(&list, &format!("{A}010162ac0201"));
    let entry = DirectoryEntry {
        name: "n".into(),
        descriptor: FILE,
        kind: EntryKind::Directory,
        size_bytes: 300,
        created_ms: 1,
    };
    let entries = vec![entry];
    all.reply::<ListDirectory>(
        &DirectoryPage {
            entries,
            more: true,
        },
        &format!("01016e{F}01ac020101"),
    );
    let set = SetAttributes {
        request: REQUEST,
        path: a(),
        descriptor: FILE,
        set: [("k".to_owned(), "v".to_owned())].into(),
        remove: vec!["x".to_owned()],
    };
    all.call(&set, &format!("{R}{A}{F}01016b0176010178"));
    let quota = SetQuota {
        request: REQUEST,
        path: a(),
        files_max: Some(3),
        bytes_max: Some(300),
    };
    all.call(&quota, &format!("{R}{A}010301ac02"));
}

fn calls_on_users_and_trash(all: &mut Compared) {
    let user = PutUser {
        request: REQUEST,
        name: "ann".into(),
        key: Some([0x64; 32]),
        rights: rights(Access::Write),
    };
    all.call(&user, &format!("{R}03616e6e01{DIGEST}01{A}01"));
    all.reply::<PutUser>(&(), "");
    let delete = DeleteUser {
        request: REQUEST,
        name: "ann".into(),
    };
    all.call(&delete, &format!("{R}03616e6e"));
    all.call(&ListUsers {}, "");
    let listed = UserListed {
        name: "ann".into(),
        rights: rights(Access::Admin),
    };
    all.reply::<ListUsers>(&vec![listed], &format!("0103616e6e01{A}02"));
    let delete = DeleteNow {
        request: REQUEST,
        path: a(),
        recursive: true,
    };
    all.call(&delete, &format!("{R}{A}01"));
    let list = ListTrash {
        path: a(),
        after: None,
        limit: 300,
    };
    all.call(&list, &format!("{A}00ac02"));
    let restore = RestoreTrash {
        request: REQUEST,
        what: TrashName::Path(a()),
        to: None,
        replace: false,
    };
    all.call(&restore, &format!("{R}00{A}0000"));
    let empty = EmptyTrash {
        request: REQUEST,
        path: a(),
        older_than_ms: 300,
        after: None,
    };
    all.call(&empty, &format!("{R}{A}ac0200"));
}

fn calls_on_contents(all: &mut Compared) {
    let link = LinkContent {
        request: REQUEST,
        path: a(),
        digest: [0x64; 32],
        size_bytes: 300,
        make_parents: true,
        replace: false,
        proof: None,
    };
    all.call(&link, &format!("{R}{A}{DIGEST}ac02010000"));
    all.reply::<LinkContent>(
        &ContentLinked::Linked { name: name() },
        &format!("02{NAME}"),
    );
    let share = ShareContent {
        path: a(),
        descriptor: FILE,
    };
    all.call(&share, &format!("{A}{F}"));
    let shared = ContentShared {
        name: name(),
        digest: [0x64; 32],
    };
    all.reply::<ShareContent>(&shared, &format!("{NAME}{DIGEST}"));
    all.call(&GetSharing {}, "");
    let hows = [
        (DigestHow::Plain, "00".to_owned()),
        (DigestHow::Subtree(300), "01ac02".to_owned()),
        (DigestHow::Keyed([0x64; 32]), format!("02{DIGEST}")),
    ];
    for (how, golden) in hows {
        let digest = DigestBlock {
            volume: VolumeId(7),
            block: BLOCK,
            crc32c: 5,
            offset_bytes: 1,
            length_bytes: 2,
            how,
        };
        all.call(&digest, &format!("07{B}050102{golden}"));
    }
    all.reply::<DigestBlock>(&[0x64; 32], DIGEST);
}

fn calls_of_operators(all: &mut Compared) {
    all.call(&Scrub {}, "");
    let begun = ScrubBegun {
        begun: vec![ServerId(4)],
        unreached: vec![ServerId(5)],
    };
    all.reply::<Scrub>(&begun, "01040105");
    let server = ServerId(4);
    let bytes_per_s = Some(300);
    let orders = [
        (MaintenanceOrder::Show, "00"),
        (MaintenanceOrder::Drain { server }, "0104"),
        (MaintenanceOrder::StopDrain { server }, "0204"),
        (MaintenanceOrder::PauseHealing, "03"),
        (MaintenanceOrder::StartHealing, "04"),
        (MaintenanceOrder::LimitHealing { bytes_per_s }, "0501ac02"),
        (MaintenanceOrder::Rebalance, "06"),
        (MaintenanceOrder::StopRebalance, "07"),
    ];
    for (order, golden) in orders {
        all.call(&Maintain { order }, golden);
    }
    let ordered = || Ordered {
        by: "ann".to_owned(),
        at_ms: 300,
    };
    let maintenance = Maintenance {
        version: 7,
        draining: [(server, ordered())].into(),
        healing_paused: None,
        heal_bytes_per_s: bytes_per_s,
        rebalancing: Some(ordered()),
    };
    all.reply::<Maintain>(&maintenance, "07010403616e6eac020001ac020103616e6eac02");
    all.call(&SetHealRate { bytes_per_s }, "01ac02");
    all.call(&BeginScrub {}, "");
    let name = "d".into();
    let order = ServerOrder::Leave { name };
    all.call(&ChangeServers { order }, "010164");
    all.call(&GetServers { known_version: 300 }, "ac02");
    let user = "ann".to_owned();
    let order = TraceOrder::Show;
    all.call(&TracePaths { user, order }, "03616e6e02");
    all.call(&GetActivity {}, "");
    all.call(&GetTimeline { request: REQUEST }, R);
}

fn calls_that_look_behind(all: &mut Compared) {
    let group = MetaGroup(1);
    let files = vec![FILE];
    let list = ListCopies {
        volume: VolumeId(7),
        after: Some(BLOCK),
        limit: 300,
        old_s: 60,
    };
    let listing = format!("0701{B}ac023c");
    all.call(&list, &listing);
    let asks = [
        (
            InspectAsk::Records {
                group,
                after: Some(FILE),
                limit: 300,
            },
            format!("000101{F}ac02"),
        ),
        (
            InspectAsk::Named {
                files: files.clone(),
            },
            format!("0101{F}"),
        ),
        (InspectAsk::Recorded { files }, format!("0201{F}")),
        (
            InspectAsk::Copies {
                server: ServerId(4),
                list,
            },
            format!("0304{listing}"),
        ),
        (
            InspectAsk::FreeOrphans {
                volume: VolumeId(7),
                blocks: vec![BLOCK],
            },
            format!("040701{B}"),
        ),
        (
            InspectAsk::RemoveRecords {
                group,
                files: vec![(FILE, REQUEST)],
            },
            format!("050101{F}{R}"),
        ),
        (InspectAsk::Entry { path: a() }, format!("06{A}")),
    ];
    for (ask, golden) in asks {
        all.call(&Inspect { ask }, &golden);
    }
}

fn answers_of_what_is_behind(all: &mut Compared) {
    let record = RecordListed {
        file: FILE,
        request: REQUEST,
        created_ms: 1,
        blocks: vec![(BlockIndex(65_535), ENTRY)],
    };
    let records = RecordPage {
        files: vec![record],
        more: true,
    };
    let copies = CopiesPage {
        blocks: vec![(KEPT, true)],
        more: false,
    };
    let answers = [
        (
            InspectAnswer::Records(records),
            format!("0001{F}{R}0101ffff03{E}01"),
        ),
        (
            InspectAnswer::Flags(vec![true, false]),
            "01020100".to_owned(),
        ),
        (
            InspectAnswer::Copies(copies.clone()),
            format!("0201{K}0100"),
        ),
        (InspectAnswer::Done(300), "03ac02".to_owned()),
        (InspectAnswer::Entry(Some(name())), format!("0401{NAME}")),
    ];
    for (answer, golden) in answers {
        all.reply::<Inspect>(&answer, &golden);
    }
    all.reply::<ListCopies>(&copies, &format!("01{K}0100"));
}

fn calls_of_the_negotiation(all: &mut Compared) {
    let ask = CanCreateAsk {
        path: a(),
        owner: "ann".into(),
        size_bytes: 300,
        request: REQUEST,
        replace: false,
        ballot: BALLOT,
    };
    let asks = vec![traced(ask)];
    all.call(
        &CanCreate { asks },
        &format!("01ac0205{A}03616e6eac02{R}00010203"),
    );
    let reservations = vec![(a(), BALLOT)];
    all.call(&Release { reservations }, &format!("01{A}010203"));
    let wanted = MetaDataWanted {
        name: name(),
        attributes: [("k".to_owned(), "v".to_owned())].into(),
        plan: vec![VolumeId(5)],
    };
    let files = vec![traced(wanted)];
    all.call(
        &CreateMetaData { files },
        &format!("01ac0205{NAME}01016b01760105"),
    );
    let created = MetaDataCreated {
        file: meta_data(),
        volumes: vec![volume()],
        trace: sdfs_types::Trace::default(),
    };
    all.reply::<CreateMetaData>(
        &vec![Ok(created), Err(Refusal::NoSuchBlock)],
        &format!("0200{}01{VOLUME}00010f", meta()),
    );
}

fn calls_at_mains(all: &mut Compared) {
    let needed = || AreNeeded {
        volume: VolumeId(7),
        blocks: vec![BLOCK],
    };
    let asks = [
        (
            MainAsk::Get {
                name: Some(name()),
                descriptor: FILE,
                first: 128,
                count: 300,
                linearizable: true,
            },
            format!("0001{NAME}{F}8001ac0201"),
        ),
        (
            MainAsk::Sizes {
                descriptors: vec![FILE],
            },
            format!("0101{F}"),
        ),
        (
            MainAsk::Records {
                after: None,
                limit: 300,
            },
            "0200ac02".to_owned(),
        ),
        (MainAsk::RecordsOf { files: vec![FILE] }, format!("0301{F}")),
        (MainAsk::AreNeeded(needed()), format!("040701{B}")),
    ];
    for (ask, golden) in asks {
        let group = MetaGroup(1);
        all.call(&AtMain { group, ask }, &format!("01{golden}"));
    }
    let file = meta_data();
    let answers = [
        (
            MainAnswer::File { file, page: page() },
            format!("00{}{PAGE}", meta()),
        ),
        (
            MainAnswer::Sizes {
                sizes_bytes: vec![Some(300), None],
            },
            "010201ac0200".to_owned(),
        ),
        (
            MainAnswer::Records {
                page: RecordPage::default(),
            },
            "020000".to_owned(),
        ),
        (MainAnswer::Flags(vec![true]), "030101".to_owned()),
    ];
    for (answer, golden) in answers {
        all.reply::<AtMain>(&answer, &golden);
    }
    all.call(&needed(), &format!("0701{B}"));
    all.reply::<AreNeeded>(&vec![true, false], "020100");
}

fn reports_of_dservers(all: &mut Compared) {
    let (volume, epoch, member) = (VolumeId(7), Epoch(5), ServerId(4));
    let troubles = [
        (Trouble::Silent, "00"),
        (Trouble::DiskFailed, "01"),
        (Trouble::SpaceLost, "02"),
        (Trouble::Full, "03"),
    ];
    for (trouble, golden) in troubles {
        let report = ReportTrouble {
            volume,
            epoch,
            member,
            trouble,
        };
        all.call(&report, &format!("070504{golden}"));
    }
    let sync = ReportSync {
        volume,
        epoch,
        member,
        copied: 1,
        copied_bytes: 300,
        present: 2,
    };
    all.call(&sync, "07050401ac0202");
    all.call(&MayForget { volume }, "07");
    all.reply::<MayForget>(&true, "01");
    all.call(&LeaseStamps { now_s: 300 }, "ac02");
    all.call(&LeaseReads { known_version: 300 }, "ac02");
    let login = CheckLogin {
        user: "ann".to_owned(),
        challenge: "c".to_owned(),
        proof: [0x64; 32],
    };
    all.call(&login, &format!("03616e6e0163{DIGEST}"));
    // No `Call`: its answer is that of the call it carries.
    all.kinds.push(OnBehalf::KIND);
    let on_behalf = OnBehalf {
        user: "ann".to_owned(),
        kind: 0x0212,
        call: vec![1],
    };
    all.record(&on_behalf, "03616e6e92040101");
}

fn calls_on_blocks(all: &mut Compared) {
    let (volume, epoch) = (VolumeId(7), Epoch(5));
    let write = WriteBlock {
        volume,
        epoch,
        block: BLOCK,
        crc32c: 5,
        durability: Durability::Synced,
        grant: Some(GRANT),
    };
    all.call(&write, &format!("0705{B}050001{G}"));
    all.reply::<WriteBlock>(&BlockStored { copies: 3 }, "03");
    let read = ReadBlock {
        volume,
        block: BLOCK,
        offset_bytes: 4_096,
        length_bytes: 100,
        grant: None,
    };
    all.call(&read, &format!("07{B}80206400"));
    let range = BlockRange {
        offset_bytes: 4_096,
        block_bytes: 300,
        crc32c: 5,
        piece_crc32c: vec![1],
    };
    all.reply::<ReadBlock>(&range, "8020ac02050101");
    let copy = WriteCopy {
        volume,
        epoch,
        block: BLOCK,
        crc32c: 5,
        durability: Durability::Replicated,
    };
    all.call(&copy, &format!("0705{B}0501"));
    let ask = AcceptAsk {
        descriptor: FILE,
        volume,
        epoch,
        reserve_bytes: 300,
    };
    let asks = vec![traced(ask)];
    all.call(&AcceptFiles { asks }, &format!("01ac0205{F}0705ac02"));
    all.reply::<AcceptFiles>(&vec![Ok(()), Err(Refusal::NoSuchBlock)], "0200010f");
    let blocks = vec![BLOCK];
    let free = FreeBlocks {
        volume,
        blocks: blocks.clone(),
    };
    all.call(&free, &format!("0701{B}"));
    let free = FreeOldBlocks {
        volume,
        blocks: blocks.clone(),
        old_s: 60,
    };
    all.call(&free, &format!("0701{B}3c"));
    all.reply::<FreeOldBlocks>(&300, "ac02");
    let free = FreeAnonymous {
        volume,
        epoch,
        blocks,
    };
    all.call(&free, &format!("070501{B}"));
}

fn calls_on_volumes(all: &mut Compared) {
    all.call(&GetVolumeMap { known_version: 300 }, "ac02");
    let map = VolumeMap {
        version: 7,
        volumes: [(VolumeId(9), volume())].into(),
    };
    all.reply::<GetVolumeMap>(&Some(map), &format!("01070109{VOLUME}"));
    let push = PushVolumes {
        map_version: 300,
        volumes: vec![volume()],
        copies_min: 2,
    };
    all.call(&push, &format!("ac0201{VOLUME}02"));
    let lost = vec![VolumeId(9)];
    all.reply::<PushVolumes>(&VolumesKept { lost }, "0109");
    let list = ListVolume {
        volume: VolumeId(7),
        epoch: Epoch(5),
        after: None,
        limit: 300,
    };
    all.call(&list, "070500ac02");
    let listed = VolumePage {
        blocks: vec![KEPT],
        more: true,
    };
    all.reply::<ListVolume>(&listed, &format!("01{K}01"));
    let sync = SyncVolume {
        volume: volume(),
        sources: vec![ServerId(5)],
    };
    all.call(&sync, &format!("{VOLUME}0105"));
}

fn space() -> SpaceStatus {
    SpaceStatus {
        path: "s".to_owned(),
        failed: None,
        blocks: 1,
        live_bytes: 2,
        segment_bytes: 3,
        free_bytes: 4,
        room_bytes: 5,
        volumes: vec![VolumeId(9)],
        scrub: ScrubStatus {
            passes: 1,
            checked_bytes: 2,
            is_hurried: true,
            damaged: 3,
            repaired: 4,
        },
    }
}

fn calls_for_the_status(all: &mut Compared) {
    all.call(&GetStatus {}, "");
    let peer = PeerStatus {
        server: ServerId(5),
        name: "e".to_owned(),
        role: Role::Mserver,
        address: "b".to_owned(),
        state: "Up".to_owned(),
        rtt_us: Some(300),
        rtt_min_us: None,
        jitter_us: None,
        free_bytes: Some(1),
        established: 2,
    };
    let group = GroupStatus {
        group: 1,
        leader: Some(ServerId(2)),
        term: 3,
        last_log: 4,
        applied: 5,
        voters: vec![ServerId(2)],
    };
    let kept = VolumeKept {
        volume: VolumeId(7),
        epoch: Epoch(5),
        blocks: 1,
        bytes: 2,
        sync: Some(SyncStatus {
            for_ms: 1,
            done_bytes: 2,
            copied: 3,
            copied_bytes: 4,
            present: 5,
        }),
    };
    let status = ServerStatus {
        server: ServerId(4),
        name: "d".to_owned(),
        role: Role::Dserver,
        address: "a".to_owned(),
        program: "p".to_owned(),
        up_s: 300,
        peers: vec![peer],
        groups: vec![group],
        volumes: vec![volume()],
        spaces: vec![space()],
        kept: vec![kept],
        hears_majority: true,
    };
    let peer = "05016500016202557001ac020000010102";
    let group = "0101020304050102";
    let space = "017300010203040501090102010304";
    let kept = "07050102010102030405";
    all.reply::<GetStatus>(
        &status,
        &format!("0401640101610170ac0201{peer}01{group}01{VOLUME}01{space}01{kept}01"),
    );
}

#[test]
fn every_call_keeps_its_bytes() {
    let mut all = Compared::default();
    calls_on_names(&mut all);
    calls_on_records(&mut all);
    calls_of_puts(&mut all);
    calls_on_directories(&mut all);
    calls_on_users_and_trash(&mut all);
    calls_on_contents(&mut all);
    calls_of_operators(&mut all);
    calls_that_look_behind(&mut all);
    answers_of_what_is_behind(&mut all);
    calls_of_the_negotiation(&mut all);
    calls_at_mains(&mut all);
    reports_of_dservers(&mut all);
    calls_on_blocks(&mut all);
    calls_on_volumes(&mut all);
    calls_for_the_status(&mut all);
    assert!(all.wrong.is_empty(), "{}", all.wrong.join("\n"));
    for kind in CallKind::ALL {
        assert!(all.kinds.contains(kind), "{kind:?} has no bytes here");
    }
}
