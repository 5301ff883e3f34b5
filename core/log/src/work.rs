//! What is done beside the callers: steps, and the hold on whoever does them. On a real disk each
//! piece of work has a thread of its own; a simulator does the steps itself.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

/// What a step leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There may be more: the next step follows at once.
    Again,
    /// Nothing until somebody wakes the work. It was looked for after everything else the step
    /// did, so that what came meanwhile is not slept over.
    Wait,
    /// As `Wait`, but for so long at most.
    WaitFor(Duration),
    /// The work is over.
    End,
}

/// Done step by step, by one thread at a time. Between two steps nothing of it is half done.
pub type Work = Box<dyn FnMut() -> Step + Send>;

/// The hold on work that was started.
pub trait Working: Send + Sync + fmt::Debug {
    /// Tells the work that there is something to do.
    fn wake(&self);
    /// Called by one who is about to block until the work has done something: without a thread of
    /// its own all is done now that can be. Whether more is done while the caller blocks.
    fn help(&self) -> bool;
    /// Whether it is the work itself that asks.
    fn is_current(&self) -> bool;
    /// Waits until the work is over; the caller has seen to it that it ends, and is not the work
    /// itself. A second call returns at once.
    fn join(&self);
}

/// Work of a single step.
pub fn once(work: impl FnOnce() + Send + 'static) -> Work {
    let mut work = Some(work);
    Box::new(move || {
        if let Some(work) = work.take() {
            work();
        }
        Step::End
    })
}

/// Starts a thread that does the work.
pub(crate) fn on_a_thread(name: String, mut work: Work) -> io::Result<Arc<dyn Working>> {
    let builder = std::thread::Builder::new().name(name);
    let handle = builder.spawn(move || {
        loop {
            match work() {
                Step::Again => {}
                Step::Wait => std::thread::park(),
                Step::WaitFor(time) => std::thread::park_timeout(time),
                Step::End => return,
            }
        }
    })?;
    Ok(Arc::new(OwnThread {
        thread: handle.thread().clone(),
        handle: Mutex::new(Some(handle)),
    }))
}

#[derive(Debug)]
struct OwnThread {
    thread: Thread,
    /// Taken by whoever waits for the end.
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Working for OwnThread {
    fn wake(&self) {
        self.thread.unpark();
    }

    fn help(&self) -> bool {
        true
    }

    fn is_current(&self) -> bool {
        std::thread::current().id() == self.thread.id()
    }

    fn join(&self) {
        let handle = self
            .handle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if handle.is_some_and(|handle| handle.join().is_err()) {
            tracing::error!(thread = self.thread.name(), "a thread ended by a panic");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn woken_work_looks_again() {
        let (ask, asked) = channel::<u32>();
        let (tell, told) = channel();
        let work: Work = Box::new(move || match asked.try_recv() {
            Ok(0) => Step::End,
            Ok(number) => {
                tell.send(number).unwrap();
                Step::Again
            }
            Err(_) => Step::Wait,
        });
        let working = on_a_thread("test".to_owned(), work).unwrap();
        for number in 1..1000 {
            ask.send(number).unwrap();
            working.wake();
            let wait = Duration::from_secs(20);
            assert_eq!(told.recv_timeout(wait), Ok(number));
        }
        ask.send(0).unwrap();
        working.wake();
        working.join();
        working.join();
    }
}
