//! The cluster that is tortured: six server processes in a temporary folder, and what can be done
//! to each of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sdfs_client::{Client, ClientOptions};
use sdfs_server::{ClusterOptions, make_missing_secrets, write_config};
use sdfs_server_group::{Config, Role};
use tempfile::TempDir;

use super::disk::Disk;
use super::limits::{OPERATION_WITHIN, READY_WITHIN};
use super::network::{self, Network};
use super::schedule::{Fault, Kind, Target};
use crate::failure::{Failure, Outcome};
use crate::supervise::{ChildLog, Children, Ended, wait_ready};

/// Servers of the shipped layout: three that agree on names, three that keep blocks.
const SERVERS: usize = 6;
/// The one whose disk can be filled, by its place: the last dserver.
const SMALL_DISK: usize = 5;
/// Small logs, and a trash that is emptied while it runs.
const STORAGE: &str = "storage: (segment_bytes: 16777216, trash_s: 20)";

/// A cluster of processes on this machine.
pub(super) struct Stage {
    /// Dropped before the folder, so that no server writes into a folder that is being removed.
    children: Children,
    config: Arc<Config>,
    network: Option<Network>,
    disk: Option<Disk>,
    folder: TempDir,
}

impl Stage {
    /// Starts the servers and waits until they take writes; with a network and a disk that can be
    /// harmed when this process has namespaces of its own.
    pub(super) async fn set(is_apart: bool) -> Outcome<Stage> {
        let folder = tempfile::Builder::new()
            .prefix("sdfs-torture-")
            .tempdir()
            .map_err(|error| Failure::local("make a folder in", &std::env::temp_dir(), &error))?;
        let network = match is_apart {
            true => Some(Network::lay(SERVERS).await?),
            false => None,
        };
        let hosts = network.iter().flat_map(|_| (0..SERVERS).map(network::host));
        let options = ClusterOptions {
            name: "torture".to_owned(),
            storage: Some(STORAGE.to_owned()),
            hosts: hosts.collect(),
            ..ClusterOptions::default()
        };
        let config_file = write_config(folder.path(), &options)?;
        let config = Arc::new(Config::load(&config_file)?);
        make_missing_secrets(&config)?;
        let disk = match (is_apart, config.servers[SMALL_DISK].space.first()) {
            (true, Some(space)) => {
                Some(Disk::mount(&folder.path().join("small.disk"), space).await?)
            }
            _ => None,
        };
        let names = config.servers.iter().map(|server| server.name.to_string());
        let through: BTreeMap<_, _> = network
            .iter()
            .flat_map(|_| names.clone().zip((0..SERVERS).map(network::through)))
            .collect();
        let log = ChildLog::TEXT;
        let children =
            Children::start_through(Arc::clone(&config), config_file, log, through).await?;
        let mut stage = Stage {
            children,
            config,
            network,
            disk,
            folder,
        };
        stage.ready().await?;
        Ok(stage)
    }

    async fn ready(&mut self) -> Outcome {
        let holds = self.children.holds();
        tokio::select! {
            ready = wait_ready(&self.config, &holds, READY_WITHIN) => ready.map(drop),
            ended = self.children.next_ended() => Err(ended.failure()),
        }
    }

    /// The cluster's configuration.
    pub(super) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// What may be harmed.
    pub(super) fn targets(&self) -> Vec<Target> {
        let servers = self.config.servers.iter().enumerate();
        let target = servers.map(|(place, server)| Target {
            is_dserver: server.role == Role::Dserver,
            can_be_full: place == SMALL_DISK && self.disk.is_some(),
        });
        target.collect()
    }

    /// Which faults can be done here, whether root or not.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let mut kinds = vec![
            Kind::Kill,
            Kind::Kill,
            Kind::Freeze,
            Kind::Freeze,
            Kind::Power,
        ];
        if self.network.is_some() {
            kinds.extend([Kind::Cut, Kind::Cut, Kind::Mute, Kind::Deaf, Kind::OneWay]);
        }
        if self.disk.is_some() {
            kinds.push(Kind::Full);
        }
        kinds
    }

    /// Waits until a server ends that was not told to, and starts it again.
    pub(super) async fn next_ended(&mut self) -> Outcome<Ended> {
        let ended = self.children.next_ended().await;
        self.children.start_again(&ended.name)?;
        Ok(ended)
    }

    /// Does harm.
    pub(super) async fn harm(&mut self, fault: Fault) -> Outcome {
        let name = self.name(fault.server);
        match fault.kind {
            Kind::Kill => self.children.kill(&name).await.map(drop),
            Kind::Power => self.children.kill_all().await,
            Kind::Freeze => match self.children.running_named(&name) {
                Some(child) => child.freeze(),
                None => Ok(()),
            },
            Kind::Full => self.disk.as_ref().map_or(Ok(()), Disk::fill),
            Kind::Cut | Kind::Mute | Kind::Deaf | Kind::OneWay => self.wires(fault, true).await,
        }
    }

    /// Mends it.
    pub(super) async fn mend(&mut self, fault: Fault) -> Outcome {
        let name = self.name(fault.server);
        match fault.kind {
            Kind::Kill => self.children.start_again(&name),
            Kind::Power => {
                for server in 0..self.config.servers.len() {
                    let name = self.name(server);
                    self.children.start_again(&name)?;
                }
                Ok(())
            }
            Kind::Freeze => match self.children.running_named(&name) {
                Some(child) => child.thaw(),
                None => Ok(()),
            },
            Kind::Full => self.disk.as_ref().map_or(Ok(()), Disk::empty),
            Kind::Cut | Kind::Mute | Kind::Deaf | Kind::OneWay => self.wires(fault, false).await,
        }
    }

    async fn wires(&self, fault: Fault, is_cut: bool) -> Outcome {
        let Some(network) = &self.network else {
            return Ok(());
        };
        let one = fault.server;
        let others = || network.others(one);
        let ways: Vec<(usize, usize)> = match (fault.kind, fault.towards) {
            (Kind::OneWay, Some(other)) => vec![(one, other)],
            (Kind::Mute, _) => others().map(|other| (one, other)).collect(),
            (Kind::Deaf, _) => others().map(|other| (other, one)).collect(),
            _ => others()
                .flat_map(|other| [(one, other), (other, one)])
                .collect(),
        };
        for way in ways {
            network.set(way, is_cut).await?;
        }
        Ok(())
    }

    fn name(&self, server: usize) -> String {
        self.config.servers[server].name.to_string()
    }

    /// The panics in the servers' logs, which are a fault whoever survives them.
    pub(super) fn panics(&self) -> Vec<String> {
        let mut panics = Vec::new();
        for server in &self.config.servers {
            for space in &server.space {
                let log = std::fs::read(space.join("server.log")).unwrap_or_default();
                let log = String::from_utf8_lossy(&log);
                let lines = log.lines().filter(|line| line.contains("panicked at"));
                panics.extend(lines.map(|line| format!("{}: {line}", server.name)));
            }
        }
        panics
    }

    /// Stops the servers; removes the folder, or tells where it is kept.
    pub(super) async fn strike(mut self, is_kept: bool) -> Outcome<Option<PathBuf>> {
        let unclean = self.children.stop().await?;
        drop(self.children);
        let path = self.folder.path().to_owned();
        if let Some(disk) = self.disk {
            disk.unmount().await?;
        }
        let kept = if is_kept {
            Some(self.folder.keep())
        } else {
            let fault = |error| Failure::local("remove", &path, &error);
            self.folder.close().map_err(fault)?;
            None
        };
        match unclean.first() {
            Some(first) => Err(first.failure()),
            None => Ok(kept),
        }
    }
}

/// A client of a cluster: of one mserver, or of the nearest.
pub(super) async fn connect(options: &ClientOptions, via: Option<String>) -> Outcome<Client> {
    let options = ClientOptions {
        via,
        timeout: OPERATION_WITHIN,
        ..options.clone()
    };
    Ok(Client::connect(options).await?)
}
