//! A FastDFS client of the few commands that are measured: any server of that protocol will do.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sdfs_fastdfs::wire::{GROUP_BYTES, HEADER_BYTES, RESPONSE, common, storage, tracker};
use sdfs_net_layer::{Stream, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Longest a request may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer taken: a download and little more.
const ANSWER_BYTES_MAX: u64 = 1 << 30;
/// Bytes read at once.
const READ_BYTES: usize = 16 << 10;

/// Where a file is: its group in 16 bytes, then its name.
pub(super) type FileId = Vec<u8>;

/// A tracker and the storages it has named, each over a connection that stays.
pub(super) struct FastDfs {
    transport: Arc<dyn Transport>,
    tracker: Connection,
    storages: BTreeMap<SocketAddr, Connection>,
}

/// One connection, one request at a time. It is made at the first request, and anew after one that
/// was not answered.
struct Connection {
    to: SocketAddr,
    transport: Arc<dyn Transport>,
    stream: Option<Stream>,
    answer: Vec<u8>,
}

/// A storage and what the tracker says beside its address.
struct Named {
    storage: SocketAddr,
    rest: Vec<u8>,
}

impl FastDfs {
    pub(super) fn new(transport: &Arc<dyn Transport>, tracker: SocketAddr) -> FastDfs {
        FastDfs {
            transport: Arc::clone(transport),
            tracker: Connection::new(transport, tracker),
            storages: BTreeMap::new(),
        }
    }

    /// Whether the tracker answers.
    pub(super) async fn test(&mut self) -> io::Result<()> {
        self.tracker.ask(common::ACTIVE_TEST, &[]).await.map(drop)
    }

    /// Stores a file: the tracker is asked for a storage, then it gets the bytes.
    pub(super) async fn upload(&mut self, content: &[u8]) -> io::Result<FileId> {
        let named = self.ask_tracker(tracker::STORE_ONE, &[]).await?;
        let path = named.rest.first().copied().unwrap_or_default();
        let size = (content.len() as u64).to_be_bytes();
        let head = [&[path], &size[..], b"bin\0\0\0"].concat();
        let at = self.storage(named.storage);
        Ok(at.ask(storage::UPLOAD, &[&head, content]).await?.to_vec())
    }

    /// Reads a file: the tracker is asked who has it.
    pub(super) async fn download(&mut self, id: &FileId) -> io::Result<&[u8]> {
        let named = self.ask_tracker(tracker::FETCH_ONE, id).await?;
        let at = self.storage(named.storage);
        at.ask(storage::DOWNLOAD, &[&[0; 16], id]).await
    }

    /// Deletes a file: the tracker is asked who takes changes of it.
    pub(super) async fn delete(&mut self, id: &FileId) -> io::Result<()> {
        let named = self.ask_tracker(tracker::UPDATE, id).await?;
        let at = self.storage(named.storage);
        at.ask(storage::DELETE, &[id]).await.map(drop)
    }

    async fn ask_tracker(&mut self, command: u8, body: &[u8]) -> io::Result<Named> {
        let answer = self.tracker.ask(command, &[body]).await?;
        named(answer).ok_or_else(|| io::Error::other("the tracker's answer names no storage"))
    }

    fn storage(&mut self, address: SocketAddr) -> &mut Connection {
        let new = || Connection::new(&self.transport, address);
        self.storages.entry(address).or_insert_with(new)
    }
}

/// The storage an answer of a tracker names. Its address is 15 bytes of text, or 45 where servers
/// may have IPv6 addresses; that of a query for an upload has one byte more.
fn named(answer: &[u8]) -> Option<Named> {
    let after = answer.get(GROUP_BYTES..)?;
    let text_bytes = if after.len() < 45 { 15 } else { 45 };
    let text: Vec<u8> = after.get(..text_bytes)?.to_vec();
    let text = String::from_utf8(text).ok()?;
    let ip: IpAddr = text.trim_end_matches('\0').parse().ok()?;
    let port: [u8; 8] = after.get(text_bytes..text_bytes + 8)?.try_into().ok()?;
    let port = u16::try_from(u64::from_be_bytes(port)).ok()?;
    Some(Named {
        storage: SocketAddr::new(ip, port),
        rest: after[text_bytes + 8..].to_vec(),
    })
}

impl Connection {
    fn new(transport: &Arc<dyn Transport>, to: SocketAddr) -> Connection {
        Connection {
            to,
            transport: Arc::clone(transport),
            stream: None,
            answer: Vec::new(),
        }
    }

    /// Asks and waits for the answer's body.
    async fn ask(&mut self, command: u8, body: &[&[u8]]) -> io::Result<&[u8]> {
        let asked = timeout(PATIENCE, self.exchange(command, body)).await;
        let status = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        match status {
            0 => Ok(&self.answer[HEADER_BYTES..]),
            status => Err(io::Error::other(format!(
                "command {command} is answered with status {status}: {}",
                io::Error::from_raw_os_error(status.into())
            ))),
        }
    }

    /// The status of the answer, which is here whole then.
    async fn exchange(&mut self, command: u8, body: &[&[u8]]) -> io::Result<u8> {
        let length: usize = body.iter().map(|part| part.len()).sum();
        let mut request = Vec::with_capacity(HEADER_BYTES + length);
        request.extend_from_slice(&(length as u64).to_be_bytes());
        request.extend_from_slice(&[command, 0]);
        body.iter().for_each(|part| request.extend_from_slice(part));
        // Out of its place until it has answered.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.transport.connect(self.to).await?,
        };
        stream.write_all(&request).await?;
        stream.flush().await?;
        // Header and body in one read, when they come together.
        self.answer.clear();
        read_to(&mut stream, &mut self.answer, HEADER_BYTES).await?;
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&self.answer[..HEADER_BYTES]);
        let [length @ .., kind, status] = header;
        let length = u64::from_be_bytes(length);
        if kind != RESPONSE || length > ANSWER_BYTES_MAX {
            return Err(io::Error::other(
                "what answers does not speak FastDFS's protocol",
            ));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        read_to(&mut stream, &mut self.answer, HEADER_BYTES + length).await?;
        // A storage may close the connection after a refusal.
        if status == 0 {
            self.stream = Some(stream);
        }
        Ok(status)
    }
}

/// Reads until there are so many bytes.
async fn read_to(stream: &mut Stream, bytes: &mut Vec<u8>, count: usize) -> io::Result<()> {
    while bytes.len() < count {
        let missing = count - bytes.len();
        bytes.reserve(missing.max(READ_BYTES));
        if stream.read_buf(bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
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
