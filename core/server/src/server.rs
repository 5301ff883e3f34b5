//! One running server: a control thread, and the handle other threads hold of it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_rt::System;
use sdfs_server_group::{Config, ServerConfig, ServerId};
use sdfs_types::calls::status::ServerStatus;
use tokio::sync::{mpsc, oneshot};

use crate::error::ServerError;
use crate::hands::LogDial;
use crate::running::{Outside, Running};
use crate::space::take_spaces;

/// Orders waiting for the control thread: people and tests give them, a few at a time.
const ORDERS_MAX: usize = 64;

/// What the handle tells the control thread.
pub(crate) enum Order {
    /// Say how you are.
    Status(oneshot::Sender<ServerStatus>),
    /// Finish what is in hand and end.
    Stop,
    /// End at once.
    Kill,
}

/// A running server. It has one control thread with everything on it but the disks' own threads.
/// Dropped, it ends at once, as [`Server::kill`].
pub struct Server {
    id: ServerId,
    orders: mpsc::Sender<Order>,
    ended: Option<oneshot::Receiver<Result<(), ServerError>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts the server `name` of `config` on a thread of its own; returns when it listens.
    ///
    /// # Errors
    /// When there is no such server, its space cannot be used, or its address is taken.
    pub async fn start(config: Arc<Config>, name: &str) -> Result<Server, ServerError> {
        Server::start_with(config, name, None).await
    }

    /// As [`Server::start`]; people at its console turn the log of this process with `log`.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_with(
        config: Arc<Config>,
        name: &str,
        log: Option<LogDial>,
    ) -> Result<Server, ServerError> {
        let Some(me) = config.server_named(name).cloned() else {
            return Err(ServerError::unknown(&config, name));
        };
        let id = me.id;
        let (orders, orders_due) = mpsc::channel(ORDERS_MAX);
        let (started, starting) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let outcome = control((&config, &me, log), started, orders_due);
                // Nobody listens when the handle was dropped.
                ending.send(outcome).unwrap_or(());
            })
            .map_err(ServerError::Thread)?;
        let mut server = Server {
            id,
            orders,
            ended: Some(ended),
            thread: Some(thread),
        };
        match starting.await {
            Ok(()) => Ok(server),
            Err(_) => Err(server.ended().await.err().unwrap_or(ServerError::Failed)),
        }
    }
}

impl Server {
    /// Its number in the cluster.
    pub fn id(&self) -> ServerId {
        self.id
    }

    /// How it is, as it says itself.
    ///
    /// # Errors
    /// [`ServerError::Ended`] when it runs no more.
    pub async fn status(&self) -> Result<ServerStatus, ServerError> {
        let (told, telling) = oneshot::channel();
        self.orders
            .send(Order::Status(told))
            .await
            .map_err(|_| ServerError::Ended)?;
        telling.await.map_err(|_| ServerError::Ended)
    }

    /// Waits until it ends by itself: cleanly when it was told so at its console, else as it does
    /// when its disk fails.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn ended(&mut self) -> Result<(), ServerError> {
        let Some(ended) = &mut self.ended else {
            return Err(ServerError::Ended);
        };
        // Awaited in place: a caller that stops waiting here can wait again.
        let outcome = ended.await.unwrap_or(Err(ServerError::Failed));
        self.ended = None;
        outcome
    }

    /// Tells it to finish what it has in hand, say goodbye to the others and end, and waits for
    /// that.
    ///
    /// # Errors
    /// When something could not be brought to disk.
    pub async fn stop(mut self) -> Result<(), ServerError> {
        // A closed channel means it has ended already, which `ended` tells.
        self.orders.send(Order::Stop).await.unwrap_or(());
        let outcome = self.ended().await;
        self.join();
        outcome
    }

    /// Ends it at once, as if its process had been killed: nothing is drained, nobody is told.
    /// Returns when its thread is gone.
    pub fn kill(self) {
        drop(self);
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic there was logged there, and `ended` tells of it.
            thread.join().unwrap_or(());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A closed channel means it has ended already; a full one cannot stay full.
        while let Err(mpsc::error::TrySendError::Full(_)) = self.orders.try_send(Order::Kill) {
            std::thread::sleep(FULL_WAIT);
        }
        self.join();
    }
}

/// How long a full order queue is given to move.
const FULL_WAIT: Duration = Duration::from_millis(1);

/// The whole life of the control thread.
fn control(
    (config, me, log): (&Arc<Config>, &ServerConfig, Option<LogDial>),
    started: oneshot::Sender<()>,
    orders: mpsc::Receiver<Order>,
) -> Result<(), ServerError> {
    // Given up last: nobody else may use the spaces before everything is closed.
    let _spaces = take_spaces(me)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServerError::Thread)?;
    let system = System::with_tokio_rt(move || runtime);
    let mut outside = Outside::real(config)?;
    outside.log = log;
    system.block_on(async {
        let running = Running::start(config, me, outside).await?;
        // Nobody listens when the starter gave up; the closed order queue then ends the loop.
        started.send(()).unwrap_or(());
        serve_orders(running, orders).await
    })
}

/// Takes orders until one ends the server; a handle that is gone means it is not wanted any more.
async fn serve_orders(
    running: Running,
    mut orders: mpsc::Receiver<Order>,
) -> Result<(), ServerError> {
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Status(told)) => told.send(running.status()).unwrap_or(()),
                Some(Order::Stop) => return running.stop().await,
                Some(Order::Kill) | None => return Ok(()),
            },
            failed = running.failed() => return Err(failed),
            () = running.told_to_stop() => return running.stop().await,
        }
    }
}
