//! One client: does one thing after the other to names it shares with all, and to its own, and
//! writes down what it asked and was told.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sdfs_client::{CallOptions, Client, CreateOptions, Error, PutOptions};
use sdfs_types::BlockSize;
use tokio::time::sleep;

use super::content::{self, CELL_BYTES, SMALL_BLOCK_BYTES};
use super::history::{Ask, Operation, Outcome, Value};
use super::limits::{
    IMPATIENT_WITHIN, OPERATION_WITHIN, OWN_NAMES, PAUSE_MS_MAX, REPEATS_MAX, SHARED_NAMES,
};
use super::random::Random;
use super::rename::{self, Rename};

/// What all clients of a run have in common.
pub(super) struct Work {
    /// The directory of the run.
    pub(super) root: String,
    /// When the run began.
    pub(super) began: Instant,
    /// Set when it is time to end.
    pub(super) is_over: Cell<bool>,
    /// Operations ended so far, and those of unknown outcome among them.
    pub(super) done: Cell<(u64, u64)>,
    /// Everything that was asked and told, in the order of the ends.
    pub(super) operations: RefCell<Vec<Operation>>,
    /// Renames of which nobody knows yet what became of the file.
    pub(super) renames: RefCell<Vec<Rename>>,
}

/// A client at work.
pub(super) struct Worker {
    number: u32,
    client: Client,
    random: Random,
    work: Rc<Work>,
    serial: u64,
    /// What it believes its own names hold; a name of unknown content is not in it.
    own: BTreeMap<String, Value>,
}

impl Work {
    /// A name of all.
    pub(super) fn shared(&self, name: &str) -> String {
        format!("{}/shared/{name}", self.root)
    }

    /// The directory of a client's own names.
    pub(super) fn own(&self, client: u32) -> String {
        format!("{}/own-{client}", self.root)
    }

    /// The whole history, with what the two names of a rename say of one another.
    pub(super) fn settled(&self) -> Vec<Operation> {
        rename::settled(&self.operations.borrow(), &self.renames.borrow())
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Writes an operation down that has just ended.
    fn note(&self, (client, name): (u32, &str), ask: Ask, begin_us: u64, outcome: &Outcome) {
        let (done, unknown) = self.done.get();
        let unknown = unknown + u64::from(outcome.is_unknown());
        self.done.set((done + 1, unknown));
        self.operations.borrow_mut().push(Operation {
            client,
            name: name.to_owned(),
            ask,
            begin_us,
            end_us: self.now_us(),
            outcome: outcome.clone(),
        });
    }

    /// Reads a name and writes down what it held.
    pub(super) async fn get(&self, number: u32, client: &Client, name: &str) -> Outcome {
        let begin_us = self.now_us();
        let got = client.get(name).await;
        let outcome = got.map_or_else(|error| failed(&error), |bytes| content::whole(&bytes));
        self.note((number, name), Ask::Get, begin_us, &outcome);
        outcome
    }
}

fn failed(error: &Error) -> Outcome {
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

fn changed<T>(done: Result<T, Error>) -> Outcome {
    done.map_or_else(|error| failed(&error), |_| Outcome::Done)
}

/// How long a client waits for an outcome at first.
fn patience(client: u32) -> Duration {
    match client % 3 {
        2 => IMPATIENT_WITHIN,
        _ => OPERATION_WITHIN,
    }
}

impl Worker {
    /// The `number`-th client of a run.
    pub(super) fn new(number: u32, client: Client, seed: u64, work: Rc<Work>) -> Worker {
        let timeout = Some(patience(number));
        let client = client.with(CallOptions {
            timeout,
            ..CallOptions::default()
        });
        Worker {
            number,
            client,
            random: Random::of(seed, 1_000 + u64::from(number)),
            work,
            serial: 0,
            own: BTreeMap::new(),
        }
    }

    /// Works until the run says that it is over.
    pub(super) async fn run(mut self) {
        while !self.work.is_over.get() {
            if self.random.within(0..100) < 60 {
                self.act_on_shared().await;
            } else {
                self.act_on_own().await;
            }
            let pause = self.random.within(0..PAUSE_MS_MAX);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn act_on_shared(&mut self) {
        let place = self.random.within(0..SHARED_NAMES.len() as u64);
        let name = SHARED_NAMES[usize::try_from(place).unwrap_or(0)];
        let name = self.work.shared(name);
        match self.random.within(0..100) {
            0..30 => drop(self.get(&name).await),
            30..38 => self.get_range(&name).await,
            38..46 => self.stat(&name).await,
            46..50 => self.list().await,
            50..70 => drop(self.put(&name, true).await),
            70..78 => drop(self.put(&name, false).await),
            78..82 => drop(self.create(&name).await),
            82..90 => drop(self.delete(&name).await),
            90..96 => self.rename_to(&name).await,
            _ => self.rename_away(&name).await,
        }
    }

    async fn act_on_own(&mut self) {
        let number = self.random.within(0..OWN_NAMES);
        let name = format!("{}/{number}", self.work.own(self.number));
        let held = self.own.get(&name).copied();
        match (self.random.within(0..100), held) {
            (0..30, _) => drop(self.get(&name).await),
            (30..40, _) => self.get_range(&name).await,
            (40..46, _) => self.stat(&name).await,
            (46..62, Some(value)) if !content::is_hole(value) => {
                self.overwrite(&name, value).await;
            }
            (62..70, Some(value)) if !content::is_hole(value) => {
                let other = format!("{}/{}", self.work.own(self.number), number ^ 1);
                self.put_instant(&name, &other, value).await;
            }
            (46..80, _) => drop(self.put(&name, true).await),
            (80..88, _) => drop(self.put(&name, false).await),
            (88..92, _) => drop(self.create(&name).await),
            _ => drop(self.delete(&name).await),
        }
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn next_value(&mut self, like: Option<Value>) -> Value {
        let serial = self.next_serial();
        content::value(self.number, serial, like)
    }

    /// Writes an operation down, and what it makes of a name of its own.
    fn note(&mut self, name: &str, ask: Ask, begin_us: u64, outcome: &Outcome) {
        let who = (self.number, name);
        self.work.note(who, ask, begin_us, outcome);
        if !ask.is_change() {
            return;
        }
        match (ask.value(), outcome) {
            (Some(value), Outcome::Done) => drop(self.own.insert(name.to_owned(), value)),
            (_, Outcome::Present) => {}
            _ => drop(self.own.remove(name)),
        }
    }

    /// Does a change by one request id, and now and then again while its outcome is unknown.
    async fn change<F: Future<Output = Outcome>>(
        &mut self,
        name: &str,
        ask: Ask,
        attempt: impl Fn(Client) -> F,
    ) -> Outcome {
        let begin_us = self.work.now_us();
        let patient = CallOptions {
            request: Some(self.client.next_request()),
            ..CallOptions::default()
        };
        let first = CallOptions {
            timeout: Some(patience(self.number)),
            ..patient
        };
        let mut outcome = attempt(self.client.with(first)).await;
        let repeats = self.random.within(0..REPEATS_MAX + 1);
        for _ in 0..repeats {
            if !outcome.is_unknown() || self.work.is_over.get() {
                break;
            }
            let again = attempt(self.client.with(patient)).await;
            // A repetition that could not be made proves nothing about the first attempt.
            if again.is_answer() {
                outcome = again;
            }
        }
        self.note(name, ask, begin_us, &outcome);
        outcome
    }

    async fn put(&mut self, name: &str, replace: bool) -> Outcome {
        let value = self.next_value(None);
        let ask = if replace {
            Ask::Put(value)
        } else {
            Ask::PutNew(value)
        };
        // Files larger than a small block have several, or one.
        let is_small = self.random.within(0..2) == 0;
        let block_size = is_small.then(|| BlockSize::from_bytes(SMALL_BLOCK_BYTES));
        let options = PutOptions {
            replace,
            block_size: block_size.and_then(Result::ok),
            ..PutOptions::default()
        };
        let bytes = content::content(value);
        self.change(name, ask, |client| {
            let (bytes, options) = (bytes.clone(), options.clone());
            async move { changed(client.put(name, bytes, options).await) }
        })
        .await
    }

    /// Stores a value once more under the name that holds it and under another one, which share
    /// their bytes from then on.
    async fn put_instant(&mut self, held_by: &str, other: &str, value: Value) {
        let bytes = content::content(value);
        let options = PutOptions {
            replace: true,
            ..PutOptions::default()
        };
        for name in [held_by, other] {
            self.change(name, Ask::Put(value), |client| {
                let (mut reader, options) = (Cursor::new(bytes.clone()), options.clone());
                async move { changed(client.put_instant(name, &mut reader, options).await) }
            })
            .await;
        }
    }

    async fn create(&mut self, name: &str) -> Outcome {
        let serial = self.next_serial();
        let value = content::hole(self.number, serial);
        let options = CreateOptions {
            size_bytes: content::length(value),
            ..CreateOptions::default()
        };
        self.change(name, Ask::Create(value), |client| {
            let options = options.clone();
            async move { changed(client.create_file_meta_data(name, options).await) }
        })
        .await
    }

    async fn delete(&mut self, name: &str) -> Outcome {
        self.change(name, Ask::Delete, |client| async move {
            changed(client.delete(name).await)
        })
        .await
    }

    /// Writes over what a name of its own holds, in place.
    async fn overwrite(&mut self, name: &str, held: Value) {
        let value = self.next_value(Some(held));
        let bytes = content::content(value);
        let begin_us = self.work.now_us();
        let client = self.client.clone();
        let outcome = match client.open_for_write(name).await {
            Ok(file) => changed(file.write_at(0, bytes).await),
            // Looking at it has changed nothing.
            Err(error) if error.is_unknown() => Outcome::Failed(error.to_string()),
            Err(error) => failed(&error),
        };
        self.note(name, Ask::Overwrite(value), begin_us, &outcome);
    }

    /// Stores a value under a name nobody else knows and gives it a shared name.
    async fn rename_to(&mut self, name: &str) {
        let serial = self.next_serial();
        let own = format!("{}/from-{serial}", self.work.own(self.number));
        if self.put(&own, false).await != Outcome::Done {
            return;
        }
        let Some(value) = self.own.get(&own).copied() else {
            return;
        };
        let is_over = self.random.within(0..2) == 0;
        let ask = if is_over {
            Ask::RenameOver(value)
        } else {
            Ask::RenameTo(value)
        };
        let begin_us = self.work.now_us();
        let renamed = if is_over {
            self.client.rename_over(&own, name).await
        } else {
            self.client.rename(&own, name).await
        };
        let outcome = changed(renamed);
        let at_own = match &outcome {
            Outcome::Done => Outcome::Saw(value),
            other => other.clone(),
        };
        self.note(&own, Ask::RenameAway, begin_us, &at_own);
        // That the source is missing its own history tells.
        if outcome != Outcome::Absent {
            self.note(name, ask, begin_us, &outcome);
        }
        if outcome.is_unknown() {
            self.look_after(Rename {
                client: self.number,
                from: own,
                to: name.to_owned(),
                value: Some(value),
                begin_us,
            })
            .await;
        }
    }

    /// Looks at the name nobody else uses, which tells whether a rename was done; soon, as what is
    /// open for long leaves many ways to explain what others saw.
    async fn look_after(&mut self, rename: Rename) {
        let own = rename.own().to_owned();
        self.work.renames.borrow_mut().push(rename);
        for _ in 0..=REPEATS_MAX {
            if self.get(&own).await.is_answer() {
                return;
            }
        }
    }

    /// Gives what a shared name holds a name nobody else knows, and looks what it was.
    async fn rename_away(&mut self, name: &str) {
        let serial = self.next_serial();
        let own = format!("{}/to-{serial}", self.work.own(self.number));
        let begin_us = self.work.now_us();
        let outcome = changed(self.client.rename(name, &own).await);
        let rename = Rename {
            client: self.number,
            from: name.to_owned(),
            to: own.clone(),
            value: None,
            begin_us,
        };
        if outcome != Outcome::Done {
            self.note(name, Ask::RenameAway, begin_us, &outcome);
            if outcome.is_unknown() {
                self.look_after(rename).await;
            }
            return;
        }
        // It is here by now, whatever a look at it takes.
        let end_us = self.work.now_us();
        let client = self.client.clone();
        let mut seen = client.get(&own).await;
        for _ in 0..REPEATS_MAX {
            if seen.is_err() {
                seen = client.get(&own).await;
            }
        }
        let seen = seen.map_or_else(|error| failed(&error), |bytes| content::whole(&bytes));
        let (taken, value) = match seen {
            Outcome::Saw(value) => (Outcome::Saw(value), Some(value)),
            // What it was the reads of the end tell.
            Outcome::Unknown(_) | Outcome::Failed(_) => {
                self.work.renames.borrow_mut().push(rename);
                (Outcome::Done, None)
            }
            // Not there, or garbled: the history of the new name cannot be explained.
            _ => (Outcome::Done, Some(0)),
        };
        self.note(name, Ask::RenameAway, begin_us, &taken);
        self.end_at(name, end_us);
        if let Some(value) = value {
            self.note(&own, Ask::RenameTo(value), begin_us, &Outcome::Done);
            self.end_at(&own, end_us);
            let again = self.get(&own).await;
            tracing::debug!(%own, ?again, "taken");
        }
    }

    /// The last operation has ended earlier than it was written down.
    fn end_at(&self, name: &str, end_us: u64) {
        let mut operations = self.work.operations.borrow_mut();
        if let Some(last) = operations.last_mut().filter(|last| last.name == name) {
            last.end_us = end_us;
        }
    }

    async fn get(&mut self, name: &str) -> Outcome {
        self.work.get(self.number, &self.client, name).await
    }

    async fn get_range(&mut self, name: &str) {
        let first = self.random.within(0..70_000) / CELL_BYTES * self.random.within(0..2);
        let cells = self.random.within(1..2_000);
        let range = first * CELL_BYTES..(first + cells) * CELL_BYTES;
        let begin_us = self.work.now_us();
        let got = self.client.get_range(name, range).await;
        let outcome = match got {
            // Beyond the end there is nothing to know it by, but that it is there.
            Ok(bytes) if bytes.is_empty() => Outcome::Present,
            Ok(bytes) => content::part(&bytes, first),
            Err(error) => failed(&error),
        };
        self.note(name, Ask::GetRange, begin_us, &outcome);
    }

    async fn stat(&mut self, name: &str) {
        let begin_us = self.work.now_us();
        let outcome = match self.client.stat(name).await {
            Ok(stat) => match stat.file {
                Some(file) => Outcome::Sized(file.size_bytes),
                None => Outcome::Garbled("a directory".to_owned()),
            },
            Err(error) => failed(&error),
        };
        self.note(name, Ask::Stat, begin_us, &outcome);
    }

    /// Lists the shared names: a look at each of them.
    async fn list(&mut self) {
        let directory = format!("{}/shared", self.work.root);
        let begin_us = self.work.now_us();
        let listed = self.client.list_page(&directory, None, u32::MAX).await;
        for name in SHARED_NAMES {
            let outcome = match &listed {
                Ok(page) if page.entries.iter().any(|entry| &*entry.name == name) => {
                    Outcome::Present
                }
                Ok(_) => Outcome::Absent,
                Err(error) => Outcome::Failed(error.to_string()),
            };
            let name = self.work.shared(name);
            self.note(&name, Ask::List, begin_us, &outcome);
        }
    }
}
