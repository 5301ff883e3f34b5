//! The tasks beside the reader of a link: one ends the calls whose deadline has passed, one keeps
//! a link without a peer actor alive.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use sdfs_net_layer::CloseReason;
use tokio::time::{Instant, timeout_at};

use crate::keep_alive::{Health, KeepAlive};
use crate::link_state::LinkState;
use crate::pending::{CallId, Pending};
use crate::shared::note;

/// Ends calls at their deadline, and tells the other end.
pub(crate) async fn watch_deadlines(state: Arc<LinkState>) {
    watch(&state.pending, |id| {
        note(&state.shared.calls.deadlines);
        state.cancel(id);
    })
    .await;
}

/// One timer for all calls of a table: set to the earliest deadline, or to an earlier one that has
/// long been answered, which costs one look in vain.
pub(crate) async fn watch(pending: &Pending, mut expired: impl FnMut(CallId)) {
    loop {
        let armed = poll_fn(|context| pending.poll_watch(context)).await;
        let Some(armed) = armed else { return };
        // Woken by a call that ends earlier than all others, or by the end of the link.
        let changed = poll_fn(|context| match pending.poll_watch(context) {
            Poll::Ready(Some(again)) if again == armed => Poll::Pending,
            _ => Poll::Ready(()),
        });
        if timeout_at(armed, changed).await.is_err() {
            for id in pending.expire(Instant::now()) {
                expired(id);
            }
        }
    }
}

/// Pings, and closes when nothing comes.
pub(crate) async fn keep_alive(state: Arc<LinkState>, mut keep: KeepAlive, is_pinging: bool) {
    while !state.sender.is_closed() {
        let beat = keep.beat(Instant::now(), state.heard());
        if beat.health == Health::Dead {
            state.close(CloseReason::Silent);
            return;
        }
        if beat.is_ping_due && is_pinging {
            state.ping();
        }
        let ended = state.sender.closed();
        if timeout_at(keep.due(), ended).await.is_ok() {
            return;
        }
    }
}
