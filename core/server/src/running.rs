//! What runs on the control thread of a server: the group and a role, started in order and
//! stopped in the reverse order.

use std::sync::Arc;

use actix::Addr;
use sdfs_net_layer::{TcpTransport, TlsError, TlsFiles, TlsTransport, Transport};
use sdfs_server_group::{Config, Group, GroupOptions, ServerConfig, Stop, start as start_group};
use sdfs_types::calls::status::ServerStatus;
use tokio::time::Instant;

use crate::error::ServerError;
use crate::role::{Answering, RoleAtWork};
use crate::route::{Answers, Route};
use crate::space::{Spaces, take_spaces};
use crate::status::Known;

/// Sockets as the configuration wants them: plain, or under TLS.
fn transport(config: &Config) -> Result<Arc<dyn Transport>, TlsError> {
    let Some(tls) = &config.tls else {
        return Ok(Arc::new(TcpTransport));
    };
    let files = TlsFiles {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        authority: tls.authority.clone(),
    };
    Ok(Arc::new(TlsTransport::new(Arc::new(TcpTransport), &files)?))
}

/// A server at work.
pub(crate) struct Running {
    group: Addr<Group>,
    known: Known,
    role: RoleAtWork,
    /// What the mesh's calls go to, for as long as this is kept.
    _answers: Arc<dyn Answers>,
    /// Given up last: nobody else may use the spaces before everything is closed.
    _spaces: Spaces,
}

impl Running {
    /// Takes the spaces, joins the group, starts the role.
    pub(crate) async fn start(
        config: &Arc<Config>,
        me: &ServerConfig,
    ) -> Result<Running, ServerError> {
        let spaces = take_spaces(me)?;
        let begun = Instant::now();
        let route = Route::default();
        let (group, mesh) = start_group(GroupOptions {
            config: Arc::clone(config),
            me: me.id,
            transport: transport(config)?,
            service: Arc::new(route.clone()),
            user_keys: Arc::new(route.clone()),
        })
        .await?;
        let role = RoleAtWork::start(me, &mesh).await?;
        let known = Known {
            mesh,
            me: me.clone(),
            begun,
        };
        let answers: Arc<dyn Answers> = Arc::new(Answering {
            role: role.clone(),
            known: known.clone(),
        });
        route.open(&answers);
        Ok(Running {
            group,
            known,
            role,
            _answers: answers,
            _spaces: spaces,
        })
    }

    /// How the server is.
    pub(crate) fn status(&self) -> ServerStatus {
        let mut status = self.known.status();
        self.role.tell(&mut status);
        status
    }

    /// Waits until the role cannot go on, and says why.
    pub(crate) async fn failed(&mut self) -> ServerError {
        self.role.failed().await
    }

    /// Finishes what is in hand, persists, says goodbye.
    pub(crate) async fn stop(self) -> Result<(), ServerError> {
        self.role.stop().await;
        // The group may have ended by itself; then nobody is left to say goodbye to.
        self.group.send(Stop).await.unwrap_or(());
        Ok(())
    }
}
