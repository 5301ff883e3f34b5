//! What the doubles agree on: names, metadata, volumes and blocks in memory.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use bytes::Bytes;
use sdfs_client::{Config, UserKey};
use sdfs_types::calls::names::{FileOptions, UserListed};
use sdfs_types::{
    BlockDescriptor, BlockEntry, BlockPage, BlockSize, EntryKind, Epoch, FileDescriptor, FileId,
    FileMetaData, FileMetaMetaData, FilePath, FileVersion, Grant, GrantKey, GrantRights, Locate,
    MemberState, MetaGroup, OpenFile, Refusal, RequestId, Role, ServerId, Volume, VolumeId,
    VolumeMap, VolumeMember, VolumeStatus, clock,
};

/// Block entries that come with a file; few, so that tests see pages.
pub const FIRST_ENTRIES: usize = 16;

pub struct Entry {
    pub name: FileMetaMetaData,
    pub file: Option<FileMetaData>,
    pub blocks: Vec<BlockEntry>,
}

pub struct Model {
    pub users: HashMap<String, UserKey>,
    pub rights: BTreeMap<String, UserListed>,
    pub entries: BTreeMap<String, Entry>,
    /// First outcomes of changes, as they were answered.
    pub outcomes: HashMap<RequestId, Bytes>,
    pub map: VolumeMap,
    pub blocks: HashMap<(ServerId, VolumeId, BlockDescriptor), Bytes>,
    pub redo_next: bool,
    /// How far the servers' clocks are ahead of the client's.
    pub ahead_ms: u64,
    /// How long a grant is good for.
    pub grant_ms: u64,
    /// How many calls came with a grant that is no good.
    pub refused: u32,
    pub begun: HashMap<RequestId, FileDescriptor>,
    pub servers: Vec<(ServerId, String, Role, SocketAddr)>,
    grants: GrantKey,
    next_id: u32,
}

impl Model {
    pub fn new(config: &Config) -> Model {
        let key = UserKey::of_secret(super::SECRET);
        let members: Vec<_> = config
            .servers_of(Role::Dserver)
            .map(|server| VolumeMember {
                server: server.id,
                state: MemberState::InSync,
            })
            .collect();
        let volume = |id| Volume {
            id: VolumeId(id),
            epoch: Epoch(1),
            members: members.clone(),
            status: VolumeStatus::Writable,
        };
        let volumes = (1..=2).map(|id| (VolumeId(id), volume(id))).collect();
        let mut model = Model {
            users: HashMap::from([("admin".to_owned(), key)]),
            rights: BTreeMap::new(),
            entries: BTreeMap::new(),
            outcomes: HashMap::new(),
            map: VolumeMap {
                version: 1,
                volumes,
            },
            blocks: HashMap::new(),
            redo_next: false,
            ahead_ms: 0,
            grant_ms: 60_000,
            refused: 0,
            begun: HashMap::new(),
            servers: config
                .servers
                .iter()
                .map(|one| (one.id, one.name.to_string(), one.role, one.address))
                .collect(),
            grants: GrantKey::derive(b"doubles"),
            next_id: 1,
        };
        let root = model.entry("/", EntryKind::Directory, RequestId::default(), 0);
        model.entries.insert("/".to_owned(), root);
        model
    }

    pub fn next_descriptor(&mut self) -> FileDescriptor {
        self.next_id += 1;
        FileDescriptor {
            id: FileId(self.next_id),
            version: FileVersion(1),
        }
    }

    pub fn locate(&self) -> Locate {
        Locate {
            group: MetaGroup(1),
            main: ServerId(1),
            slaves: vec![ServerId(2), ServerId(3)],
        }
    }

    pub fn plan(&self) -> Vec<Volume> {
        self.map.volumes.values().cloned().collect()
    }

    pub fn grant(&self, descriptor: FileDescriptor, write: bool) -> Grant {
        let rights = if write {
            GrantRights::Write
        } else {
            GrantRights::Read
        };
        self.grants
            .grant(descriptor, rights, self.now_ms() + self.grant_ms)
    }

    pub fn allows(&mut self, grant: Option<&Grant>, file: FileDescriptor, write: bool) -> bool {
        let wanted = if write {
            GrantRights::Write
        } else {
            GrantRights::Read
        };
        let now_ms = self.now_ms();
        let is_allowed = grant.is_some_and(|grant| self.grants.allows(grant, file, wanted, now_ms));
        self.refused += u32::from(!is_allowed);
        is_allowed
    }

    fn now_ms(&self) -> u64 {
        clock::now_ms() + self.ahead_ms
    }

    /// A new entry that nobody sees yet.
    pub fn entry(&mut self, path: &str, kind: EntryKind, request: RequestId, size: u64) -> Entry {
        let descriptor = self.next_descriptor();
        let name = FileMetaMetaData {
            name: path.rsplit('/').next().unwrap_or("").into(),
            descriptor,
            kind,
            request,
            locate: (kind == EntryKind::File).then(|| self.locate()),
            size_bytes: size,
            block_size: BlockSize::for_declared_size(size),
            owner: "admin".into(),
            created_ms: 1,
        };
        Entry {
            name,
            file: None,
            blocks: Vec::new(),
        }
    }

    /// A new file that nobody sees yet.
    pub fn new_file(
        &mut self,
        path: &str,
        request: RequestId,
        size: u64,
        options: &FileOptions,
    ) -> Entry {
        let mut entry = self.entry(path, EntryKind::File, request, size);
        if let Some(block_size) = options.block_size {
            entry.name.block_size = block_size;
        }
        entry.file = Some(FileMetaData {
            descriptor: entry.name.descriptor,
            size_bytes: size,
            block_size: entry.name.block_size,
            created_ms: 1,
            modified_ms: 1,
            owner: "admin".into(),
            attributes: options.attributes.clone(),
            digest: None,
            plan: self.map.volumes.keys().copied().collect(),
            revision: 1,
        });
        entry
    }

    pub fn open(&self, entry: &Entry, write: bool) -> OpenFile {
        let first = entry.blocks.iter().take(FIRST_ENTRIES).copied().collect();
        OpenFile {
            name: entry.name.clone(),
            file: entry.file.clone().expect("a file"),
            blocks: BlockPage {
                first: 0,
                entries: first,
            },
            volumes: self.plan(),
            grant: self.grant(entry.name.descriptor, write),
        }
    }

    pub fn parent_exists(&self, path: &FilePath) -> Result<(), Refusal> {
        let (parent, _) = path.split_last().ok_or(sdfs_types::PathFault::IsRoot)?;
        match self.entries.get(parent.as_str()) {
            Some(entry) if entry.name.kind == EntryKind::Directory => Ok(()),
            Some(_) => Err(Refusal::NotDirectory { path: parent }),
            None => Err(Refusal::NotFound { path: parent }),
        }
    }

    pub fn find(&self, path: &FilePath) -> Result<&Entry, Refusal> {
        let missing = || Refusal::NotFound { path: path.clone() };
        self.entries.get(path.as_str()).ok_or_else(missing)
    }

    pub fn find_file(&mut self, path: &FilePath) -> Result<&mut Entry, Refusal> {
        match self.entries.get_mut(path.as_str()) {
            None => Err(Refusal::NotFound { path: path.clone() }),
            Some(entry) if entry.file.is_none() => Err(Refusal::IsDirectory { path: path.clone() }),
            Some(entry) => Ok(entry),
        }
    }

    pub fn by_descriptor(&mut self, file: FileDescriptor) -> Result<&mut Entry, Refusal> {
        self.entries
            .values_mut()
            .find(|entry| entry.name.descriptor == file && entry.file.is_some())
            .ok_or(Refusal::Gone { descriptor: file })
    }

    /// Takes every copy of a file's blocks away at one server.
    pub fn lose_copies(&mut self, server: u16) {
        self.blocks
            .retain(|(kept, _, _), _| *kept != ServerId(server));
    }
}
