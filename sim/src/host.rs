//! One machine: a runtime of its own with a clock that only the run moves. Dropped, everything on
//! it is gone, as after a kill.

use std::net::IpAddr;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;
use tokio::time::{Instant, advance, sleep_until};

use crate::panics;

/// A machine.
pub(crate) struct Host {
    /// Its name in the trace.
    pub(crate) name: String,
    /// Its address.
    pub(crate) ip: IpAddr,
    /// There until it is dropped.
    tasks: Option<LocalSet>,
    runtime: Runtime,
    /// It stands still until then.
    frozen_until: Option<Instant>,
    panics: Vec<String>,
}

impl Host {
    /// A machine with nothing on it.
    ///
    /// # Errors
    /// When the system gives no event loop.
    pub(crate) fn new(name: &str, ip: IpAddr) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        Ok(Self {
            name: name.to_owned(),
            ip,
            tasks: Some(LocalSet::new()),
            runtime,
            frozen_until: None,
            panics: Vec::new(),
        })
    }

    /// Starts a program on it.
    pub(crate) fn spawn(&self, program: impl Future<Output = ()> + 'static) {
        let _inside = self.runtime.enter();
        if let Some(tasks) = &self.tasks {
            tasks.spawn_local(program);
        }
    }

    /// Runs it up to a moment.
    pub(crate) fn run_until(&mut self, moment: Instant) {
        if self.frozen_until.is_some_and(|until| until > moment) {
            return;
        }
        let was_frozen = self.frozen_until.take().is_some();
        let Some(tasks) = &self.tasks else { return };
        let panics = panics::watch(|| {
            tasks.block_on(&self.runtime, async {
                if was_frozen {
                    // It finds that time has passed while it stood still.
                    let missed = moment.saturating_duration_since(Instant::now());
                    advance(missed).await;
                }
                sleep_until(moment).await;
            });
        });
        self.panics.extend(panics);
    }

    /// Panics of its programs since they were last asked for.
    pub(crate) fn take_panics(&mut self) -> Vec<String> {
        std::mem::take(&mut self.panics)
    }

    /// Lets it stand still for a while, as SIGSTOP does.
    pub(crate) fn freeze(&mut self, now: Instant, time: Duration) {
        self.frozen_until = Some(now + time);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&mut self) {
        if let Some(until) = &mut self.frozen_until {
            *until = Instant::now();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // What is dropped with the tasks may ask for the clock.
        let _inside = self.runtime.enter();
        drop(self.tasks.take());
    }
}
