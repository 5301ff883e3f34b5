//! Trackers, and the storages they name, each over a connection that stays.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sdfs_fastdfs::wire::{GROUP_BYTES, common, storage, tracker};
use sdfs_net_layer::Transport;

use super::answer::Answer;
use super::connection::{AskError, Connection, PATIENCE};
use super::records::{self, StorageRecord, text};

/// The flag of an info that wants no checksum computed.
const NO_CHECKSUM: u8 = 1;

/// Longest a storage may look through its log before it tells more of it: as long as FastDFS's own
/// storages wait.
const LOG_PATIENCE: Duration = Duration::from_secs(600);

/// Where a file is: its group in 16 bytes, then its name.
pub(crate) type FileId = Vec<u8>;

/// A group and a name as requests want them.
pub(crate) fn file_id(group: &str, name: &str) -> FileId {
    let mut id = group.as_bytes().to_vec();
    id.resize(GROUP_BYTES, 0);
    id.extend_from_slice(name.as_bytes());
    id
}

/// A client of a FastDFS.
pub(crate) struct FastDfs {
    transport: Arc<dyn Transport>,
    /// One at least.
    trackers: Vec<Connection>,
    /// The one that is asked, as long as it answers.
    tracker: usize,
    storages: BTreeMap<SocketAddr, Connection>,
    /// By group.
    active: BTreeMap<String, Vec<SocketAddr>>,
}

/// A storage and what the tracker says beside its address.
struct Named {
    storage: SocketAddr,
    rest: Vec<u8>,
}

impl FastDfs {
    /// `turn` says which of the trackers is asked first.
    pub(crate) fn new(
        transport: &Arc<dyn Transport>,
        trackers: &[SocketAddr],
        turn: usize,
    ) -> FastDfs {
        let connection = |address: &SocketAddr| Connection::new(transport, *address);
        FastDfs {
            transport: Arc::clone(transport),
            trackers: trackers.iter().map(connection).collect(),
            tracker: turn % trackers.len().max(1),
            storages: BTreeMap::new(),
            active: BTreeMap::new(),
        }
    }

    /// Whether a tracker answers.
    pub(crate) async fn test(&mut self) -> Result<(), AskError> {
        self.ask_trackers(common::ACTIVE_TEST, &[], |_| Some(()))
            .await
    }

    /// Stores a file: the tracker is asked for a storage, then it gets the bytes.
    pub(crate) async fn upload(&mut self, content: &[u8]) -> Result<FileId, AskError> {
        let named = self.ask_trackers(tracker::STORE_ONE, &[], named).await?;
        let path = named.rest.first().copied().unwrap_or_default();
        let size = (content.len() as u64).to_be_bytes();
        let head = [&[path], &size[..], b"bin\0\0\0"].concat();
        let at = self.storage(named.storage);
        Ok(at.ask(storage::UPLOAD, &[&head, content]).await?.to_vec())
    }

    /// Reads a file: the tracker is asked who has it.
    pub(crate) async fn download(&mut self, id: &FileId) -> Result<&[u8], AskError> {
        let at = self.holder(id).await?;
        let at = self.storage(at);
        at.ask(storage::DOWNLOAD, &[&[0; 16], id]).await
    }

    /// Deletes a file: the tracker is asked who takes changes of it.
    pub(crate) async fn delete(&mut self, id: &FileId) -> Result<(), AskError> {
        let named = self.ask_trackers(tracker::UPDATE, id, named).await?;
        let at = self.storage(named.storage);
        at.ask(storage::DELETE, &[id]).await.map(drop)
    }

    /// The names of all groups.
    pub(crate) async fn groups(&mut self) -> Result<Vec<String>, AskError> {
        let groups = self.ask_trackers(tracker::ALL_GROUPS, &[], records::groups);
        groups.await
    }

    /// The storages of a group.
    pub(crate) async fn storages(&mut self, group: &str) -> Result<Vec<StorageRecord>, AskError> {
        let group = file_id(group, "");
        let storages = self.ask_trackers(tracker::STORAGES, &group, records::storages);
        storages.await
    }

    /// A storage that has a file, as far as a tracker can say.
    pub(crate) async fn holder(&mut self, id: &FileId) -> Result<SocketAddr, AskError> {
        let named = self.ask_trackers(tracker::FETCH_ONE, id, named).await?;
        Ok(named.storage)
    }

    /// The storages of a group that serve, as they were when first asked for.
    pub(crate) async fn active(&mut self, group: &str) -> Result<Vec<SocketAddr>, AskError> {
        if let Some(known) = self.active.get(group) {
            return Ok(known.clone());
        }
        let storages = self.storages(group).await?.into_iter();
        let active = storages.filter(|storage| storage.is_active);
        let active: Vec<SocketAddr> = active.map(|storage| storage.address).collect();
        self.active.insert(group.to_owned(), active.clone());
        Ok(active)
    }

    /// The size of a file, bytes.
    pub(crate) async fn size(&mut self, at: SocketAddr, id: &FileId) -> Result<u64, AskError> {
        let at = self.storage(at);
        let info = at.ask_with((storage::INFO, NO_CHECKSUM), &[id]).await?;
        let size = info.first_chunk().map(|size| u64::from_be_bytes(*size));
        size.ok_or_else(|| unreadable("info"))
    }

    /// The metadata of a file; empty when it has none.
    pub(crate) async fn metadata(
        &mut self,
        at: SocketAddr,
        id: &FileId,
    ) -> Result<Vec<u8>, AskError> {
        match self.storage(at).ask(storage::GET_METADATA, &[id]).await {
            Ok(text) => Ok(text.to_vec()),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The content of a file, piece by piece.
    pub(crate) async fn content(
        &mut self,
        at: SocketAddr,
        id: &FileId,
    ) -> Result<Answer<'_>, AskError> {
        let at = self.storage(at);
        at.ask_for_pieces(storage::DOWNLOAD, &[&[0; 16], id], PATIENCE)
            .await
    }

    /// What a storage has logged of the files of one of its store paths, as lines of text.
    pub(crate) async fn path_log(
        &mut self,
        at: SocketAddr,
        group: &str,
        path: u8,
    ) -> Result<Answer<'_>, AskError> {
        let asked = [&file_id(group, "")[..], &[path]].concat();
        let at = self.storage(at);
        at.ask_for_pieces(storage::PATH_LOG, &[&asked], LOG_PATIENCE)
            .await
    }

    /// Asks the trackers in turn until one answers.
    async fn ask_trackers<T>(
        &mut self,
        command: u8,
        body: &[u8],
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, AskError> {
        let count = self.trackers.len();
        let mut last = AskError::Broken(io::ErrorKind::NotConnected.into());
        for turn in 0..count {
            let place = (self.tracker + turn) % count;
            let at = &mut self.trackers[place];
            match at.ask(command, &[body]).await {
                Ok(answer) => {
                    self.tracker = place;
                    return read(answer).ok_or_else(|| unreadable("tracker"));
                }
                Err(AskError::Broken(error)) => {
                    let error = io::Error::new(error.kind(), format!("{}: {error}", at.to));
                    last = AskError::Broken(error);
                }
                Err(status) => return Err(status),
            }
        }
        Err(last)
    }

    fn storage(&mut self, address: SocketAddr) -> &mut Connection {
        let new = || Connection::new(&self.transport, address);
        self.storages.entry(address).or_insert_with(new)
    }
}

fn unreadable(whose: &str) -> AskError {
    let what = format!("the {whose}'s answer has none of the forms of FastDFS 5 and 6");
    AskError::Broken(io::Error::other(what))
}

/// The storage an answer of a tracker names. Its address is 15 bytes of text, or 45 where servers
/// may have IPv6 addresses; that of a query for an upload has one byte more.
fn named(answer: &[u8]) -> Option<Named> {
    let after = answer.get(GROUP_BYTES..)?;
    let text_bytes = if after.len() < 45 { 15 } else { 45 };
    let ip: IpAddr = text(after.get(..text_bytes)?)?.parse().ok()?;
    let port: [u8; 8] = after.get(text_bytes..text_bytes + 8)?.try_into().ok()?;
    let port = u16::try_from(u64::from_be_bytes(port)).ok()?;
    Some(Named {
        storage: SocketAddr::new(ip, port),
        rest: after[text_bytes + 8..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_addresses_are_read() {
        for (text_bytes, rest) in [(15, vec![]), (15, vec![3]), (45, vec![]), (45, vec![3])] {
            let mut ip = b"127.0.0.2".to_vec();
            ip.resize(text_bytes, 0);
            let port = 23_000_u64.to_be_bytes();
            let answer = [&[b'g'; GROUP_BYTES], &ip[..], &port, &rest].concat();
            let found = named(&answer).map(|named| (named.storage, named.rest));
            assert_eq!(found, Some((([127, 0, 0, 2], 23_000).into(), rest)));
        }
        assert!(named(&[0; 40]).is_none());
        assert!(named(&[]).is_none());
    }
}
