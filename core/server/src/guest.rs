//! What a server asks that has no connection of its own with the others: before it has joined
//! them, and when they do not take its connections any more. Whoever answers has proven that he
//! knows the cluster's secret.

use std::net::SocketAddr;
use std::sync::Arc;

use sdfs_net_layer::Transport;
use sdfs_server_group::{
    CallError, ClientCredentials, Config, ConnectError, Deadline, Payload, SecretError, ServerName,
    connect_client,
};
use sdfs_types::calls::Call;
use sdfs_types::calls::servers::GetServers;
use sdfs_types::wire::{self, WireFault};
use sdfs_types::{Refusal, ServerList, ServerState};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::error::{Outsider, ServerError};
use crate::limits::{GUEST_ANSWER_MAX, JOIN_ASKED_EVERY, LISTED_WITHIN};
use crate::list::described;

/// Why a server told no list.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GuestError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It is a server of another cluster.
    #[error("{address} belongs to cluster {cluster}")]
    OtherCluster {
        /// Where it listens.
        address: SocketAddr,
        /// Its cluster.
        cluster: String,
    },
    /// No answer.
    #[error("{address} does not answer: {source}")]
    Call {
        /// Where it listens.
        address: SocketAddr,
        /// Why.
        source: CallError,
    },
    /// Its answer makes no sense.
    #[error("the answer of {address} cannot be read: {source}")]
    Answer {
        /// Where it listens.
        address: SocketAddr,
        /// Why.
        source: WireFault,
    },
    /// It refused.
    #[error("{address} refuses: {source}")]
    Refused {
        /// Where it listens.
        address: SocketAddr,
        /// Why.
        source: Refusal,
    },
    /// It has no list yet.
    #[error("{address} does not know the list of servers yet")]
    NoList {
        /// Where it listens.
        address: SocketAddr,
    },
    /// The cluster's secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// A way to servers for one that is none of their peers.
pub(crate) struct Guest {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) config: Arc<Config>,
    pub(crate) name: ServerName,
}

impl Guest {
    /// The list as the server at `address` knows it.
    pub(crate) async fn list(&self, address: SocketAddr) -> Result<ServerList, GuestError> {
        let deadline = Deadline::after(GUEST_ANSWER_MAX);
        let guest = ClientCredentials::Cluster {
            name: self.name.clone(),
            secret: self.config.cluster_secret()?,
        };
        let made = connect_client(&*self.transport, address, &guest, deadline).await?;
        if *made.cluster != *self.config.cluster {
            let cluster = made.cluster.to_string();
            return Err(GuestError::OtherCluster { address, cluster });
        }
        let head = wire::encode(&GetServers { known_version: 0 });
        let kind = GetServers::KIND.to_wire();
        let answer = made.link.call(kind, head, Payload::default(), deadline);
        let answer = answer.await;
        made.link.close();
        let answer = answer.map_err(|source| GuestError::Call { address, source })?;
        match wire::decode_answer::<<GetServers as Call>::Reply>(&answer.head) {
            Ok(Ok(told)) => told
                .list
                .filter(|list| list.version > 0)
                .ok_or(GuestError::NoList { address }),
            Ok(Err(source)) => Err(GuestError::Refused { address, source }),
            Err(source) => Err(GuestError::Answer { address, source }),
        }
    }
}

/// The configuration of a server that joins a running cluster: its own, with the servers that one
/// of `mservers` tells. Asks them in turn over `transport` until one does.
///
/// # Errors
/// When the list does not know the server, or knows it otherwise than `config` does.
pub async fn joining_config(
    config: &Arc<Config>,
    name: &str,
    mservers: &[SocketAddr],
    transport: Arc<dyn Transport>,
) -> Result<Arc<Config>, ServerError> {
    let Some(me) = config.server_named(name) else {
        return Err(ServerError::unknown(config, name));
    };
    let guest = Guest {
        transport,
        config: Arc::clone(config),
        name: me.name.clone(),
    };
    let mut told = String::new();
    let mut unlisted_since: Option<Instant> = None;
    loop {
        for address in mservers {
            match guest.list(*address).await {
                Ok(list) => match with_list(config, name, &list) {
                    // The one asked may be behind the one that was told to expect this server.
                    Err(ServerError::Outsider(Outsider::NotExpected { .. }))
                        if unlisted_since.get_or_insert_with(Instant::now).elapsed()
                            < LISTED_WITHIN => {}
                    decided => return decided,
                },
                Err(GuestError::Secret(error)) => return Err(ServerError::Secret(error)),
                Err(error) if told != error.to_string() => {
                    told = error.to_string();
                    tracing::warn!(%error, "no list of servers yet");
                }
                Err(_) => {}
            }
        }
        sleep(JOIN_ASKED_EVERY).await;
    }
}

/// `config` with the servers of the list; this one keeps its files where `config` says.
fn with_list(config: &Config, name: &str, list: &ServerList) -> Result<Arc<Config>, ServerError> {
    let Some(me) = config.server_named(name) else {
        return Err(ServerError::unknown(config, name));
    };
    let Some(record) = list.named(name) else {
        let (name, role, address) = (me.name.clone(), me.role, me.address);
        return Err(Outsider::NotExpected {
            name,
            role,
            address,
        }
        .into());
    };
    let (name, id) = (record.name.clone(), record.id);
    match record.state {
        ServerState::Gone => return Err(Outsider::Gone { name, id }.into()),
        ServerState::Lost => return Err(Outsider::Lost { name, id }.into()),
        _ => {}
    }
    if record.role != me.role || record.address != me.address {
        return Err(Outsider::Elsewhere {
            name,
            listed: format!("a {} at {}", record.role, record.address),
            configured: format!("a {} at {}", me.role, me.address),
        }
        .into());
    }
    let present = list.present().filter(|record| record.is_connected());
    let servers = present.map(|one| described(one, (one.id == id).then_some(me)));
    Ok(Arc::new(Config {
        servers: servers.collect(),
        ..config.clone()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_server_group::{Role, ServerId};
    use sdfs_types::ServerRecord;
    use std::path::Path;

    fn config() -> Config {
        let text = r#"(cluster: "c", secret_file: "s", admin: (name: "admin", secret_file: "a"),
            servers: [
                (name: "mserver-1", role: Mserver, address: "127.0.0.1:1", space: ["m"]),
                (name: "dserver-4", role: Dserver, address: "127.0.0.1:4", space: ["d"]),
            ])"#;
        Config::parse(text, Path::new("config.conf")).expect("a configuration")
    }

    fn list(name: &str, port: u16, state: ServerState) -> ServerList {
        let record = |id: u16, name: &str, role, port: u16, state| ServerRecord {
            id: ServerId(id),
            name: name.into(),
            role,
            address: ([127, 0, 0, 1], port).into(),
            zone: "z".to_owned(),
            state,
            change: 2,
        };
        let records = [
            record(1, "mserver-1", Role::Mserver, 1, ServerState::Member),
            record(4, "dserver-1", Role::Dserver, 9, ServerState::Gone),
            record(7, name, Role::Dserver, port, state),
        ];
        ServerList {
            version: 2,
            servers: records.map(|one| (one.id, one)).into(),
        }
    }

    #[test]
    fn the_list_gives_the_number() {
        let joining = list("dserver-4", 4, ServerState::Joining);
        let joined = with_list(&config(), "dserver-4", &joining).expect("expected");
        let ids: Vec<_> = joined.servers.iter().map(|one| one.id.0).collect();
        assert_eq!(ids, [1, 7]);
        let me = joined.server_named("dserver-4").expect("itself");
        assert!(me.space[0].ends_with("d") && me.zone == "z");
        assert!(joined.servers[0].space.is_empty());
    }

    #[test]
    fn strangers_are_told_what_to_do() {
        let refused = |list: ServerList| {
            let refused = with_list(&config(), "dserver-4", &list);
            refused.expect_err("refused").to_string()
        };
        let sentence = refused(list("dserver-5", 5, ServerState::Joining));
        let command = "sdfs join --name dserver-4 --role dserver --address 127.0.0.1:4";
        assert!(sentence.contains(command), "{sentence}");
        let sentence = refused(list("dserver-4", 5, ServerState::Member));
        assert!(sentence.contains("a dserver at 127.0.0.1:5"), "{sentence}");
        let sentence = refused(list("dserver-4", 4, ServerState::Gone));
        assert!(sentence.contains("left the cluster"), "{sentence}");
    }
}
