//! Natural batches: what comes while a batch is under way goes with the next one.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::limits::{BATCH_BYTES_MAX, BATCH_ITEMS_MAX, BATCH_QUEUE_MAX, BATCHES_IN_FLIGHT};

/// Why a batch has no answer for an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BatchFault<E> {
    /// Too many items wait; this one was not taken.
    Full,
    /// The batch failed.
    Failed(E),
    /// The task that sends is gone, perhaps with the item.
    Ended,
}

type Answer<R, E> = Result<R, BatchFault<E>>;

struct Item<T, R, E> {
    item: T,
    bytes: usize,
    answer: oneshot::Sender<Answer<R, E>>,
}

/// The way into the batches to one receiver.
pub(crate) struct Batcher<T, R, E> {
    items: mpsc::Sender<Item<T, R, E>>,
}

impl<T, R, E> Clone for Batcher<T, R, E> {
    fn clone(&self) -> Self {
        Batcher {
            items: self.items.clone(),
        }
    }
}

impl<T, R, E> Batcher<T, R, E>
where
    T: Send + 'static,
    R: Send + 'static,
    E: Clone + Send + 'static,
{
    /// Starts the task that sends batches by `perform`, which answers every item in order. It
    /// ends when the last clone is dropped.
    pub(crate) fn start<F, Fut>(perform: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<R>, E>> + Send + 'static,
    {
        let (items, waiting) = mpsc::channel(BATCH_QUEUE_MAX);
        tokio::spawn(send_batches(waiting, Arc::new(perform)));
        Batcher { items }
    }

    /// Adds an item and waits for its answer. `bytes` is what it weighs in a batch.
    pub(crate) async fn submit(&self, item: T, bytes: usize) -> Answer<R, E> {
        let (answer, answered) = oneshot::channel();
        self.items
            .try_send(Item {
                item,
                bytes,
                answer,
            })
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => BatchFault::Full,
                mpsc::error::TrySendError::Closed(_) => BatchFault::Ended,
            })?;
        answered.await.unwrap_or(Err(BatchFault::Ended))
    }
}

async fn send_batches<T, R, E, F, Fut>(mut waiting: mpsc::Receiver<Item<T, R, E>>, perform: Arc<F>)
where
    T: Send + 'static,
    R: Send + 'static,
    E: Clone + Send + 'static,
    F: Fn(Vec<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<R>, E>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(BATCHES_IN_FLIGHT));
    let mut held_back = None;
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let first = match held_back.take() {
            Some(item) => item,
            None => match waiting.recv().await {
                Some(item) => item,
                None => return,
            },
        };
        // Whoever is ready to run now may have something for this batch.
        tokio::task::yield_now().await;
        let (items, answers, over) = gather(first, &mut waiting);
        held_back = over;
        let perform = Arc::clone(&perform);
        tokio::spawn(async move {
            answer_all(perform(items).await, answers);
            drop(slot);
        });
    }
}

type Gathered<T, R, E> = (
    Vec<T>,
    Vec<oneshot::Sender<Answer<R, E>>>,
    Option<Item<T, R, E>>,
);

/// One batch; the last is an item that did not fit any more.
fn gather<T, R, E>(
    first: Item<T, R, E>,
    waiting: &mut mpsc::Receiver<Item<T, R, E>>,
) -> Gathered<T, R, E> {
    let mut bytes = first.bytes;
    let mut items = vec![first.item];
    let mut answers = vec![first.answer];
    while items.len() < BATCH_ITEMS_MAX {
        let Ok(next) = waiting.try_recv() else { break };
        if bytes + next.bytes > BATCH_BYTES_MAX {
            return (items, answers, Some(next));
        }
        bytes += next.bytes;
        items.push(next.item);
        answers.push(next.answer);
    }
    (items, answers, None)
}

fn answer_all<R, E: Clone>(done: Result<Vec<R>, E>, answers: Vec<oneshot::Sender<Answer<R, E>>>) {
    // A receiver that is gone has given up waiting.
    match done {
        Ok(done) => {
            for (answer, done) in answers.into_iter().zip(done) {
                drop(answer.send(Ok(done)));
            }
        }
        Err(fault) => {
            for answer in answers {
                drop(answer.send(Err(BatchFault::Failed(fault.clone()))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn what_waits_goes_together() {
        let batcher: Batcher<u32, usize, ()> = Batcher::start(|items: Vec<u32>| async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(vec![items.len(); items.len()])
        });
        let all = (0..100).map(|item| batcher.submit(item, 1));
        let sizes = futures::future::join_all(all).await;
        assert!(sizes.iter().all(Result::is_ok));
        assert!(
            sizes
                .iter()
                .any(|size| size.as_ref().is_ok_and(|size| *size > 40)),
            "{sizes:?}"
        );
    }

    #[tokio::test]
    async fn heavy_items_go_apart() {
        let batcher: Batcher<u32, usize, ()> =
            Batcher::start(|items: Vec<u32>| async move { Ok(vec![items.len(); items.len()]) });
        let all = (0..4).map(|item| batcher.submit(item, BATCH_BYTES_MAX));
        assert_eq!(
            futures::future::join_all(all).await,
            [Ok(1), Ok(1), Ok(1), Ok(1)]
        );
    }

    #[tokio::test]
    async fn a_failed_batch_fails_everybody() {
        let batcher: Batcher<u32, u32, &'static str> =
            Batcher::start(|_: Vec<u32>| async move { Err("no") });
        assert_eq!(batcher.submit(1, 1).await, Err(BatchFault::Failed("no")));
    }
}
