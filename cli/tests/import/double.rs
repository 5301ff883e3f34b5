//! What an import asks of a FastDFS: a tracker and two storages, as far as it does.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::spawn;

use super::old_files::OldFile;
use super::talk::{field, message, numbers, read_message};

/// Statuses: no such file, wrong.
const MISSING: u8 = 2;
const WRONG: u8 = 22;
/// The disk fails.
const FAILED: u8 = 5;
/// A length that means that the answer ends with the connection.
const ENDLESS: u64 = 0x0400_0000_0000_0000;

/// A FastDFS of one tracker and one group. The tracker names the first storage, which has all but
/// what the second alone has whole.
pub(crate) struct Double {
    pub(crate) tracker: SocketAddr,
    shared: Arc<Shared>,
}

/// What its storages log beside and instead of what they have.
#[derive(Default)]
pub(crate) struct Lists {
    /// Names in the log of the first beside those of its files: deleted since.
    pub(crate) deleted: Vec<String>,
    /// Files of the second that stand in its log.
    pub(crate) at_second: Vec<String>,
    /// Files the first one fails to read.
    pub(crate) rotten: Vec<String>,
}

struct Shared {
    storages: [SocketAddr; 2],
    files: BTreeMap<String, OldFile>,
    at_second: BTreeMap<String, OldFile>,
    lists: Lists,
    is_endless: AtomicBool,
    /// Its log ends too early.
    is_log_cut: AtomicBool,
    downloads: AtomicUsize,
    /// Downloads from this one on stop in their middle.
    held_from: AtomicUsize,
    /// So many downloads are cut off in their middle.
    cuts_left: AtomicUsize,
    is_released: Mutex<bool>,
    released: Condvar,
}

impl Double {
    /// It stops in the middle of each download after so many.
    pub(crate) fn start(
        [files, at_second]: [Vec<OldFile>; 2],
        lists: Lists,
        held_from: usize,
    ) -> Double {
        let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let (tracker, first, second) = (listen(), listen(), listen());
        let address = |listener: &TcpListener| listener.local_addr().expect("bound");
        let by_name = |files: Vec<OldFile>| {
            let files = files.into_iter().map(|file| (file.name.clone(), file));
            files.collect()
        };
        let shared = Arc::new(Shared {
            storages: [address(&first), address(&second)],
            files: by_name(files),
            at_second: by_name(at_second),
            lists,
            is_endless: AtomicBool::new(false),
            is_log_cut: AtomicBool::new(false),
            downloads: AtomicUsize::new(0),
            held_from: AtomicUsize::new(held_from),
            cuts_left: AtomicUsize::new(0),
            is_released: Mutex::new(false),
            released: Condvar::new(),
        });
        let address = address(&tracker);
        serve(tracker, &shared, Shared::as_tracker);
        serve(first, &shared, Shared::as_first);
        serve(second, &shared, Shared::as_second);
        Double {
            tracker: address,
            shared,
        }
    }

    /// How many downloads were begun.
    pub(crate) fn downloads(&self) -> usize {
        self.shared.downloads.load(Ordering::SeqCst)
    }

    /// Goes on with all downloads.
    pub(crate) fn release(&self) {
        *self.shared.is_released.lock().expect("no panic") = true;
        self.shared.released.notify_all();
    }

    /// Cuts the next downloads off in their middle.
    pub(crate) fn cut(&self, downloads: usize) {
        self.shared.cuts_left.store(downloads, Ordering::SeqCst);
    }

    /// From now on it does not know how long its log is, which ends with the connection; and too
    /// early when it is `cut`.
    pub(crate) fn make_endless(&self, cut: bool) {
        self.shared.is_endless.store(true, Ordering::SeqCst);
        self.shared.is_log_cut.store(cut, Ordering::SeqCst);
    }
}

type Serve = fn(&Shared, &mut TcpStream, u8, &[u8]) -> Option<()>;

fn serve(listener: TcpListener, shared: &Arc<Shared>, answer: Serve) {
    let shared = Arc::clone(shared);
    spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let shared = Arc::clone(&shared);
            spawn(move || {
                let mut stream = stream;
                while let Ok((command, _, body)) = read_message(&mut stream) {
                    if answer(&shared, &mut stream, command, &body).is_none() {
                        return;
                    }
                }
            });
        }
    });
}

/// Sends an answer; nothing when the connection is over.
fn send(stream: &mut TcpStream, status: u8, body: &[u8]) -> Option<()> {
    stream.write_all(&message(100, status, body)).ok()
}

impl Shared {
    fn as_tracker(&self, stream: &mut TcpStream, command: u8, body: &[u8]) -> Option<()> {
        let address = |width| field("127.0.0.1", width);
        let port = |storage: usize| u64::from(self.storages[storage].port());
        match command {
            111 => send(stream, 0, &[]),
            91 => send(stream, 0, &field("group1", 113)),
            92 if body == field("group1", 16) => {
                let record = |storage| {
                    let head = [vec![7, 6], field("100001", 16), address(16)].concat();
                    let counts = numbers(&[1, 2, 3, 4, 5, 6, 2, 256, 0, port(storage)]);
                    let mut record = [head, field("", 16), field("6.13", 8), counts].concat();
                    record.resize(487, 0);
                    record
                };
                send(stream, 0, &[record(0), record(1)].concat())
            }
            102 => {
                let named = [&body[..16], &address(15), &numbers(&[port(0)])].concat();
                send(stream, 0, &named)
            }
            _ => send(stream, MISSING, &[]),
        }
    }

    fn as_first(&self, stream: &mut TcpStream, command: u8, body: &[u8]) -> Option<()> {
        match command {
            26 => self.tell_log(stream, body[16], &self.lists.deleted, self.files.values()),
            14 if self.is_rotten(&body[32..]) => send(stream, FAILED, &[]),
            _ => self.tell_file(stream, &self.files, (command, body)),
        }
    }

    fn is_rotten(&self, name: &[u8]) -> bool {
        let mut rotten = self.lists.rotten.iter();
        rotten.any(|one| one.as_bytes() == name)
    }

    fn as_second(&self, stream: &mut TcpStream, command: u8, body: &[u8]) -> Option<()> {
        if command == 26 {
            let files = self.at_second.values();
            let files = files.filter(|file| self.lists.at_second.contains(&file.name));
            return self.tell_log(stream, body[16], &[], files);
        }
        self.tell_file(stream, &self.at_second, (command, body))
    }

    fn tell_file(
        &self,
        stream: &mut TcpStream,
        files: &BTreeMap<String, OldFile>,
        (command, body): (u8, &[u8]),
    ) -> Option<()> {
        let name = &body[if command == 14 { 32 } else { 16 }..];
        let name = String::from_utf8_lossy(name).into_owned();
        let Some(file) = files.get(&name) else {
            return send(stream, MISSING, &[]);
        };
        match command {
            22 => {
                let told = numbers(&[file.content.len() as u64, 1_700_000_000, 0]);
                send(stream, 0, &[told, field("10.1.2.3", 16)].concat())
            }
            15 if file.metadata.is_empty() => send(stream, MISSING, &[]),
            15 => send(stream, 0, &file.metadata),
            // As the original does: the connection is closed.
            14 if file.content.is_empty() => send(stream, WRONG, &[]).and(None),
            14 => self.give(stream, &file.content),
            _ => send(stream, WRONG, &[]).and(None),
        }
    }

    fn give(&self, stream: &mut TcpStream, content: &[u8]) -> Option<()> {
        let number = self.downloads.fetch_add(1, Ordering::SeqCst);
        let answer = message(100, 0, content);
        let (first, rest) = answer.split_at(answer.len() - content.len().div_ceil(2));
        stream.write_all(first).ok()?;
        let one_less = |left: usize| left.checked_sub(1);
        let cuts = self
            .cuts_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        if cuts.is_ok() {
            return None;
        }
        if number >= self.held_from.load(Ordering::SeqCst) {
            let mut is_released = self.is_released.lock().expect("no panic");
            while !*is_released {
                is_released = self.released.wait(is_released).expect("no panic");
            }
        }
        stream.write_all(rest).ok()
    }

    fn tell_log<'a>(
        &self,
        stream: &mut TcpStream,
        path: u8,
        deleted: &[String],
        files: impl Iterator<Item = &'a OldFile>,
    ) -> Option<()> {
        let prefix = format!("M{path:02X}/");
        let mut log = String::new();
        for name in deleted.iter().filter(|name| name.starts_with(&prefix)) {
            log.push_str(&format!("1700000000 C {name}\n1700000009 D {name}\n"));
        }
        for file in files {
            if file.name.starts_with(&prefix) {
                log.push_str(&format!("1700000000 c {}\n", file.name));
            }
            if file.name.starts_with(&prefix) && !file.metadata.is_empty() {
                log.push_str(&format!("1700000001 C {}-m\n", file.name));
            }
        }
        if !self.is_endless.load(Ordering::SeqCst) {
            return send(stream, 0, log.as_bytes());
        }
        let header = [&ENDLESS.to_be_bytes()[..], &[100, 0]].concat();
        stream.write_all(&header).ok()?;
        let count = (log.len() as u64).to_be_bytes();
        let whole = [log.as_bytes(), &count].concat();
        // As many bytes behind a line as a count has.
        let cut = log.find('\n').map_or(0, |end| end + 1 + count.len());
        let end = match self.is_log_cut.load(Ordering::SeqCst) {
            true => cut,
            false => whole.len(),
        };
        stream.write_all(&whole[..end]).ok()?;
        None
    }
}
