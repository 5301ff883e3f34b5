//! Opening the doors: listening, and a task for each connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sdfs_dserver::{Among, AnonymousFiles};
use sdfs_net_layer::{Acceptor, Stream, Transport};
use sdfs_server_group::{FastDfs, LinkSecret, Mesh, Network};
use sdfs_types::{VolumeMap, clock};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::connection::{Connection, End};
use crate::counters::{Counted, Counters};
use crate::errno::Errno;
use crate::group_name::{all_groups, group_of};
use crate::http::{self, Site};
use crate::limits::{
    ACCEPT_PAUSE, CONNECTIONS_MAX, HTTP_CONNECTIONS_MAX, TRACKER_BODY_BYTES_MAX, VIEW_EVERY,
};
use crate::name::Names;
use crate::storage::Storage;
use crate::tracker;
use crate::view::{Told, Views};
use crate::wire::{common, tracker as commands};

/// What the key of file names is derived for.
const NAMES_LABEL: &str = "fastdfs file names";

/// The volume map as a mserver knows it.
pub type Volumes = Arc<dyn Fn() -> Arc<VolumeMap> + Send + Sync>;

/// What a tracker is started with.
pub struct TrackerOptions {
    /// The cluster.
    pub mesh: Mesh,
    /// The `fastdfs: (..)` part of the configuration.
    pub settings: FastDfs,
    /// The volumes.
    pub volumes: Volumes,
}

/// What a storage is started with.
pub struct StorageOptions {
    /// The cluster.
    pub mesh: Mesh,
    /// The `fastdfs: (..)` part of the configuration.
    pub settings: FastDfs,
    /// The files of the dserver.
    pub files: AnonymousFiles,
    /// What links to its HTTP door are signed with; `None` when they need no token.
    pub link_secret: Option<LinkSecret>,
}

/// An open door. Dropped, it is closed with all its connections.
pub struct Doors {
    address: SocketAddr,
    counters: Arc<Counters>,
    http: Option<Box<Doors>>,
    tasks: Vec<AbortHandle>,
}

impl Doors {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it counts.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The HTTP door beside a storage's, when the configuration wants one.
    #[must_use]
    pub fn http(&self) -> Option<&Doors> {
        self.http.as_deref()
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Answers as a tracker, on the runtime of the caller.
///
/// # Errors
/// When the address is taken.
pub async fn start_tracker(
    transport: &dyn Transport,
    options: TrackerOptions,
) -> io::Result<Option<Doors>> {
    let TrackerOptions {
        mesh,
        settings,
        volumes,
    } = options;
    let Some(me) = mesh.server(mesh.me()) else {
        return Ok(None);
    };
    let address = settings.tracker_address(mesh.config(), &me);
    let groups = all_groups(mesh.config(), &settings).into_iter();
    let names = |group: &str| (group.to_owned(), names_of(&mesh, &settings, group));
    let groups: Vec<(String, Names)> = groups.map(names).collect();
    let begun_s = now_s();
    let allow = settings.tracker_allow.as_ref().unwrap_or(&settings.allow);
    let bounds = (allow.clone(), CONNECTIONS_MAX);
    let look: Look = Arc::new(move || {
        let told = Told {
            mesh: &mesh,
            settings: &settings,
            groups: &groups,
        };
        Arc::new(Views::of(&told, &volumes(), (begun_s, now_s())))
    });
    let (views, seen) = watch::channel(look());
    let parts = TrackerParts {
        look: Arc::clone(&look),
        seen,
        turns: Arc::new(AtomicUsize::new(0)),
    };
    let looking = tokio::spawn(async move {
        loop {
            tokio::time::sleep(VIEW_EVERY).await;
            if views.send(look()).is_err() {
                return;
            }
        }
    });
    let serve = move |(stream, client), counters| {
        let connection = Connection::new(stream, client);
        serve_tracker(connection, parts.clone(), counters)
    };
    let mut doors = open(transport, address, bounds, serve).await?;
    doors.tasks.push(looking.abort_handle());
    Ok(Some(doors))
}

/// Answers as a storage, and over HTTP when the configuration wants that, on the runtime of the
/// caller.
///
/// # Errors
/// When an address is taken.
pub async fn start_storage(
    transport: &dyn Transport,
    options: StorageOptions,
) -> io::Result<Option<Doors>> {
    let StorageOptions {
        mesh,
        settings,
        files,
        link_secret,
    } = options;
    let Some(me) = mesh.server(mesh.me()) else {
        return Ok(None);
    };
    let address = settings.storage_address(mesh.config(), &me);
    let config = Arc::clone(mesh.config());
    let group = group_of(&config, &settings, &me).unwrap_or(&settings.group);
    let names = names_of(&mesh, &settings, group);
    let files = match config.groups.is_empty() {
        true => files,
        false => files.among(among(&mesh, group)),
    };
    let parts = (files, names, group);
    let storage = Arc::new(Storage::new(mesh, &settings, parts));
    let serve = {
        let storage = Arc::clone(&storage);
        move |(stream, client), counters| {
            let storage = Arc::clone(&storage);
            async move {
                let connection = Connection::new(stream, client);
                storage.serve(connection, counters).await
            }
        }
    };
    let allow = settings.storage_allow.as_ref().unwrap_or(&settings.allow);
    let bounds = (allow.clone(), CONNECTIONS_MAX);
    let mut doors = open(transport, address, bounds, serve).await?;
    if let Some(address) = settings.http_address(&config, &me) {
        let site = Arc::new(Site::new(storage, group, link_secret));
        let serve = move |from, counters| http::serve(from, Arc::clone(&site), counters);
        let allow = settings.http_allow.as_ref().unwrap_or(&settings.allow);
        let bounds = (allow.clone(), HTTP_CONNECTIONS_MAX);
        let http = open(transport, address, bounds, serve).await?;
        doors.http = Some(Box::new(http));
    }
    Ok(Some(doors))
}

/// The names of a group's files. Those of the group that keeps what was stored before there were
/// others are the cluster's; a name given out by one group means nothing in another.
fn names_of(mesh: &Mesh, settings: &FastDfs, group: &str) -> Names {
    let label = match group == settings.group {
        true => NAMES_LABEL.to_owned(),
        false => format!("{NAMES_LABEL} of {group}"),
    };
    Names::new(mesh.derive_key(&label))
}

/// Whether a server is of this group, as far as is known: volumes are placed by mservers, who know
/// all that have joined.
fn among(mesh: &Mesh, group: &str) -> Among {
    let (mesh, mine) = (mesh.clone(), group.to_owned());
    Arc::new(move |server| {
        let server = mesh.server(server);
        let group = server.and_then(|one| mesh.config().groups.of(&one.name).cloned());
        group.is_none_or(|group| *group == *mine)
    })
}

async fn open<S, F>(
    transport: &dyn Transport,
    address: SocketAddr,
    bounds: (Vec<Network>, usize),
    serve: S,
) -> io::Result<Doors>
where
    S: Fn((Stream, IpAddr), Arc<Counters>) -> F + Send + 'static,
    F: Future<Output = End> + Send + 'static,
{
    let acceptor = transport.bind(address).await?;
    let address = acceptor.local_address()?;
    let counters = Arc::new(Counters::default());
    let accepting = accept_all(acceptor, bounds, serve, Arc::clone(&counters));
    let tasks = vec![tokio::spawn(accepting).abort_handle()];
    Ok(Doors {
        address,
        counters,
        http: None,
        tasks,
    })
}

async fn accept_all<S, F>(
    mut acceptor: Box<dyn Acceptor>,
    (allow, connections_max): (Vec<Network>, usize),
    serve: S,
    counters: Arc<Counters>,
) where
    S: Fn((Stream, IpAddr), Arc<Counters>) -> F + Send + 'static,
    F: Future<Output = End> + Send + 'static,
{
    // Dropped with this task, it ends the connections.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, from): (Stream, SocketAddr) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection is accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        counters.count(Counted::Accepted);
        if !allow.is_empty() && !allow.iter().any(|network| network.contains(from.ip())) {
            counters.count(Counted::NotAllowed);
            continue;
        }
        if connections.len() >= connections_max {
            counters.count(Counted::TooMany);
            continue;
        }
        let serving = serve((stream, from.ip()), Arc::clone(&counters));
        let counters = Arc::clone(&counters);
        connections.spawn(async move {
            if let End::Counted(why) = serving.await {
                tracing::debug!(%from, ?why, "a connection is closed");
                counters.count(why);
            }
        });
    }
}

type Look = Arc<dyn Fn() -> Arc<Views> + Send + Sync>;

/// What a tracker answers from.
#[derive(Clone)]
struct TrackerParts {
    look: Look,
    seen: watch::Receiver<Arc<Views>>,
    turns: Arc<AtomicUsize>,
}

impl TrackerParts {
    /// The cluster as it was a moment ago; when it took no uploads then and that is asked for, as
    /// it is now: nobody is refused by a cluster that has just become ready.
    fn views(&self, command: u8, client: IpAddr) -> Arc<Views> {
        let seen = Arc::clone(&self.seen.borrow());
        let takes_files = seen.to(client).writable().next().is_some();
        if commands::TELL_WRITABLE.contains(&command) && !takes_files {
            return (self.look)();
        }
        seen
    }
}

async fn serve_tracker(
    mut connection: Connection,
    parts: TrackerParts,
    counters: Arc<Counters>,
) -> End {
    loop {
        if let Err(end) = answer_one(&mut connection, &parts, &counters).await {
            return end;
        }
    }
}

async fn answer_one(
    connection: &mut Connection,
    parts: &TrackerParts,
    counters: &Counters,
) -> Result<(), End> {
    let header = connection.header().await?;
    if header.command == common::QUIT {
        // What came before it is answered.
        connection.send().await?;
        return Err(End::Clean);
    }
    let too_long = End::Counted(Counted::TooLong);
    if header.body_bytes > TRACKER_BODY_BYTES_MAX {
        connection.refuse(Errno::Invalid);
        connection.close().await?;
        return Err(too_long);
    }
    let body_bytes = usize::try_from(header.body_bytes).map_err(|_| too_long)?;
    let body = connection.body(body_bytes).await?;
    let client = connection.client();
    let views = parts.views(header.command, client);
    let mut turn = parts.turns.fetch_add(1, Ordering::Relaxed);
    match tracker::answer(views.to(client), header.command, &body, &mut turn) {
        Ok(answer) => {
            counters.count(Counted::Served);
            connection.answer(&answer).await
        }
        Err(errno) => {
            counters.count(Counted::Refused);
            connection.refuse(errno);
            Ok(())
        }
    }
}

fn now_s() -> u32 {
    u32::try_from(clock::now_ms() / 1_000).unwrap_or(u32::MAX)
}
