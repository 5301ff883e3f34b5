//! Opens the doors for operators that the configuration wants, and tells them of this server.

use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use sdfs_console::{
    ConsoleCounters, ConsoleDoor, ConsoleOptions, FastDfsReading, GroupReading, HttpDoor,
    HttpOptions, Lately, LockReading, LogReading, MemberReading, Observed, Watching, start_console,
    start_http, watch,
};
use sdfs_dserver::Promised;
use sdfs_fastdfs::{Counted, Counters};
use sdfs_mserver::NameReserved;
use sdfs_raft::{GroupStatus, LogCounts};
use sdfs_server_group::{Config, Mesh, ServerConfig};
use sdfs_types::calls::activity::Activity;
use sdfs_types::calls::status::ServerStatus;

use crate::error::ServerError;
use crate::hands::ServerHands;
use crate::role::{Answering, RoleAtWork};

/// The open doors. Dropped, they are closed.
pub(crate) struct OperatorDoors {
    _http: Option<HttpDoor>,
    _console: Option<ConsoleDoor>,
    _watching: Watching,
}

/// What happened of late, for whoever asks; nothing while no door is open.
pub(crate) type LatelySeen = OnceLock<tokio::sync::watch::Receiver<Arc<Lately>>>;

/// Operators' doors are plain unless the configuration wants TLS there, whatever the cluster's own
/// ports are.
pub(crate) async fn open(
    config: &Config,
    me: &ServerConfig,
    answering: &Arc<Answering>,
    hands: ServerHands,
) -> Result<Option<OperatorDoors>, ServerError> {
    let Some(settings) = &config.operator else {
        return Ok(None);
    };
    let transport = config.operator_transport()?;
    let watching = watch(Arc::clone(answering) as Arc<dyn Observed>);
    // Doors are opened once.
    answering.lately.get_or_init(|| watching.lately.clone());
    let counters = Arc::new(ConsoleCounters::default());
    let http = match settings.http_address(config, me) {
        None => None,
        Some(address) => {
            let options = HttpOptions {
                address,
                allow: settings.allow.clone(),
                server: Arc::clone(answering) as Arc<dyn Observed>,
                lately: watching.lately.clone(),
                console: Arc::clone(&counters),
            };
            let opened = start_http(&*transport, options).await;
            Some(opened.map_err(|source| ServerError::Operator { address, source })?)
        }
    };
    let console = match settings.console_address(config, me) {
        None => None,
        Some(address) => {
            let options = ConsoleOptions {
                address,
                allow: settings.allow.clone(),
                server: Arc::clone(answering) as Arc<dyn Observed>,
                hands: Arc::new(hands),
                lately: watching.lately.clone(),
                tell: watching.tell.clone(),
                counters,
            };
            let opened = start_console(&*transport, options).await;
            Some(opened.map_err(|source| ServerError::Operator { address, source })?)
        }
    };
    Ok(Some(OperatorDoors {
        _http: http,
        _console: console,
        _watching: watching,
    }))
}

impl Answering {
    /// What this server has been doing.
    pub(crate) fn activity(&self) -> Activity {
        let lately = self.lately.get().map(|lately| Arc::clone(&lately.borrow()));
        sdfs_console::activity(self, &lately.unwrap_or_default())
    }
}

impl Observed for Answering {
    fn mesh(&self) -> &Mesh {
        &self.known.mesh
    }

    fn status(&self) -> ServerStatus {
        let mut status = self.known.status();
        self.role.tell(&mut status, &self.known);
        status
    }

    fn groups(&self) -> Vec<GroupReading> {
        match &self.role {
            RoleAtWork::Mserver(mserver) => {
                mserver.raft().groups.iter().map(group_reading).collect()
            }
            RoleAtWork::Dserver(_) => Vec::new(),
        }
    }

    fn fastdfs(&self) -> Option<FastDfsReading> {
        let counters = self.fastdfs.get()?;
        let counts = |of: Option<&Arc<Counters>>, named: &[(Counted, &'static str)]| {
            let named = named
                .iter()
                .filter_map(|(what, name)| Some((*name, of?.of(*what))));
            named.collect()
        };
        let (protocol, http) = (Some(&counters.protocol), counters.http.as_ref());
        Some(FastDfsReading {
            requests: counts(protocol, &Counted::REQUESTS),
            connections: counts(protocol, &Counted::CONNECTIONS),
            http_requests: counts(http, &Counted::HTTP_REQUESTS),
            http_connections: counts(http, &Counted::HTTP_CONNECTIONS),
        })
    }

    fn locks(&self, limit: usize) -> BoxFuture<'static, (Vec<LockReading>, usize)> {
        let role = self.role.clone();
        Box::pin(async move {
            match role {
                RoleAtWork::Mserver(mserver) => {
                    let (names, count) = mserver.names_reserved(limit).await;
                    (names.into_iter().map(lock_of_name).collect(), count)
                }
                RoleAtWork::Dserver(dserver) => {
                    let locks = locks_of(dserver.promised().await);
                    let count = locks.len();
                    (locks, count)
                }
            }
        })
    }

    fn logs(&self) -> Vec<LogReading> {
        match &self.role {
            RoleAtWork::Mserver(mserver) => vec![log_of_raft(mserver.raft().log)],
            RoleAtWork::Dserver(dserver) => {
                let log = |(path, log): (std::path::PathBuf, sdfs_log::LogStats)| LogReading {
                    log: path.display().to_string(),
                    syncs: log.commits,
                    records: log.records,
                    record_bytes: log.record_bytes,
                    queued_records: log.queued_records,
                    queued_bytes: log.queued_bytes,
                    segments_begun: log.segments_begun,
                    total_bytes: log.total_bytes,
                };
                dserver.logs().into_iter().map(log).collect()
            }
        }
    }
}

fn lock_of_name(name: NameReserved) -> LockReading {
    LockReading {
        kind: "name",
        what: name.path.to_string(),
        holder: name.coordinator,
        request: name.request.map(|request| request.to_string()),
        ends_in_ms: name.ends_in_ms,
    }
}

fn locks_of(promised: Promised) -> Vec<LockReading> {
    let lock = |kind, what, ends_in_ms| LockReading {
        kind,
        what,
        holder: None,
        request: None,
        ends_in_ms,
    };
    let room = promised.room.into_iter().map(|room| {
        let what = format!("{} bytes at {}", room.bytes, room.space.display());
        lock("room", what, room.ends_in_ms)
    });
    let reads = promised.reads_end_in_ms.map(|ends_in_ms| {
        let what = "anonymous files may be read".to_owned();
        lock("reads", what, ends_in_ms)
    });
    room.chain(reads).collect()
}

fn log_of_raft(log: LogCounts) -> LogReading {
    LogReading {
        log: "raft".to_owned(),
        syncs: log.syncs,
        records: log.records,
        record_bytes: log.record_bytes,
        queued_records: log.queued_records,
        queued_bytes: log.queued_bytes,
        segments_begun: log.segments_begun,
        total_bytes: log.total_bytes,
    }
}

fn group_reading(group: &GroupStatus) -> GroupReading {
    let index = |index: Option<u64>| index.unwrap_or(0);
    let members = group.members.iter();
    GroupReading {
        group: group.group.0,
        state: format!("{:?}", group.state).to_lowercase(),
        term: group.term,
        leader: group.leader,
        last_index: index(group.last_index),
        committed_index: index(group.committed_index),
        applied_index: index(group.applied_index),
        quorum_ms_ago: group.quorum_ms_ago,
        members: members
            .map(|member| MemberReading {
                server: member.server,
                matched_index: member.matched_index,
            })
            .collect(),
    }
}
