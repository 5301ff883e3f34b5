//! A FastDFS client that goes on while its servers die, and a cluster that lets it in.

use std::io::{Error, ErrorKind, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sdfs_server::ClusterOptions;
use sdfs_server_group::Role;

use super::content;
use super::servers::{HEALED_WITHIN, Servers, run};
use super::talk::{Answer, field, message, numbers, range, read_message, storages_in};

pub(crate) const GROUP: &str = "group1";
pub(crate) const STORE_ALL: u8 = 106;
const FETCH_ALL: u8 = 105;
const UPDATE: u8 = 103;
const UPLOAD: u8 = 11;
const UPLOAD_APPENDER: u8 = 23;
const APPEND: u8 = 24;
const MODIFY: u8 = 34;
const INFO: u8 = 22;
const DOWNLOAD: u8 = 14;
/// The flag of an info that wants no checksum.
const NO_CHECKSUM: u8 = 1;
/// No such file, not now, and nobody knows whether.
const NOT_FOUND: u8 = 2;
const AGAIN: u8 = 11;
const IO: u8 = 5;
/// Longest a request may take: longer than any wait for a member that is silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a group in front of a file name.
const GROUP_BYTES: usize = 16;

/// Where FastDFS clients come in: the mservers' doors, and the dservers'.
pub(crate) struct Doors {
    pub(crate) trackers: Vec<SocketAddr>,
    pub(crate) storages: Vec<SocketAddr>,
}

/// Starts a cluster that lets FastDFS clients in, and waits until it takes writes.
pub(crate) fn start(options: ClusterOptions) -> (Servers, Doors) {
    let mut servers = Servers::prepare_with(&ClusterOptions {
        fastdfs: true,
        ..options
    });
    servers.spawn_all();
    run(servers.usable());
    let config = servers.config();
    let settings = config.fastdfs.as_ref().expect("FastDFS is wanted");
    let trackers = config
        .servers_of(Role::Mserver)
        .map(|server| settings.tracker_address(config, server))
        .collect();
    let storages = config
        .servers_of(Role::Dserver)
        .map(|server| settings.storage_address(config, server))
        .collect();
    (servers, Doors { trackers, storages })
}

/// A `storage: (..)` part with small segments, no reserve, and more.
pub(crate) fn storage(more: &str) -> Option<String> {
    Some(format!(
        "storage: (segment_bytes: 16777216, reserve_bytes: 0, {more})"
    ))
}

/// A connection that was made in time and waits no longer for an answer.
fn connect(door: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&door, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn ask_with(door: SocketAddr, (command, status): (u8, u8), body: &[u8]) -> Result<Answer> {
    let mut stream = connect(door)?;
    stream.write_all(&message(command, status, body))?;
    let (_, status, body) = read_message(&mut stream)?;
    Ok((status, body))
}

/// Asks over a connection of its own; status and body of the answer.
pub(crate) fn ask(door: SocketAddr, command: u8, body: &[u8]) -> Result<Answer> {
    ask_with(door, (command, 0), body)
}

/// The storages that a tracker names.
pub(crate) fn named_by(tracker: SocketAddr, command: u8, body: &[u8]) -> Result<Vec<SocketAddr>> {
    match ask(tracker, command, body)? {
        (0, answer) => Ok(storages_in(&(0, answer))),
        _ => Err(Error::from(ErrorKind::NotConnected)),
    }
}

/// What a storage answered, if it did what it was asked.
fn done((status, body): Answer) -> Result<Vec<u8>> {
    match status {
        0 => Ok(body),
        AGAIN | IO => Err(Error::from_raw_os_error(status.into())),
        other => panic!("a storage answers {other}"),
    }
}

fn upload_body(content: &[u8]) -> Vec<u8> {
    let length = content.len() as u64;
    [&[0xff], &numbers(&[length])[..], &field("bin", 6), content].concat()
}

/// A file that was acknowledged: group and name, and what it was made of.
pub(crate) struct Uploaded {
    id: Vec<u8>,
    seed: u64,
    length: usize,
    /// The storage that took it.
    pub(crate) taken_by: SocketAddr,
}

/// Uploads a file to a storage that a tracker names.
pub(crate) fn upload(tracker: SocketAddr, (seed, length): (u64, usize)) -> Result<Uploaded> {
    let taken_by = named_by(tracker, STORE_ALL, b"")?[0];
    let body = upload_body(&content::bytes(seed, length));
    let id = done(ask(taken_by, UPLOAD, &body)?)?;
    Ok(Uploaded {
        id,
        seed,
        length,
        taken_by,
    })
}

impl Uploaded {
    /// Whether it is read at a storage. That one may be gone; a file that is missing or other
    /// bytes may not be.
    pub(crate) fn is_read_at(&self, storage: SocketAddr) -> bool {
        is_read_at(storage, &self.id, &content::bytes(self.seed, self.length))
    }

    /// Waits until it is read at a storage.
    pub(crate) fn must_be_at(&self, storage: SocketAddr) {
        read_in_time(&format!("{} at {storage}", self.seed), || {
            self.is_read_at(storage)
        });
    }

    /// Reads it at every storage that a tracker says has it.
    pub(crate) fn read_where_it_is(&self, tracker: SocketAddr) {
        for storage in named_by(tracker, FETCH_ALL, &self.id).expect("a tracker") {
            self.is_read_at(storage);
        }
    }
}

fn is_read_at(storage: SocketAddr, id: &[u8], expected: &[u8]) -> bool {
    let name = String::from_utf8_lossy(&id[GROUP_BYTES..]);
    match ask(storage, DOWNLOAD, &range(0, 0, &name)) {
        Err(_) => false,
        Ok((0, found)) => {
            assert!(found == expected, "other bytes of {name} at {storage}");
            true
        }
        Ok((NOT_FOUND, _)) => panic!("{name} is missing at {storage}"),
        Ok((AGAIN, _)) => false,
        Ok((status, _)) => panic!("{storage} answers {status} for {name}"),
    }
}

fn read_in_time(what: &str, mut is_read: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_read() {
        assert!(begun.elapsed() < HEALED_WITHIN, "not read: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// About 10 KB, another one for the next piece.
fn piece_length(number: u64) -> usize {
    9_500 + (number * 37 % 1_000) as usize
}

/// An appender file that one client makes longer piece by piece, and how much of it was
/// acknowledged.
pub(crate) struct Growing {
    id: Vec<u8>,
    seed: u64,
    pieces: u64,
    /// Whether the next piece may be there too: it was sent, and no answer came.
    is_unclear: bool,
}

impl Growing {
    /// Uploads the first piece to a storage.
    pub(crate) fn begin(storage: SocketAddr, seed: u64) -> Result<Growing> {
        let mut begun = Growing {
            id: Vec::new(),
            seed,
            pieces: 0,
            is_unclear: false,
        };
        let body = upload_body(&begun.piece(0));
        begun.id = done(ask(storage, UPLOAD_APPENDER, &body)?)?;
        begun.pieces = 1;
        Ok(begun)
    }

    fn piece(&self, number: u64) -> Bytes {
        content::bytes(self.seed + number, piece_length(number))
    }

    fn size(&self) -> usize {
        (0..self.pieces).map(piece_length).sum()
    }

    fn content(&self) -> Vec<u8> {
        let pieces = (0..self.pieces).map(|number| self.piece(number));
        pieces.fold(Vec::new(), |mut all, piece| {
            all.extend(piece);
            all
        })
    }

    fn name(&self) -> &[u8] {
        &self.id[GROUP_BYTES..]
    }

    /// How many pieces were acknowledged.
    pub(crate) fn pieces(&self) -> u64 {
        self.pieces
    }

    fn append_body(&self, piece: &[u8]) -> Vec<u8> {
        let lengths = numbers(&[self.name().len() as u64, piece.len() as u64]);
        [&lengths[..], self.name(), piece].concat()
    }

    /// The storage to write to, as a tracker says.
    pub(crate) fn home(&self, tracker: SocketAddr) -> Result<SocketAddr> {
        Ok(named_by(tracker, UPDATE, &self.id)?[0])
    }

    /// Sends half a request to append the next piece, and goes away.
    pub(crate) fn append_half(&self, storage: SocketAddr) {
        let request = message(APPEND, 0, &self.append_body(&self.piece(self.pieces)));
        let mut stream = connect(storage).expect("a connection");
        stream
            .write_all(&request[..request.len() / 2])
            .expect("sent");
    }

    /// Appends the next piece. When it is unclear what came of it, goes on from what a storage
    /// says is there.
    pub(crate) fn append(&mut self, storage: SocketAddr) -> Result<()> {
        let piece = self.piece(self.pieces);
        if self.is_unclear {
            if self.look(storage)? {
                return Ok(());
            }
            // At its place: a server that was killed may have sent it on its last way.
            let at = self.size() as u64;
            let lengths = numbers(&[self.name().len() as u64, at, piece.len() as u64]);
            let body = [&lengths[..], self.name(), &piece].concat();
            done(ask(storage, MODIFY, &body)?)?;
        } else {
            self.is_unclear = true;
            done(ask(storage, APPEND, &self.append_body(&piece))?)?;
        }
        self.is_unclear = false;
        self.pieces += 1;
        Ok(())
    }

    /// Asks a storage for the size, which is what was acknowledged, or also has the piece whose
    /// answer did not come; whether it has.
    pub(crate) fn look(&mut self, storage: SocketAddr) -> Result<bool> {
        let info = done(ask_with(storage, (INFO, NO_CHECKSUM), &self.id)?)?;
        let (size, _) = info.split_first_chunk().expect("a size");
        let size = u64::from_be_bytes(*size) as usize;
        let (acknowledged, next) = (self.size(), piece_length(self.pieces));
        let has_next = self.is_unclear && size == acknowledged + next;
        assert!(
            size == acknowledged || has_next,
            "{size} bytes are there, {acknowledged} were acknowledged, {next} were next"
        );
        if has_next {
            self.is_unclear = false;
            self.pieces += 1;
        }
        Ok(has_next)
    }

    /// Waits until all of it is read at a storage.
    pub(crate) fn must_be_at(&self, storage: SocketAddr) {
        let content = self.content();
        read_in_time(&format!("{} at {storage}", self.seed), || {
            is_read_at(storage, &self.id, &content)
        });
    }
}
