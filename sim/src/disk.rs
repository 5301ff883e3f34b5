//! The simulated disk of one server: a disk in memory whose work is done by tasks of the server's
//! host, each step after a seeded time, and which ages, fills up and fails when it is told to.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sdfs_log::{
    CrashLoss, DirLock, Disk, DiskFile, DiskSpace, Fault, MemoryDisk, Step, Work, Working,
};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::random::Random;
use crate::tally::Strike;

/// Steps after which work that was told to end must have ended.
const LAST_STEPS_MAX: u32 = 100_000;

/// A disk of one server between two of its crashes.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk {
    files: MemoryDisk,
    bytes: u64,
    strain: Arc<Mutex<Strain>>,
}

/// How well the disk is; it outlives crashes, as a worn disk does.
#[derive(Debug)]
struct Strain {
    random: Random,
    /// Added to every step.
    slower: Option<(Duration, Strike)>,
    /// Syncs until one that fails.
    sync_fails_after: Option<(u64, Strike)>,
    /// Changes that are to fail, by their number.
    planned: Vec<(u64, Strike)>,
    /// It is full.
    full: Option<Strike>,
    /// Reads fail.
    unreadable: Option<Strike>,
}

impl Strain {
    /// How long the disk takes for one step.
    fn step_time(&mut self) -> Duration {
        let random = &mut self.random;
        let usual = if random.percent(3) {
            Duration::from_millis(random.within(5..80))
        } else {
            Duration::from_micros(random.within(100..3_000))
        };
        let slower = self.slower.as_ref().map(|(more, strike)| {
            strike.took_effect();
            *more
        });
        usual + slower.unwrap_or(Duration::ZERO)
    }

    /// Whether the sync that comes now fails.
    fn sync_fails(&mut self) -> bool {
        let Some((left, strike)) = self.sync_fails_after.take() else {
            return false;
        };
        match left.checked_sub(1) {
            Some(left) => self.sync_fails_after = Some((left, strike)),
            None => strike.took_effect(),
        }
        self.sync_fails_after.is_none()
    }
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub(crate) fn new(random: Random, bytes: u64) -> Self {
        Self {
            files: MemoryDisk::new(bytes),
            bytes,
            strain: Arc::new(Mutex::new(Strain {
                random,
                slower: None,
                sync_fails_after: None,
                planned: Vec::new(),
                full: None,
                unreadable: None,
            })),
        }
    }

    /// Stops it for good and gives the one found after the restart.
    #[must_use]
    pub(crate) fn crash(&self, loss: CrashLoss) -> Self {
        self.end_strikes();
        Self {
            files: self.files.crash(loss),
            bytes: self.bytes,
            strain: Arc::clone(&self.strain),
        }
    }

    /// The disk that is put in the place of this one: nothing is on it.
    #[must_use]
    pub(crate) fn replaced(&self) -> Self {
        self.end_strikes();
        drop(self.files.crash(CrashLoss::Everything));
        Self {
            files: MemoryDisk::new(self.bytes),
            bytes: self.bytes,
            strain: Arc::clone(&self.strain),
        }
    }

    /// Ends what a restart ends.
    fn end_strikes(&self) {
        let changes = self.files.changes();
        let mut strain = self.strain();
        strain.sync_fails_after = None;
        strain.unreadable = None;
        let planned = strain.planned.drain(..);
        planned
            .filter(|(number, _)| *number < changes)
            .for_each(|(_, strike)| strike.took_effect());
    }

    /// Lets a change soon to come fail.
    pub(crate) fn fail_soon(&self, after: u64, fault: Fault, strike: Strike) {
        let number = self.files.changes() + after;
        self.files.fail_change(number, fault);
        self.strain().planned.push((number, strike));
    }

    /// Lets a sync soon to come fail.
    pub(crate) fn fail_sync(&self, after: u64, strike: Strike) {
        self.strain().sync_fails_after = Some((after, strike));
    }

    /// Lets reads fail, or no longer with `None`.
    pub(crate) fn fail_reads(&self, strike: Option<Strike>) {
        self.files.fail_reads(strike.is_some());
        self.strain().unreadable = strike;
    }

    /// Makes every step slower by so much, or as fast as it was with `None`.
    pub(crate) fn slow(&self, more: Option<(Duration, Strike)>) {
        self.strain().slower = more;
    }

    /// Leaves so many bytes free, as another program that fills the disk does; `None` gives all
    /// room back.
    pub(crate) fn fill(&self, left: Option<(u64, Strike)>) {
        let space = self.files.space(Path::new("/"));
        let (free_bytes, strike) = left.unzip();
        self.strain().full = strike;
        let filled = free_bytes.zip(space.ok()).map(|(free, space)| {
            let used = space.total_bytes.saturating_sub(space.free_bytes);
            self.bytes.min(used + free)
        });
        self.files.set_capacity(filled.unwrap_or(self.bytes));
    }

    /// Flips a bit of something written in a directory; what was hit, if there was anything.
    pub(crate) fn rot(&self, dir: &Path, random: &mut Random) -> Option<String> {
        let mut names = self.files.list(dir).ok()?;
        names.sort_unstable();
        let written: Vec<u64> = names
            .iter()
            .map(|name| self.written(&dir.join(name)))
            .collect();
        let all: u64 = written.iter().sum();
        let mut byte = if all == 0 {
            return None;
        } else {
            random.within(0..all)
        };
        for (name, written) in names.iter().zip(written) {
            if byte < written {
                let bit = 8 * byte + random.within(0..8);
                self.files.flip_bit(&dir.join(name), bit).ok()?;
                return Some(format!("{name} byte {byte} of {written}"));
            }
            byte -= written;
        }
        None
    }

    /// Bytes of a file without the zeroes at its end.
    fn written(&self, path: &Path) -> u64 {
        let bytes = self.files.open(path).and_then(|file| {
            let length = usize::try_from(file.bytes()?).map_err(io::Error::other)?;
            file.read_at(0, length)
        });
        // A file that is just taken away has nothing.
        let written = bytes.map(|bytes| bytes.iter().rposition(|byte| *byte != 0));
        written.map_or(0, |last| last.map_or(0, |last| last as u64 + 1))
    }

    fn strain(&self) -> MutexGuard<'_, Strain> {
        self.strain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, inner: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let disk = self.clone();
        Arc::new(SimFile { inner, disk })
    }
}

impl Disk for SimDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.make_dir(dir)
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<DirLock> {
        self.files.lock_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.files.list(dir)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.files.open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.files.create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.sync_dir(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<DiskSpace> {
        // Whoever asks now is told that there is no room.
        if let Some(strike) = &self.strain().full {
            strike.took_effect();
        }
        self.files.space(dir)
    }

    fn start(&self, _name: String, work: Work) -> io::Result<Arc<dyn Working>> {
        let stepper = Arc::new(Stepper {
            work: Mutex::new(Some(work)),
            due: Notify::new(),
        });
        let (disk, task) = (self.clone(), Arc::clone(&stepper));
        tokio::spawn(async move { task.run(&disk).await });
        Ok(stepper)
    }
}

/// A file of the disk in memory, whose syncs fail when the disk is told so.
#[derive(Debug)]
struct SimFile {
    inner: Arc<dyn DiskFile>,
    disk: SimDisk,
}

impl SimFile {
    /// Notes that a read fails, if reads do.
    fn note_read(&self) {
        if let Some(strike) = &self.disk.strain().unreadable {
            strike.took_effect();
        }
    }
}

impl DiskFile for SimFile {
    fn bytes(&self) -> io::Result<u64> {
        self.inner.bytes()
    }

    fn write_at(&self, offset: u64, pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.inner.write_at(offset, pieces)
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.note_read();
        self.inner.read_at(offset, length)
    }

    fn read_at_now(&self, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        self.note_read();
        self.inner.read_at_now(offset, length)
    }

    fn sync(&self) -> io::Result<()> {
        if self.disk.strain().sync_fails() {
            let files = &self.disk.files;
            files.fail_change(files.changes(), Fault::Io);
        }
        self.inner.sync()
    }
}

/// Work done by a task.
struct Stepper {
    /// `None` when it is over. Locked while a step is done, which happens on one thread only.
    work: Mutex<Option<Work>>,
    due: Notify,
}

impl fmt::Debug for Stepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stepper")
    }
}

impl Stepper {
    async fn run(&self, disk: &SimDisk) {
        loop {
            let time = disk.strain().step_time();
            sleep(time).await;
            match self.step() {
                Step::Again => {}
                Step::Wait => self.due.notified().await,
                // Woken or not, the step looks for itself.
                Step::WaitFor(time) => timeout(time, self.due.notified()).await.unwrap_or(()),
                Step::End => return,
            }
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, Option<Work>>> {
        self.work.try_lock().ok()
    }

    fn step(&self) -> Step {
        let Some(mut work) = self.lock() else {
            return Step::Wait;
        };
        let Some(step) = work.as_mut() else {
            return Step::End;
        };
        let left = step();
        if left == Step::End {
            let over = work.take();
            drop(work);
            drop(over);
        }
        left
    }
}

impl Working for Stepper {
    fn wake(&self) {
        self.due.notify_one();
    }

    fn help(&self) -> bool {
        while self.step() == Step::Again {}
        // What is left waits for the clock, which stands still while anybody blocks.
        false
    }

    fn is_current(&self) -> bool {
        self.lock().is_none()
    }

    fn join(&self) {
        for _ in 0..LAST_STEPS_MAX {
            if self.step() == Step::End {
                return;
            }
        }
        tracing::error!("work of a disk does not end");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Kind;
    use crate::tally::Tally;
    use sdfs_log::{LogOptions, Record, SegmentLog};

    fn open(disk: &SimDisk) -> SegmentLog {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let options = LogOptions {
            reserve_bytes: 0,
            ..LogOptions::named("test")
        };
        SegmentLog::open(disk, Path::new("/log"), options, None, &mut |_, _, _| {}).unwrap()
    }

    fn disk() -> SimDisk {
        SimDisk::new(Random::of(1, "disk"), 1 << 30)
    }

    fn strike() -> Strike {
        Tally::default().strike(Kind::SyncFails)
    }

    fn record() -> Record {
        Record::new(vec![1].into(), vec![2; 100].into())
    }

    #[tokio::test(start_paused = true)]
    async fn last_handle_may_go_in_a_callback() {
        let disk = disk();
        let log = open(&disk);
        let last = log.clone();
        log.append(record(), move |_| drop(last)).unwrap();
        drop(log);
        let is_free = async {
            while disk.lock_dir(Path::new("/log")).is_err() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(5), is_free).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn failed_sync_closes_the_log() {
        let disk = disk();
        let log = open(&disk);
        log.append_durable(record()).await.unwrap();
        disk.fail_sync(0, strike());
        log.append_durable(record()).await.unwrap_err();
        assert!(log.failure().is_some());
        disk.fail_sync(0, strike());
        let log = open(&disk.crash(CrashLoss::Nothing));
        log.append_durable(record()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn failing_reads_are_counted() {
        let (disk, tally) = (disk(), Tally::default());
        let log = open(&disk);
        let position = log.append_durable(record()).await.unwrap();
        let count = || tally.of(Kind::ReadsFail);
        disk.fail_reads(Some(tally.strike(Kind::ReadsFail)));
        assert_eq!(count(), 0);
        log.read_async(position).await.unwrap_err();
        assert_eq!(count(), 1);
        disk.fail_reads(None);
        log.read_async(position).await.unwrap();
        assert_eq!(count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn full_disk_gets_room_again() {
        let disk = disk();
        let log = open(&disk);
        log.append_durable(record()).await.unwrap();
        disk.fill(Some((0, strike())));
        log.look_at_space();
        log.append_durable(record()).await.unwrap_err();
        disk.fill(None);
        log.look_at_space();
        log.append_durable(record()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_blocks_for_room() {
        let disk = disk();
        let log = open(&disk);
        log.append_durable(record()).await.unwrap();
        disk.fail_soon(0, Fault::NoSpace, strike());
        log.append(record(), |_| {}).unwrap();
        let (begun, wait) = (std::time::Instant::now(), Duration::from_secs(60));
        assert!(!log.sync_blocking(wait));
        assert!(begun.elapsed() < wait / 2);
        log.append_durable(record()).await.unwrap();
    }
}
