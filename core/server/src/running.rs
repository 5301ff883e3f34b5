//! What runs on the control thread of a server: the group and a role, started in order and
//! stopped in the reverse order.

use std::sync::{Arc, OnceLock};

use actix::Addr;
use sdfs_fastdfs::Doors;
use sdfs_log::{Disk, RealDisk};
use sdfs_mserver::LogKept;
use sdfs_net_layer::{TlsError, Transport};
use sdfs_server_group::{
    Config, Group, GroupOptions, Mesh, ServerConfig, Stop, start as start_group,
};
use sdfs_store::Store;
use sdfs_types::calls::status::ServerStatus;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::audit::AuditLog;
use crate::error::ServerError;
use crate::fastdfs;
use crate::follow::{Follower, Following};
use crate::guest::Guest;
use crate::hands::{LogDial, ServerHands};
use crate::operator::{self, LatelySeen, OperatorDoors};
use crate::role::{Answering, FastDfsCounters, RoleAtWork};
use crate::route::{Answers, Route};
use crate::status::Known;

/// What a server has of the world: the doors a simulator stands behind too.
#[derive(Clone)]
pub struct Outside {
    /// How servers are reached.
    pub transport: Arc<dyn Transport>,
    /// Where files are kept.
    pub disk: Arc<dyn Disk>,
    /// Where a mserver keeps the state of its groups; `None` opens the one in its space.
    pub store: Option<Store>,
    /// How much of its groups' log a mserver keeps.
    pub kept: LogKept,
    /// Turns the log of the process, where that is the server's own.
    pub log: Option<LogDial>,
}

impl Outside {
    /// The system's sockets and files.
    ///
    /// # Errors
    /// When the files for TLS cannot be used.
    pub(crate) fn real(config: &Config) -> Result<Outside, TlsError> {
        Ok(Outside {
            transport: config.transport()?,
            disk: Arc::new(RealDisk),
            store: None,
            kept: LogKept::default(),
            log: None,
        })
    }
}

/// A server at work on the thread that started it. Dropped with the runtime of that thread, it has
/// ended as one that was killed.
pub struct Running {
    group: Addr<Group>,
    known: Known,
    role: RoleAtWork,
    following: Following,
    /// Where FastDFS clients come in, when the configuration wants that.
    doors: Option<Doors>,
    /// Where operators come in, when the configuration wants that.
    operator_doors: Option<OperatorDoors>,
    /// Told when somebody at the console wants the server to stop.
    stop: Arc<Notify>,
    /// What the mesh's calls go to, for as long as this is kept.
    _answers: Arc<dyn Answers>,
}

impl Running {
    /// Joins the group and starts the role. The folders of the server must be its own already.
    ///
    /// # Errors
    /// When its files cannot be used or its address is taken.
    pub async fn start(
        config: &Arc<Config>,
        me: &ServerConfig,
        outside: Outside,
    ) -> Result<Running, ServerError> {
        let begun = Instant::now();
        let link_secret = fastdfs::link_secret(config, me)?;
        let route = Route::default();
        let (group, mesh) = start_group(GroupOptions {
            config: Arc::clone(config),
            me: me.id,
            transport: Arc::clone(&outside.transport),
            service: Arc::new(route.clone()),
            user_keys: Arc::new(route.clone()),
        })
        .await?;
        let guest = Guest {
            transport: Arc::clone(&outside.transport),
            config: Arc::clone(config),
            name: me.name.clone(),
        };
        let log = outside.log.clone();
        let role = RoleAtWork::start(me, &mesh, outside).await?;
        let (source, list) = role.list();
        let follower = Follower {
            group: group.clone(),
            mesh: mesh.clone(),
            me: me.clone(),
            guest,
        };
        // Before any call is answered: nobody speaks any more for what the list says is gone.
        let now = Arc::clone(&list.borrow());
        follower.apply(&now).await;
        let known = Known {
            mesh,
            me: me.clone(),
            begun,
            list,
        };
        let answering = Arc::new(Answering {
            role: role.clone(),
            known: known.clone(),
            lately: LatelySeen::new(),
            fastdfs: OnceLock::new(),
        });
        let answers: Arc<dyn Answers> = Arc::clone(&answering) as Arc<dyn Answers>;
        route.open(&answers);
        let doors = fastdfs::open(config, &known.mesh, (&role, link_secret)).await?;
        if let Some(doors) = &doors {
            // Opened once.
            answering.fastdfs.get_or_init(|| FastDfsCounters {
                protocol: Arc::clone(doors.counters()),
                http: doors.http().map(|http| Arc::clone(http.counters())),
            });
        }
        let stop = Arc::new(Notify::new());
        let hands = ServerHands {
            role: role.clone(),
            audit: AuditLog::in_space(me.space.first().map_or(&config.base, |space| space)),
            stop: Arc::clone(&stop),
            log,
        };
        let operator_doors = operator::open(config, me, &answering, hands).await?;
        Ok(Running {
            group,
            known,
            role,
            following: follower.start(source),
            doors,
            operator_doors,
            stop,
            _answers: answers,
        })
    }

    /// How the server is.
    #[must_use]
    pub fn status(&self) -> ServerStatus {
        let mut status = self.known.status();
        self.role.tell(&mut status, &self.known);
        status
    }

    /// Its place among the others.
    #[must_use]
    pub fn mesh(&self) -> &Mesh {
        &self.known.mesh
    }

    /// Waits until the server cannot go on, and says why.
    pub async fn failed(&self) -> ServerError {
        tokio::select! {
            failed = self.role.failed() => failed,
            outsider = self.following.outside() => outsider.into(),
        }
    }

    /// Waits until somebody at the console wants the server to stop.
    pub async fn told_to_stop(&self) {
        self.stop.notified().await;
    }

    /// Finishes what is in hand, persists, says goodbye.
    ///
    /// # Errors
    /// When something could not be brought to disk.
    pub async fn stop(self) -> Result<(), ServerError> {
        drop(self.following);
        // Nothing new comes in while the rest is finished.
        drop(self.doors);
        drop(self.operator_doors);
        self.role.stop().await;
        // The group may have ended by itself; then nobody is left to say goodbye to.
        self.group.send(Stop).await.unwrap_or(());
        Ok(())
    }
}
