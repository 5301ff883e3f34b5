//! Whoever gives the orders only an administrator may: servers join, leave and are replaced,
//! copies move, healing is held or slowed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use sdfs_client::{Client, Error};
use sdfs_types::calls::maintenance::MaintenanceOrder;
use sdfs_types::calls::servers::ServerOrder;
use sdfs_types::{Refusal, ServerState};
use tokio::time::sleep;

use crate::tally::Strike;
use crate::trace::Trace;

/// Between two attempts, and between two looks whether there is an order.
const PAUSE: Duration = Duration::from_millis(100);

/// What is ordered.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Of the list of servers.
    Servers(ServerOrder),
    /// Of where copies are, and how they are made.
    Copies(MaintenanceOrder),
}

/// An order that waits.
pub(crate) struct Given {
    /// What.
    pub(crate) order: Order,
    /// Counted when it is taken.
    pub(crate) strike: Strike,
    /// Set when it is taken; of a replacement when the server may be started again.
    pub(crate) is_taken: Rc<Cell<bool>>,
}

/// Orders that wait for the operator. Clones are the same ones.
#[derive(Clone, Default)]
pub(crate) struct Orders(Rc<RefCell<VecDeque<Given>>>);

impl Orders {
    /// Adds one.
    pub(crate) fn give(&self, given: Given) {
        self.0.borrow_mut().push_back(given);
    }

    /// Whether none waits.
    #[must_use]
    pub(crate) fn are_given(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Gives one after the other, for as long as the run lasts.
    pub(crate) async fn run(self, client: &Client, trace: &Trace) {
        loop {
            let order = self.0.borrow().front().map(|given| given.order.clone());
            let Some(order) = order else {
                sleep(PAUSE).await;
                continue;
            };
            let is_taken = match order.give(client).await {
                Ok(()) => true,
                Err(Error::Refused(refusal)) if !order.is_to_be_repeated(&refusal) => {
                    trace.say(&format!("{order:?} is refused: {refusal}"));
                    false
                }
                // Nothing is done twice by giving it twice.
                Err(_) => {
                    sleep(PAUSE).await;
                    continue;
                }
            };
            if let Some(given) = self.0.borrow_mut().pop_front()
                && is_taken
            {
                trace.say(&format!("{order:?} is taken"));
                given.strike.took_effect();
                given.is_taken.set(true);
            }
        }
    }
}

impl Order {
    /// Whether a refusal may not last: a server that is gone seems to run until its silence is
    /// noticed.
    fn is_to_be_repeated(&self, refusal: &Refusal) -> bool {
        matches!(self, Order::Servers(ServerOrder::Replace { .. }))
            || matches!(refusal, Refusal::Busy { .. } | Refusal::Unknown { .. })
    }

    async fn give(&self, client: &Client) -> Result<(), Error> {
        match self {
            Order::Servers(order) => {
                let record = client.change_servers(order.clone()).await?;
                let mut state = record.state;
                // Its groups let it go.
                while state == ServerState::Lost {
                    sleep(PAUSE).await;
                    if let Ok(list) = client.servers().await
                        && let Some(record) = list.named(record.name.as_str())
                    {
                        state = record.state;
                    }
                }
                Ok(())
            }
            Order::Copies(order) => client.maintain(*order).await.map(drop),
        }
    }
}
