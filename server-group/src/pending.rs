//! The calls of one end that wait for their answers, each ended exactly once.
//!
//! The mutex guards one table between the tasks that call, the task that reads answers and the one
//! that watches deadlines, which may be on different threads; it is held for a few instructions.
//! A slot holds the answer itself, so a call allocates nothing here.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use crate::errors::CallError;
use crate::limits::CALLS_MAX;
use crate::link::ReplyBody;

/// Names one call: its slot, and which of the slot's calls it is. Travels as the request id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallId(pub(crate) u64);

impl CallId {
    fn new(slot: u32, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | u64::from(slot))
    }

    fn slot(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Slots kept while nothing is in flight.
const SLOTS_KEPT: usize = 1024;

type Answer = Result<ReplyBody, CallError>;

#[derive(Debug, Default)]
pub(crate) struct Pending {
    table: Mutex<Table>,
    in_flight: AtomicUsize,
}

#[derive(Debug, Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// The generation of slots added from now on: above that of every slot given back, so that a
    /// late answer never meets another call of its id.
    first_generation: u32,
    /// No call begins or goes on any more.
    is_ended: bool,
    /// The moment the watching task is set to: no deadline of a waiting call is earlier.
    armed: Option<Instant>,
    watcher: Option<Waker>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Free,
    Waiting {
        deadline: Instant,
        waker: Option<Waker>,
    },
    Done(Answer),
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while the table is being changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls without an answer.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Begins a call.
    pub(crate) fn begin(&self, deadline: Instant) -> Result<CallId, CallError> {
        let mut table = self.lock();
        if table.is_ended {
            return Err(CallError::NotConnected);
        }
        let state = State::Waiting {
            deadline,
            waker: None,
        };
        let id = match table.free.pop() {
            Some(place) => {
                let slot = &mut table.slots[place as usize];
                slot.generation = slot.generation.wrapping_add(1);
                slot.state = state;
                CallId::new(place, slot.generation)
            }
            None if table.slots.len() >= CALLS_MAX => return Err(CallError::Full),
            None => {
                let place = u32::try_from(table.slots.len()).expect("CALLS_MAX is below 2^32");
                let generation = table.first_generation;
                table.slots.push(Slot { generation, state });
                CallId::new(place, generation)
            }
        };
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        if table.armed.is_none_or(|armed| deadline < armed) {
            table.armed = Some(deadline);
            if let Some(watcher) = table.watcher.take() {
                drop(table);
                watcher.wake();
            }
        }
        Ok(id)
    }

    /// Ends a call with its answer; false when it had ended already.
    pub(crate) fn complete(&self, id: CallId, answer: Answer) -> bool {
        let mut table = self.lock();
        let Some(slot) = table.waiting(id) else {
            return false;
        };
        let State::Waiting { waker, .. } = std::mem::replace(&mut slot.state, State::Done(answer))
        else {
            return false;
        };
        drop(table);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Whether a call still waits.
    pub(crate) fn is_waiting(&self, id: CallId) -> bool {
        self.lock().waiting(id).is_some()
    }

    /// The answer of a call, given once; the slot is then free.
    pub(crate) fn poll_answer(&self, id: CallId, context: &mut Context<'_>) -> Poll<Answer> {
        let mut table = self.lock();
        let slot = &mut table.slots[id.slot()];
        assert!(
            slot.generation == id.generation(),
            "a call's slot is its own until it is freed"
        );
        match &mut slot.state {
            State::Waiting { waker, .. } => {
                if !waker
                    .as_ref()
                    .is_some_and(|waker| waker.will_wake(context.waker()))
                {
                    *waker = Some(context.waker().clone());
                }
                Poll::Pending
            }
            State::Done(_) | State::Free => {
                let state = std::mem::replace(&mut slot.state, State::Free);
                self.freed(&mut table, id);
                match state {
                    State::Done(answer) => Poll::Ready(answer),
                    _ => Poll::Ready(Err(CallError::Lost { maybe_done: true })),
                }
            }
        }
    }

    /// Forgets a call nobody waits for any more; true when its answer had not come.
    pub(crate) fn abandon(&self, id: CallId) -> bool {
        let mut table = self.lock();
        let slot = &mut table.slots[id.slot()];
        assert!(
            slot.generation == id.generation(),
            "a call's slot is its own until it is freed"
        );
        let state = std::mem::replace(&mut slot.state, State::Free);
        self.freed(&mut table, id);
        matches!(state, State::Waiting { .. })
    }

    fn freed(&self, table: &mut Table, id: CallId) {
        table.free.push((id.0 & u64::from(u32::MAX)) as u32);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        // A burst's memory is given back once nothing is in flight.
        if table.free.len() == table.slots.len() && table.slots.len() > SLOTS_KEPT {
            let last = table.slots.iter().map(|slot| slot.generation).max();
            table.first_generation = last.map_or(0, |last| last.wrapping_add(1));
            table.slots = Vec::new();
            table.free = Vec::new();
        }
    }

    /// Ends every call and lets none begin.
    pub(crate) fn end(&self, error: CallError) {
        let mut table = self.lock();
        table.is_ended = true;
        let mut wakers: Vec<Waker> = table.watcher.take().into_iter().collect();
        for slot in &mut table.slots {
            if let State::Waiting { waker, .. } = &mut slot.state {
                wakers.extend(waker.take());
                slot.state = State::Done(Err(error));
            }
        }
        drop(table);
        for waker in wakers {
            waker.wake();
        }
    }

    /// For the watching task: when to look again, or that no call will ever wait. Wakes the task
    /// when a call with an earlier deadline begins.
    pub(crate) fn poll_watch(&self, context: &mut Context<'_>) -> Poll<Option<Instant>> {
        let mut table = self.lock();
        if table.is_ended {
            return Poll::Ready(None);
        }
        table.watcher = Some(context.waker().clone());
        match table.armed {
            Some(armed) => Poll::Ready(Some(armed)),
            None => Poll::Pending,
        }
    }

    /// Ends every call whose deadline has passed and gives their ids.
    pub(crate) fn expire(&self, now: Instant) -> Vec<CallId> {
        let mut table = self.lock();
        let mut expired = Vec::new();
        let mut wakers = Vec::new();
        let mut next: Option<Instant> = None;
        for (place, slot) in table.slots.iter_mut().enumerate() {
            let State::Waiting { deadline, waker } = &mut slot.state else {
                continue;
            };
            if *deadline <= now {
                wakers.extend(waker.take());
                slot.state = State::Done(Err(CallError::Deadline));
                expired.push(CallId::new(place as u32, slot.generation));
            } else {
                next = Some(next.map_or(*deadline, |next| next.min(*deadline)));
            }
        }
        table.armed = next;
        drop(table);
        for waker in wakers {
            waker.wake();
        }
        expired
    }
}

impl Table {
    fn waiting(&mut self, id: CallId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(id.slot())?;
        let is_waiting =
            slot.generation == id.generation() && matches!(slot.state, State::Waiting { .. });
        is_waiting.then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::payload::Payload;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn answer(text: &'static str) -> Answer {
        Ok(ReplyBody {
            head: Bytes::from_static(text.as_bytes()),
            payload: Payload::new(),
            is_told: false,
        })
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn poll(pending: &Pending, id: CallId) -> Poll<Answer> {
        pending.poll_answer(id, &mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn call_ends_once_with_its_first_answer() {
        let pending = Pending::default();
        let id = pending.begin(later()).unwrap();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(
            pending
                .poll_answer(id, &mut Context::from_waker(&waker))
                .is_pending()
        );
        assert!(pending.complete(id, answer("first")));
        assert!(!pending.complete(id, answer("second")));
        assert!(pending.expire(later()).is_empty());
        assert_eq!(poll(&pending, id), Poll::Ready(answer("first")));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(pending.in_flight(), 0);
    }

    #[test]
    fn late_answer_misses_the_next_call() {
        let pending = Pending::default();
        let abandoned = pending.begin(later()).unwrap();
        assert!(pending.abandon(abandoned));
        assert!(!pending.complete(abandoned, answer("late")));
        let next = pending.begin(later()).unwrap();
        assert!(!pending.complete(abandoned, answer("late")));
        assert!(poll(&pending, next).is_pending());
    }

    #[test]
    fn late_answer_misses_after_the_table_shrank() {
        let pending = Pending::default();
        let burst: Vec<_> = (0..3_000)
            .map(|_| pending.begin(later()).unwrap())
            .collect();
        for id in &burst {
            assert!(pending.abandon(*id));
        }
        assert!(
            pending.lock().slots.is_empty(),
            "the memory of the burst is given back"
        );
        let again: Vec<_> = (0..3_000)
            .map(|_| pending.begin(later()).unwrap())
            .collect();
        for id in &burst {
            assert!(!pending.complete(*id, answer("late")));
        }
        assert!(again.iter().all(|id| pending.is_waiting(*id)));
    }

    #[test]
    fn only_passed_deadlines_expire() {
        let pending = Pending::default();
        let now = Instant::now();
        let soon = pending.begin(now + Duration::from_millis(5)).unwrap();
        let late = pending.begin(now + Duration::from_millis(50)).unwrap();
        assert_eq!(pending.expire(now + Duration::from_millis(5)), [soon]);
        assert_eq!(poll(&pending, soon), Poll::Ready(Err(CallError::Deadline)));
        assert!(poll(&pending, late).is_pending());
        let mut context = Context::from_waker(Waker::noop());
        let armed = Poll::Ready(Some(now + Duration::from_millis(50)));
        assert_eq!(pending.poll_watch(&mut context), armed);
    }

    #[test]
    fn earlier_deadline_wakes_the_watcher() {
        let pending = Pending::default();
        let now = Instant::now();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        assert!(pending.poll_watch(&mut context).is_pending());
        pending.begin(now + Duration::from_secs(5)).unwrap();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(pending.poll_watch(&mut context).is_ready());
        pending.begin(now + Duration::from_secs(6)).unwrap();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        pending.begin(now + Duration::from_secs(4)).unwrap();
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn end_ends_all_and_lets_none_begin() {
        let pending = Pending::default();
        let ids: Vec<_> = (0..10).map(|_| pending.begin(later()).unwrap()).collect();
        pending.complete(ids[3], answer("in time"));
        let lost = CallError::Lost { maybe_done: true };
        pending.end(lost);
        for (place, id) in ids.into_iter().enumerate() {
            let expected = if place == 3 {
                answer("in time")
            } else {
                Err(lost)
            };
            assert_eq!(poll(&pending, id), Poll::Ready(expected));
        }
        assert_eq!(pending.begin(later()), Err(CallError::NotConnected));
    }

    #[test]
    fn calls_in_flight_are_bounded() {
        let pending = Pending::default();
        for _ in 0..CALLS_MAX {
            pending.begin(later()).unwrap();
        }
        assert_eq!(pending.begin(later()), Err(CallError::Full));
    }
}
