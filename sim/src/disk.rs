//! The simulated disk of one server: a disk in memory whose work is done by tasks of the server's
//! host, each step after a seeded time.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sdfs_log::{
    CrashLoss, DirLock, Disk, DiskFile, DiskSpace, Fault, MemoryDisk, Step, Work, Working,
};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::random::Random;

/// Steps after which work that was told to end must have ended.
const LAST_STEPS_MAX: u32 = 100_000;

/// A disk of one server between two of its crashes.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk {
    files: MemoryDisk,
    random: Arc<Mutex<Random>>,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub(crate) fn new(random: Random, bytes: u64) -> Self {
        Self {
            files: MemoryDisk::new(bytes),
            random: Arc::new(Mutex::new(random)),
        }
    }

    /// Stops it for good and gives the one found after the restart.
    #[must_use]
    pub(crate) fn crash(&self, loss: CrashLoss) -> Self {
        Self {
            files: self.files.crash(loss),
            random: Arc::clone(&self.random),
        }
    }

    /// Lets a change soon to come fail.
    pub(crate) fn fail_soon(&self, after: u64, fault: Fault) {
        self.files.fail_change(self.files.changes() + after, fault);
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
        self.files.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.files.create(path)
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
        self.files.space(dir)
    }

    fn start(&self, _name: String, work: Work) -> io::Result<Arc<dyn Working>> {
        let stepper = Arc::new(Stepper {
            work: Mutex::new(Some(work)),
            due: Notify::new(),
        });
        let (random, task) = (Arc::clone(&self.random), Arc::clone(&stepper));
        tokio::spawn(async move { task.run(&random).await });
        Ok(stepper)
    }
}

/// How long the disk takes for one step.
fn step_time(random: &Mutex<Random>) -> Duration {
    let mut random = random.lock().unwrap_or_else(PoisonError::into_inner);
    if random.percent(3) {
        Duration::from_millis(random.within(5..80))
    } else {
        Duration::from_micros(random.within(100..3_000))
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
    async fn run(&self, random: &Mutex<Random>) {
        loop {
            sleep(step_time(random)).await;
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

    fn help(&self) {
        while self.step() == Step::Again {}
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
