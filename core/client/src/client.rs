//! The client itself: what its calls share, and how a call reaches a server and comes back.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use futures::stream::{FuturesUnordered, StreamExt};
use sdfs_server_group::{
    Config, ConnectError, Deadline, Payload, RefusalReason, Role, Traces, UserName,
};
use sdfs_types::calls::Call;
use sdfs_types::calls::blocks::Durability;
use sdfs_types::calls::status::GetStatus;
use sdfs_types::{BlockSize, RequestId, ServerId, Volume, VolumeId, wire};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::counters::{Counters, Counting, count};
use crate::error::Error;
use crate::journey::{Journey, Room, Step, definite};
use crate::limits::{ATTEMPT_CHANGE, ATTEMPT_READ, DIAL};
use crate::operation::Operation;
use crate::options::{CallOptions, ClientOptions, Servers};
use crate::patience::Patience;
use crate::pause::{pause, random};
use crate::pool::{Peer, Pool};
use crate::probe;
use crate::retry::verdict;
use crate::store::travel;
use crate::topology::Topology;
use crate::trouble::Trouble;

/// A user of the cluster. Clones are cheap and share links, so make one and clone it.
///
/// Every operation ends by its deadline, is cancelled by dropping its future, and fails with an
/// [`Error`] that names the cause. Needs a tokio runtime; the links live on the runtime of the
/// task that first needed them.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: CallOptions,
    /// What this handle is for, when that takes several calls.
    pub(crate) operation: Option<Operation>,
}

/// What all clones share.
pub(crate) struct Shared {
    pub(crate) pool: Arc<Pool>,
    pub(crate) counting: Counting,
    /// The volumes as last told. Routes block calls of all tasks.
    pub(crate) volumes: DashMap<VolumeId, Arc<Volume>>,
    /// Version of the last whole map.
    pub(crate) map_version: AtomicU64,
    /// When the client last asked a mserver, for the probe: milliseconds since it was made.
    used_ms: AtomicU64,
    made_at: Instant,
    pub(crate) current: watch::Sender<Option<SocketAddr>>,
    /// The only mserver that is talked to; settled while connecting.
    pub(crate) via: OnceLock<SocketAddr>,
    timeout: Duration,
    durability: Durability,
    client: u64,
    sequence: AtomicU64,
    pub(crate) traces: Traces,
}

impl Client {
    /// Connects with the nearest mserver and proves the user to it.
    ///
    /// # Errors
    /// [`Error::Login`] for a wrong user or secret, [`Error::Unreachable`] when no mserver
    /// answers in time, [`Error::UnknownServer`] for a `via` that does not exist.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let address = cluster.config().servers[0].address;
    /// # let key = cluster.config().admin_key()?;
    /// use sdfs_client::{Client, ClientOptions, Servers};
    ///
    /// // The address of any mserver; the key as `UserKey::of_secret` makes it.
    /// let servers = Servers::Mservers(vec![address]);
    /// let client = Client::connect(ClientOptions::new(servers, "admin", key)).await?;
    /// assert!(client.own_status().await?.hears_majority);
    /// # Ok(()) }
    /// ```
    pub async fn connect(options: ClientOptions) -> Result<Client, Error> {
        let topology = match &options.servers {
            Servers::Config(config) => Topology::of_config(config),
            Servers::Mservers(addresses) => Topology::of_addresses(addresses),
        };
        let user = UserName::from(options.user.as_str());
        let pool = Pool::new(options.transport, user, options.key, topology);
        let client = Client::of_pool(Arc::new(pool), options.timeout, options.durability)?;
        let via = options.via.as_deref();
        let is_known = matches!(options.servers, Servers::Config(_));
        if let Some(name) = via.filter(|_| is_known) {
            client.fix(name)?;
        }
        client.first_link().await?;
        let soon = client.deadline().earlier(Deadline::after(ATTEMPT_READ));
        if let Err(error) = client.refresh_servers(soon).await {
            tracing::debug!(%error, "no list of servers");
        }
        if !is_known {
            if client.shared.pool.topology().list_version == 0 {
                let status = client.ask(&GetStatus {}, None).await?;
                client.shared.pool.learn(|topology| topology.learn(&status));
            }
            via.map_or(Ok(()), |name| client.fix(name))?;
        }
        probe::start(&client.shared);
        Ok(client)
    }

    /// Connects as the first administrator of a configuration.
    ///
    /// # Errors
    /// As [`Client::connect`], and when the secret file cannot be read.
    pub async fn connect_admin(config: Arc<Config>) -> Result<Client, Error> {
        Client::connect(ClientOptions::of_admin(config)?).await
    }

    /// This client with other options for the operations called on what is returned.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = sdfs_server::Cluster::embedded(Default::default()).await?;
    /// # let config = cluster.config().clone();
    /// # let client = sdfs_client::Client::connect_admin(config).await?;
    /// use std::time::Duration;
    /// use sdfs_client::{CallOptions, Error};
    /// # client.put("/old", "", Default::default()).await?;
    ///
    /// let request = client.next_request();
    /// let once = CallOptions { request: Some(request), ..CallOptions::default() };
    /// let hasty = CallOptions { timeout: Some(Duration::from_millis(50)), ..once };
    /// match client.with(hasty).delete("/old").await {
    ///     Err(Error::Unknown { .. }) => client.with(once).delete("/old").await?,
    ///     known => known?,
    /// };
    /// # Ok(()) }
    /// ```
    pub fn with(&self, options: CallOptions) -> Client {
        Client {
            shared: Arc::clone(&self.shared),
            options,
            operation: self.operation.clone(),
        }
    }

    /// A request id that no other change has.
    pub fn next_request(&self) -> RequestId {
        let sequence = self.shared.sequence.fetch_add(1, Ordering::Relaxed);
        RequestId {
            client: self.shared.client,
            sequence,
        }
    }

    /// What the client has counted since it was made.
    pub fn counters(&self) -> Counters {
        self.shared.counting.now(self.shared.pool.connects())
    }

    /// The id of the change about to be made.
    pub(crate) fn request(&self) -> RequestId {
        self.options.request.unwrap_or_else(|| self.next_request())
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.options.timeout.unwrap_or(self.shared.timeout)
    }

    pub(crate) fn durability(&self) -> Durability {
        self.options.durability.unwrap_or(self.shared.durability)
    }

    /// Asks a mserver as an operation of its own. `request` marks a change.
    pub(crate) async fn ask<C: Call>(
        &self,
        call: &C,
        request: Option<RequestId>,
    ) -> Result<C::Reply, Error> {
        self.ask_by(call, request, self.deadline()).await
    }

    /// When an operation that begins now ends.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout())
    }

    /// How long a transfer of blocks of that size goes on without progress.
    pub(crate) fn patience(&self, block_size: BlockSize) -> Patience {
        let block_bytes = usize::try_from(block_size.bytes()).unwrap_or(usize::MAX);
        Patience::new(self.timeout() + travel(block_bytes))
    }

    /// Asks a mserver, another one if need be, until the deadline.
    pub(crate) async fn ask_by<C: Call>(
        &self,
        call: &C,
        request: Option<RequestId>,
        deadline: Deadline,
    ) -> Result<C::Reply, Error> {
        let attempt = match request {
            Some(_) => ATTEMPT_CHANGE,
            None => ATTEMPT_READ,
        };
        self.within(self.try_until(call, (request, attempt), deadline))
            .await
    }

    /// Asks for something that takes a server longer than other calls do: twice, if need be, before
    /// so much time more is over.
    pub(crate) async fn ask_for_long<C: Call>(
        &self,
        call: &C,
        request: Option<RequestId>,
        longer: Duration,
    ) -> Result<C::Reply, Error> {
        let deadline = Deadline::after(self.timeout() + longer);
        let patient = (request, ATTEMPT_CHANGE + longer / 2);
        self.within(self.try_until(call, patient, deadline)).await
    }

    async fn try_until<C: Call>(
        &self,
        call: &C,
        (request, attempt): (Option<RequestId>, Duration),
        deadline: Deadline,
    ) -> Result<C::Reply, Error> {
        let head = wire::encode(call);
        let begin = Instant::now();
        let mut journey = Journey::new(request);
        self.shared.note_use();
        loop {
            let address = self.shared.pick(&journey).ok_or(Error::NoMserver)?;
            let limit = self.shared.limit_of_attempt(attempt, deadline);
            let head = head.clone();
            let outcome = self
                .shared
                .call::<C>(address, head, Payload::new(), limit)
                .await;
            let trouble = match outcome {
                Ok((reply, _)) => return Ok(reply),
                Err(trouble) => trouble,
            };
            tracing::debug!(%address, call = ?C::KIND, ?trouble, "attempt failed");
            if verdict(&trouble).is_server_at_fault {
                self.shared.leave(address);
            }
            let room = self.shared.room(begin, deadline);
            match journey.failed(address, trouble, room) {
                Step::Again(wait) => tokio::time::sleep(wait).await,
                Step::End(error) => return Err(error),
            }
            count(&self.shared.counting.retries);
        }
    }

    /// Asks that server alone, once.
    pub(crate) async fn ask_at<C: Call>(
        &self,
        address: SocketAddr,
        call: &C,
    ) -> Result<C::Reply, Error> {
        let begin = Instant::now();
        let deadline = Deadline::at(begin + self.timeout());
        let head = wire::encode(call);
        let (shared, no_bytes) = (&self.shared, Payload::new());
        let asking = shared.call::<C>(address, head, no_bytes, deadline);
        let outcome = self.within(asking).await;
        outcome
            .map(|(reply, _)| reply)
            .map_err(|trouble| definite(trouble, shared.room(begin, deadline)))
    }

    fn of_pool(
        pool: Arc<Pool>,
        timeout: Duration,
        durability: Durability,
    ) -> Result<Client, Error> {
        let client = getrandom::u64()
            .map_err(|error| Error::Untrusted(Arc::new(ConnectError::Randomness(error))))?;
        let shared = Shared {
            pool,
            counting: Counting::default(),
            volumes: DashMap::new(),
            map_version: AtomicU64::new(0),
            used_ms: AtomicU64::new(0),
            made_at: Instant::now(),
            current: watch::Sender::new(None),
            via: OnceLock::new(),
            timeout,
            durability,
            client,
            sequence: AtomicU64::new(1),
            traces: Traces::new(client),
        };
        Ok(Client {
            shared: Arc::new(shared),
            options: CallOptions::default(),
            operation: None,
        })
    }

    /// Dials every mserver and is content with the first that answers; a refused login ends it.
    async fn first_link(&self) -> Result<(), Error> {
        let begin = Instant::now();
        let deadline = Deadline::at(begin + self.timeout()).earlier(Deadline::after(DIAL * 2));
        let pool = &self.shared.pool;
        let addresses = match self.shared.via.get() {
            Some(via) => vec![*via],
            None => pool.topology().mservers.clone(),
        };
        let mut rounds = 0;
        loop {
            let dial = |address| async move { (address, pool.link(address, deadline).await) };
            let mut dials: FuturesUnordered<_> = addresses.iter().copied().map(dial).collect();
            let mut last = Err(Error::NoMserver);
            let mut is_one_soon_ready = false;
            while let Some((address, dialed)) = dials.next().await {
                match dialed {
                    Ok(_) => {
                        self.shared.current.send_replace(Some(address));
                        return Ok(());
                    }
                    Err(error) => {
                        is_one_soon_ready |= is_not_ready(&error);
                        let room = self.shared.room(begin, deadline);
                        last = Err(definite(Trouble::Connect(error), room));
                    }
                }
            }
            rounds += 1;
            let wait = pause(rounds, random());
            if !is_one_soon_ready || deadline.remaining() <= wait {
                return last;
            }
            sleep(wait).await;
        }
    }

    /// Talks to that mserver only from now on.
    fn fix(&self, name: &str) -> Result<(), Error> {
        let topology = self.shared.pool.topology();
        let Some(place) = topology.named(name) else {
            return Err(Error::UnknownServer { name: name.into() });
        };
        if place.role != Role::Mserver {
            return Err(Error::NotMserver { name: name.into() });
        }
        self.shared.via.get_or_init(|| place.address);
        Ok(())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("client", &self.shared.client)
            .field("mserver", &*self.shared.current.borrow())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// One attempt at one server.
    pub(crate) async fn call<C: Call>(
        &self,
        address: SocketAddr,
        head: Bytes,
        payload: Payload,
        limit: Deadline,
    ) -> Result<(C::Reply, Payload), Trouble> {
        let peer = self
            .pool
            .link(address, limit)
            .await
            .map_err(Trouble::Connect)?;
        call_peer::<C>(&peer, head, payload, limit).await
    }

    /// Until when one attempt may take; with a fixed server there is nowhere else to go.
    pub(crate) fn limit_of_attempt(&self, attempt: Duration, deadline: Deadline) -> Deadline {
        match self.via.get() {
            Some(_) => deadline,
            None => deadline.earlier(Deadline::after(attempt)),
        }
    }

    /// What there is left of a call's time and servers.
    pub(crate) fn room(&self, begin: Instant, deadline: Deadline) -> Room {
        let servers = if self.via.get().is_some() {
            1
        } else {
            self.pool.topology().mservers.len()
        };
        Room {
            remaining: deadline.remaining(),
            waited: begin.elapsed(),
            servers,
            random: random(),
        }
    }

    /// Others are better asked for a while.
    pub(crate) fn leave(&self, address: SocketAddr) {
        self.pool.avoid(address);
    }

    /// Where that server listens, when it is known.
    pub(crate) fn address_of(&self, server: ServerId) -> Option<SocketAddr> {
        self.pool
            .topology()
            .place(server)
            .map(|place| place.address)
    }

    /// Remembers that the client is used.
    fn note_use(&self) {
        let now_ms = u64::try_from(self.made_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used_ms.store(now_ms, Ordering::Relaxed);
    }

    /// How long the client has not asked a mserver.
    pub(crate) fn idle(&self) -> Duration {
        let used = Duration::from_millis(self.used_ms.load(Ordering::Relaxed));
        self.made_at.elapsed().saturating_sub(used)
    }
}

/// One call on a link that stands.
pub(crate) async fn call_peer<C: Call>(
    peer: &Peer,
    head: Bytes,
    payload: Payload,
    limit: Deadline,
) -> Result<(C::Reply, Payload), Trouble> {
    let body = peer
        .link
        .call(C::KIND.to_wire(), head, payload, limit)
        .await?;
    let answer = wire::decode_answer::<C::Reply>(&body.head)?;
    Ok((answer?, body.payload))
}

/// Whether a mserver could not judge the login yet; it soon can.
fn is_not_ready(error: &ConnectError) -> bool {
    matches!(
        error,
        ConnectError::Refused {
            reason: RefusalReason::NotReady,
            ..
        }
    )
}
