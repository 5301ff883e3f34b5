//! What clients do: each puts, gets, deletes and renames a few names that all of them share.

use std::io::Cursor;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sdfs_client::{Client, ClientOptions, Config, CreateOptions, Error, PutOptions, Servers};
use sdfs_server_group::UserKey;
use sdfs_types::{BlockSize, FileDescriptor};
use tokio::time::sleep;

use crate::course::{Course, Phase};
use crate::faults::Kind;
use crate::history::{History, Operation, Outcome, Value, What};
use crate::network::Network;
use crate::random::Random;
use crate::repeater::{Repeater, create_twice, delete_twice, rename_twice};
use crate::stream::SimTransport;
use crate::tally::Tally;
use crate::trace::Trace;

/// Names all clients fight over.
pub(crate) const NAMES: [&str; 5] = ["/a", "/b", "/c", "/d", "/e"];
/// Names under which all of them make files without content.
pub(crate) const EMPTY_NAMES: [&str; 2] = ["/f", "/g"];
/// How long one operation may take.
const TIMEOUT: Duration = Duration::from_secs(8);
/// What an operation of several calls and blocks may take beyond the time of one.
const PARTS_MAX: u32 = 4;
/// The same of a put that looks whether the content is known: its calls prove, send and share.
const INSTANT_PARTS_MAX: u32 = 10;
/// How often a client that waits looks at how far the run is.
const PHASE_LOOK: Duration = Duration::from_millis(20);
/// Block size of the files that have several blocks.
pub(crate) const BLOCK_BYTES: u64 = 64 << 10;

/// One client.
pub(crate) struct Actor {
    pub(crate) number: usize,
    pub(crate) random: Random,
    pub(crate) history: History,
    pub(crate) trace: Trace,
    pub(crate) course: Rc<Course>,
    pub(crate) repeater: Repeater,
    pub(crate) tally: Tally,
    /// Whether some contents get several names.
    pub(crate) is_sharing: bool,
}

/// The names a client shows with that the cluster takes changes: the one it puts, and the one it
/// gives that file then and deletes.
pub(crate) fn proof_names(client: usize) -> (String, String) {
    (format!("/proof-{client}"), format!("/proven-{client}"))
}

/// The bytes of a value: its number, then noise that belongs to it.
pub(crate) fn content(value: Value) -> Bytes {
    let mut random = Random::of(value, "content");
    let bytes = match random.within(0..10) {
        0 => 8,
        1 => random.within(100_000..200_000),
        _ => random.within(8..9_000),
    };
    let mut content = value.to_le_bytes().to_vec();
    while (content.len() as u64) < bytes {
        content.extend(random.draw().to_le_bytes());
    }
    content.into()
}

fn read(bytes: &Bytes) -> Outcome {
    let value = bytes
        .first_chunk()
        .map(|number| Value::from_le_bytes(*number));
    match value {
        Some(value) if content(value) == *bytes => Outcome::Read(value),
        _ => Outcome::Garbled(format!("{} bytes that are no put's", bytes.len())),
    }
}

/// How what failed ended.
pub(crate) fn failed(error: &Error) -> Outcome {
    if error.is_unknown() {
        Outcome::Unknown(error.to_string())
    } else if error.is_not_found() {
        Outcome::Absent
    } else if error.is_exists() {
        Outcome::Present
    } else {
        Outcome::Failed(error.to_string())
    }
}

/// Connects a client, however long it takes.
pub(crate) async fn connect(config: &Arc<Config>, network: &Network, host: IpAddr) -> Client {
    loop {
        let key = UserKey::of_secret("the secret of its administrator");
        let options = ClientOptions {
            timeout: TIMEOUT,
            transport: Arc::new(SimTransport {
                network: network.clone(),
                host,
            }),
            ..ClientOptions::new(Servers::Config(Arc::clone(config)), "admin", key)
        };
        match Client::connect(options).await {
            Ok(client) => return client,
            Err(error) => tracing::debug!(%host, %error, "not connected"),
        }
        sleep(Duration::from_millis(100)).await;
    }
}

impl Actor {
    /// Works while faults strike, and shows in the end that the cluster takes changes.
    pub(crate) async fn run(mut self, client: Client) {
        while self.course.phase() == Phase::Faults {
            self.act(&client).await;
            let pause = self.random.within(0..60);
            sleep(Duration::from_millis(pause)).await;
        }
        self.course.note_done();
        while self.course.phase() != Phase::Proving {
            sleep(PHASE_LOOK).await;
        }
        self.prove(&client).await;
        self.course.note_done();
    }

    /// A put, a rename and a delete of a name nobody else touches.
    async fn prove(&self, client: &Client) {
        let value = self.course.next_value();
        let (first, last) = proof_names(self.number);
        self.store(client, &first, What::PutNew(value), value).await;
        self.rename(client, &first, &last, value).await;
        self.delete(client, &last).await;
    }

    async fn act(&mut self, client: &Client) {
        let name = (*self.random.pick(&NAMES)).to_owned();
        if self.is_sharing && self.random.percent(25) {
            return self.twins(client, &name).await;
        }
        match self.random.within(0..100) {
            0..26 => self.put(client, &name, true).await,
            26..36 => self.put(client, &name, false).await,
            36..47 => self.delete(client, &name).await,
            47..54 => self.rename_to(client, &name).await,
            54..61 => self.make_or_delete(client).await,
            61..64 => self.repeat(client).await,
            64..72 => self.write_page(client).await,
            72..77 => self.read_page(client).await,
            77..82 => self.look_somewhere(client).await,
            _ => self.get(client, &name).await,
        }
    }

    pub(crate) fn begin(&self, what: What, name: &str) -> usize {
        self.begin_parts(what, name, PARTS_MAX)
    }

    pub(crate) fn begin_parts(&self, what: What, name: &str, parts: u32) -> usize {
        let begin = self.trace.now();
        self.trace
            .say(&format!("client {} {what:?} {name}", self.number));
        self.history.begin(Operation {
            client: self.number,
            what,
            name: name.to_owned(),
            begin,
            end: None,
            ends: 0,
            retries: 0,
            due: begin + TIMEOUT * parts,
        })
    }

    pub(crate) fn end(&self, number: usize, outcome: Outcome) {
        self.trace
            .say(&format!("client {} {outcome:?}", self.number));
        self.history.end(number, self.trace.now(), outcome);
    }

    async fn put(&mut self, client: &Client, name: &str, replace: bool) {
        let value = self.course.next_value();
        let what = if replace {
            What::Put(value)
        } else {
            What::PutNew(value)
        };
        self.store(client, name, what, value).await;
    }

    /// Whether it was acknowledged.
    async fn store(&self, client: &Client, name: &str, what: What, value: Value) -> bool {
        let number = self.begin(what, name);
        let options = PutOptions {
            replace: matches!(what, What::Put(_)),
            block_size: BlockSize::from_bytes(BLOCK_BYTES).ok(),
            ..PutOptions::default()
        };
        let before = client.counters().retries;
        let stored = client.put(name, content(value), options).await;
        let retries = client.counters().retries - before;
        self.history.note_retries(number, retries);
        let is_done = stored.is_ok();
        self.end(number, outcome(stored.map(|file| Some(file.descriptor))));
        is_done
    }

    /// Stores a value under a name of its own and gives it the shared name then.
    async fn rename_to(&mut self, client: &Client, name: &str) {
        let value = self.course.next_value();
        let own = format!("/own-{}-{value}", self.number);
        if !self.store(client, &own, What::PutNew(value), value).await {
            return;
        }
        self.rename(client, &own, name, value).await;
    }

    /// Stores a value under a name of its own and, linked to that, under the shared name; deletes
    /// the first one then, or reads it.
    async fn twins(&mut self, client: &Client, name: &str) {
        let value = self.course.next_value();
        let own = format!("/twin-{}-{value}", self.number);
        let first = What::PutNew(value);
        if !self.store_instant(client, &own, first, value).await {
            return;
        }
        let second = What::Put(value);
        self.store_instant(client, name, second, value).await;
        match self.random.percent(80) {
            true => self.delete(client, &own).await,
            false => self.get(client, &own).await,
        }
    }

    /// Whether it was acknowledged.
    async fn store_instant(&self, client: &Client, name: &str, what: What, value: Value) -> bool {
        let number = self.begin_parts(what, name, INSTANT_PARTS_MAX);
        let options = PutOptions {
            replace: matches!(what, What::Put(_)),
            block_size: BlockSize::from_bytes(BLOCK_BYTES).ok(),
            ..PutOptions::default()
        };
        let mut reader = Cursor::new(content(value));
        let stored = client.put_instant(name, &mut reader, options).await;
        if let Ok(put) = &stored {
            self.trace.say(&format!("client {} {put:?}", self.number));
        }
        let is_done = stored.is_ok();
        // Of a file whose content is shared the descriptor is not the name's alone.
        self.end(number, outcome(stored.map(|_| None)));
        is_done
    }

    async fn rename(&self, client: &Client, from: &str, to: &str, value: Value) {
        let (taken, left) = (
            self.begin(What::RenameTo(value), to),
            self.begin(What::RenameAway, from),
        );
        let renamed = client.rename(from, to).await;
        let outcome = outcome(renamed.map(|_| None));
        self.end(taken, outcome.clone());
        self.end(left, outcome);
    }

    /// Makes a file without content, which has the next life of its name, or deletes it.
    async fn make_or_delete(&mut self, client: &Client) {
        let name = *self.random.pick(&EMPTY_NAMES);
        if self.random.percent(50) {
            return self.delete(client, name).await;
        }
        let number = self.begin(What::PutNew(self.course.next_value()), name);
        let made = client.create_file_meta_data(name, CreateOptions::default());
        let made = made
            .await
            .map(|made| Some(made.file.record().file.descriptor));
        self.end(number, outcome(made));
    }

    /// Makes a file without content, deletes one or gives it another name, and asks for it again at
    /// another mserver.
    async fn repeat(&mut self, client: &Client) {
        let links = self.repeater.links(&mut self.random).await;
        let turn = self.random.within(0..2) as usize;
        let (name, other) = (EMPTY_NAMES[turn], EMPTY_NAMES[1 - turn]);
        let (Some(links), Ok(path), Ok(to)) = (links, name.parse(), other.parse()) else {
            return;
        };
        let request = client.next_request();
        let value = self.course.next_value();
        let whats = match self.random.within(0..3) {
            0 => vec![(What::Delete, name)],
            1 => vec![(What::PutNew(value), name)],
            _ => vec![(What::RenameAway, name), (What::RenameTo(value), other)],
        };
        let begin = |(what, name): &(What, &str)| self.begin(*what, name);
        let numbers: Vec<_> = whats.iter().map(begin).collect();
        let change = (request, path);
        let repeat = match whats[0].0 {
            What::Delete => delete_twice(&links, change, &mut self.random).await,
            What::RenameAway => {
                rename_twice(&links, request, (change.1, to), &mut self.random).await
            }
            _ => create_twice(&links, change, &mut self.random).await,
        };
        if repeat.is_answered() {
            self.tally.strike(Kind::RequestTwice).took_effect();
        }
        let outcome = match repeat.outcome() {
            Outcome::Done(_) if !matches!(whats[0].0, What::PutNew(_)) => Outcome::Done(None),
            outcome => outcome,
        };
        self.history.note_repeat(repeat);
        for number in numbers {
            self.end(number, outcome.clone());
        }
    }

    async fn delete(&self, client: &Client, name: &str) {
        let number = self.begin(What::Delete, name);
        let deleted = client.delete(name).await;
        self.end(number, outcome(deleted.map(|_| None)));
    }

    async fn look_somewhere(&mut self, client: &Client) {
        let empty = self.random.percent(60);
        let names: &[&str] = if empty { &EMPTY_NAMES } else { &NAMES };
        let name = *self.random.pick(names);
        self.look(client, name).await;
    }

    /// Asks whether a name stands for something.
    pub(crate) async fn look(&self, client: &Client, name: &str) {
        let number = self.begin(What::Look, name);
        let seen = client.stat(name).await;
        let outcome = seen.map_or_else(|error| failed(&error), |_| Outcome::Present);
        self.end(number, outcome);
    }

    /// Reads a name and notes what it held.
    pub(crate) async fn get(&self, client: &Client, name: &str) {
        let number = self.begin(What::Get, name);
        let got = client.get(name).await;
        self.end(
            number,
            got.map_or_else(|error| failed(&error), |bytes| read(&bytes)),
        );
    }
}

/// How a change ended.
pub(crate) fn outcome(done: Result<Option<FileDescriptor>, Error>) -> Outcome {
    done.map_or_else(|error| failed(&error), Outcome::Done)
}
