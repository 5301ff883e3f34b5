//! Why a server did not do what it was asked: causes a caller can act on.

use serde::{Deserialize, Serialize};

use crate::calls::trash::TrashName;
use crate::ids::{BlockVersion, FileDescriptor, VolumeId};
use crate::path::{FilePath, PathFault};
use crate::server_list::ServerRecord;
use crate::user::Access;
use crate::volume::Volume;
use sdfs_server_group::{ServerId, ServerName};

/// An answer that is not what was asked for. A refusal is definite: nothing was changed, except
/// for [`Refusal::Unknown`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// No such name.
    #[error("{path} does not exist")]
    NotFound {
        /// What was looked for.
        path: FilePath,
    },
    /// The name is taken.
    #[error("{path} exists already (file {descriptor})")]
    Exists {
        /// The name.
        path: FilePath,
        /// What it stands for.
        descriptor: FileDescriptor,
    },
    /// A directory is in the way.
    #[error("{path} is a directory")]
    IsDirectory {
        /// The directory.
        path: FilePath,
    },
    /// A file stands where a directory is needed.
    #[error("{path} is not a directory")]
    NotDirectory {
        /// The file.
        path: FilePath,
    },
    /// The directory still has entries.
    #[error("directory {path} is not empty")]
    NotEmpty {
        /// The directory.
        path: FilePath,
    },
    /// A directory would come to lie within itself.
    #[error("{path} cannot be moved into itself")]
    IntoItself {
        /// The directory.
        path: FilePath,
    },
    /// The user lacks a right.
    #[error("user {user} lacks the right {access:?} on {path}")]
    Denied {
        /// Who asked.
        user: String,
        /// What was needed.
        access: Access,
        /// Where.
        path: FilePath,
    },
    /// A directory's quota is used up.
    #[error("the quota of {path} is used up: {used} of {limit} {unit}")]
    Quota {
        /// The directory that has the quota.
        path: FilePath,
        /// What is used.
        used: u64,
        /// What is allowed.
        limit: u64,
        /// `files` or `bytes`.
        unit: String,
    },
    /// The text is no path.
    #[error(transparent)]
    Path(PathFault),
    /// A value is out of its range.
    #[error("{what} is {value}; allowed is {allowed}")]
    OutOfRange {
        /// Which value.
        what: String,
        /// What it was.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// No majority of mservers could be heard; nothing was decided.
    #[error("no majority of mservers: {heard} of {voters} answered; nothing was changed")]
    NoQuorum {
        /// Who answered, the asked one included.
        heard: u32,
        /// How many there are.
        voters: u32,
    },
    /// No set of dservers could take the blocks.
    #[error("no dservers can take blocks now: {why}")]
    NoVolume {
        /// What stood in the way.
        why: String,
    },
    /// A disk is full.
    #[error("server {server} has no room left: {free_bytes} bytes free above the reserve")]
    NoSpace {
        /// Which server.
        server: ServerId,
        /// What it has left.
        free_bytes: u64,
    },
    /// The volume's membership has changed; `current` is the present one.
    #[error("volume {} is at epoch {} now", current.id, current.epoch)]
    StaleEpoch {
        /// The volume as it is.
        current: Box<Volume>,
    },
    /// The server knows no such volume.
    #[error("volume {volume} is not kept here")]
    NoSuchVolume {
        /// Which volume.
        volume: VolumeId,
    },
    /// The server does not keep that block.
    #[error("the block is not kept here")]
    NoSuchBlock,
    /// The block version is taken by other bytes.
    #[error("this block version names other bytes already")]
    BlockExists,
    /// Bytes do not match their checksum.
    #[error("the bytes do not match their checksum")]
    Corrupt,
    /// A member did not store its copy.
    #[error("server {server} did not store its copy: {why}")]
    CopyFailed {
        /// Which member.
        server: ServerId,
        /// Why.
        why: String,
    },
    /// The block's version is not the one the writer had seen.
    #[error("block {block} was changed meanwhile: it has version {current}")]
    Conflict {
        /// Which block.
        block: u32,
        /// Its version now.
        current: BlockVersion,
    },
    /// The file has been deleted or replaced meanwhile.
    #[error("file {descriptor} is gone")]
    Gone {
        /// Which file.
        descriptor: FileDescriptor,
    },
    /// The grant is missing, forged, over or for something else.
    #[error("the grant does not allow this; ask a mserver for a new one")]
    NotGranted,
    /// The answer did not come in time: it may have been done or not. Repeat with the same
    /// request id to learn which.
    #[error("the outcome is unknown: {why}; repeat the request to learn it")]
    Unknown {
        /// What happened.
        why: String,
    },
    /// Try again shortly, here or elsewhere; nothing was changed.
    #[error("not now: {why}")]
    Busy {
        /// What stands in the way.
        why: String,
    },
    /// This server does not serve the call (its role is another).
    #[error("this server does not serve that call")]
    NotServed,
    /// The call could not be read.
    #[error("the call could not be read: {why}")]
    Malformed {
        /// What was wrong.
        why: String,
    },
    /// No such user.
    #[error("there is no user {name}")]
    NoSuchUser {
        /// The name.
        name: String,
    },
    /// The disk of the server failed; it is closed.
    #[error("the disk of server {server} failed and is closed")]
    DiskFailed {
        /// Which server.
        server: ServerId,
    },
    /// The server has fewer copies in sync than a write needs.
    #[error("volume {volume} has {in_sync} copies in sync; a write needs {needed}")]
    TooFewCopies {
        /// Which volume.
        volume: VolumeId,
        /// How many it has.
        in_sync: u32,
        /// How many it needs.
        needed: u32,
    },
    /// The trash does not hold it, or not for this user.
    #[error("{what} is not in the trash")]
    NotInTrash {
        /// What was looked for.
        what: TrashName,
    },
    /// Without a dserver too few would be left for the copies there are to be.
    #[error(
        "without server {server} only {staying} dservers would be left that are up and stay; \
         {needed} copies need as many"
    )]
    TooFewServers {
        /// Who was to go.
        server: ServerId,
        /// How many would stay.
        staying: u32,
        /// How many are needed.
        needed: u32,
    },
    /// Every volume has a member whose disk is full.
    #[error(
        "the disks are full: {volumes} volumes take no blocks, and server {server} has \
             {free_bytes} bytes left above its reserve"
    )]
    VolumesFull {
        /// How many volumes there are.
        volumes: u32,
        /// The member with the least room.
        server: ServerId,
        /// What it has left.
        free_bytes: u64,
    },
    /// A name or an address belongs to another server.
    #[error(
        "the name or address is taken: server {} is {}, a {} at {}, {}", record.id, record.name,
        record.role, record.address, record.state
    )]
    ServerExists {
        /// The server that has it.
        record: Box<ServerRecord>,
    },
    /// No server of the cluster has that name.
    #[error("no server of this cluster is called {name}")]
    NoSuchServer {
        /// The name.
        name: ServerName,
    },
    /// A server is not in the state that the order is for.
    #[error("server {} ({}) is {}: {why}", record.id, record.name, record.state)]
    ServerState {
        /// The server.
        record: Box<ServerRecord>,
        /// What stands in the way.
        why: String,
    },
    /// The file is not as the writer had seen it.
    #[error("the file was changed meanwhile: it is at revision {revision} now")]
    Changed {
        /// Its revision now.
        revision: u64,
    },
    /// Other names may share the content of the file, so it is never changed.
    #[error("the content of file {descriptor} is shared and never changes: store the file anew")]
    Shared {
        /// Which file.
        descriptor: FileDescriptor,
    },
    /// No such content may be shared here.
    #[error("no such content is shared")]
    NoSuchContent,
}

impl Refusal {
    /// The server it is about, by number.
    fn server(&self) -> Option<ServerId> {
        match self {
            Refusal::NoSpace { server, .. }
            | Refusal::CopyFailed { server, .. }
            | Refusal::DiskFailed { server }
            | Refusal::TooFewServers { server, .. }
            | Refusal::VolumesFull { server, .. } => Some(*server),
            _ => None,
        }
    }

    /// As it is shown to people: with the name of the server it is about, where that is known.
    #[must_use]
    pub fn told(&self, name_of: impl FnOnce(ServerId) -> Option<String>) -> String {
        let sentence = self.to_string();
        let Some(server) = self.server() else {
            return sentence;
        };
        match name_of(server) {
            // The first server of each such sentence is the one it is about.
            Some(name) => sentence.replacen(&format!("server {server}"), &name, 1),
            None => sentence,
        }
    }

    /// Its name, in a word for logs.
    pub fn word(&self) -> String {
        let text = format!("{self:?}");
        let name = text.split(|letter: char| !letter.is_alphanumeric()).next();
        name.unwrap_or(&text).to_owned()
    }

    /// What an answer comes to, in a word for logs.
    pub fn outcome<T>(answer: &Result<T, Refusal>) -> String {
        match answer {
            Ok(_) => "ok".to_owned(),
            Err(refusal) => refusal.word(),
        }
    }
}

impl From<PathFault> for Refusal {
    fn from(fault: PathFault) -> Refusal {
        Refusal::Path(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_it_is_about_gets_its_name() {
        let name_of = |id: ServerId| (id.0 == 4).then(|| "dserver-1".to_owned());
        let failed = |server| Refusal::DiskFailed {
            server: ServerId(server),
        };
        let table = [
            (failed(4), "the disk of dserver-1 failed and is closed"),
            (failed(5), "the disk of server 5 failed and is closed"),
            (
                Refusal::VolumesFull {
                    volumes: 4,
                    server: ServerId(4),
                    free_bytes: 0,
                },
                "the disks are full: 4 volumes take no blocks, and dserver-1 has 0 bytes left \
                 above its reserve",
            ),
            (
                Refusal::NotFound {
                    path: FilePath::parse("/server 4").unwrap(),
                },
                "/server 4 does not exist",
            ),
        ];
        for (refusal, told) in table {
            assert_eq!(refusal.told(name_of), told);
        }
    }
}
