//! The actor of the group: who belongs to it, and what becomes of accepted connections.

use std::sync::Arc;

use actix::prelude::*;
use sdfs_net_layer::Transport;

use crate::config::{Config, ServerConfig};
use crate::errors::StartError;
use crate::ids::ServerId;
use crate::key::UserKeys;
use crate::mesh::Mesh;
use crate::service::Service;

/// What a group starts from.
pub struct GroupOptions {
    /// The cluster.
    pub config: Arc<Config>,
    /// Which of its servers this is.
    pub me: ServerId,
    /// The door to sockets.
    pub transport: Arc<dyn Transport>,
    /// What answers calls.
    pub service: Arc<dyn Service>,
    /// The keys of users.
    pub user_keys: Arc<dyn UserKeys>,
}

/// The group's actor.
pub struct Group {}

impl Actor for Group {
    type Context = Context<Self>;
}

/// Stops: refuses what is new, sends what is queued, says goodbye to everybody.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Stop;

/// A server joins.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AddServer(pub ServerConfig);

/// A server leaves.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RemoveServer(pub ServerId);

/// Listens, dials every other server, and gives the mesh. Runs on the current actix arbiter.
///
/// # Errors
/// When this server is not in the configuration, its secret cannot be read or its address is
/// taken.
pub async fn start(options: GroupOptions) -> Result<(Addr<Group>, Mesh), StartError> {
    todo!("{}", options.me)
}

impl Handler<Stop> for Group {
    type Result = ();
    fn handle(&mut self, _: Stop, _: &mut Self::Context) {
        todo!()
    }
}

impl Handler<AddServer> for Group {
    type Result = ();
    fn handle(&mut self, _: AddServer, _: &mut Self::Context) {
        todo!()
    }
}

impl Handler<RemoveServer> for Group {
    type Result = ();
    fn handle(&mut self, _: RemoveServer, _: &mut Self::Context) {
        todo!()
    }
}
