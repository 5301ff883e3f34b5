//! A timer for waits that hardly ever last: arming and disarming it costs nothing while they do
//! not.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Says when one wait has lasted too long. A wait begins at the first `poll_over` after `rest`.
#[derive(Debug)]
pub(crate) struct LazyTimer {
    wait: Duration,
    began: Option<Instant>,
    /// Left armed when a wait ends: it fires at most once in vain, instead of being set anew for
    /// each wait.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl LazyTimer {
    pub(crate) fn new(wait: Duration) -> Self {
        Self {
            wait,
            began: None,
            sleep: None,
        }
    }

    /// The wait ended in time.
    pub(crate) fn rest(&mut self) {
        self.began = None;
    }

    /// Ready when the present wait is too long: longer than configured, or than `wait_max`.
    pub(crate) fn poll_over(
        &mut self,
        wait_max: Option<Duration>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let began = *self.began.get_or_insert_with(Instant::now);
        let end = began + wait_max.map_or(self.wait, |max| max.min(self.wait));
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if sleep.deadline() > end {
            sleep.as_mut().reset(end);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(end);
        }
        Poll::Pending
    }
}
