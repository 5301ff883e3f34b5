//! The volumes as the client knows them: learned with every file, corrected by refusals.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sdfs_server_group::Deadline;
use sdfs_types::calls::names::GetVolumeMap;
use sdfs_types::calls::servers::GetServers;
use sdfs_types::{ServerId, ServerList, Volume, VolumeId, VolumeMap};

use crate::client::{Client, Shared};
use crate::error::Error;
use crate::limits::ATTEMPT_READ;

impl Shared {
    /// Takes over a volume unless a newer epoch of it is known.
    pub(crate) fn learn_volume(&self, volume: &Volume) {
        let is_news = |known: &Volume| {
            known.epoch < volume.epoch
                || (known.epoch == volume.epoch && known.status != volume.status)
        };
        if self
            .volumes
            .get(&volume.id)
            .is_none_or(|known| is_news(&known))
        {
            let mut known = self
                .volumes
                .entry(volume.id)
                .or_insert_with(|| Arc::new(volume.clone()));
            if is_news(&known) {
                *known = Arc::new(volume.clone());
            }
        }
    }

    /// Takes over volumes.
    pub(crate) fn learn_volumes<'a>(&self, volumes: impl IntoIterator<Item = &'a Volume>) {
        volumes
            .into_iter()
            .for_each(|volume| self.learn_volume(volume));
    }

    /// Takes over a whole map.
    pub(crate) fn learn_map(&self, map: &VolumeMap) {
        self.learn_volumes(map.volumes.values());
        self.map_version.fetch_max(map.version, Ordering::Relaxed);
    }

    /// Takes over the list of servers.
    pub(crate) fn learn_servers(&self, list: &ServerList) {
        self.pool.learn(|topology| topology.take(list));
    }

    /// The volume as last told.
    pub(crate) fn volume(&self, id: VolumeId) -> Option<Arc<Volume>> {
        self.volumes.get(&id).map(|volume| Arc::clone(&volume))
    }
}

impl Client {
    /// Every volume of the cluster, as a mserver has it now.
    ///
    /// # Errors
    /// When no mserver answers in time.
    pub async fn volume_map(&self) -> Result<VolumeMap, Error> {
        let map = self
            .ask(&GetVolumeMap { known_version: 0 }, None)
            .await?
            .unwrap_or_default();
        self.shared.learn_map(&map);
        Ok(map)
    }

    /// Brings the known volumes up to date.
    pub(crate) async fn refresh_volumes(&self, deadline: Deadline) -> Result<(), Error> {
        let known_version = self.shared.map_version.load(Ordering::Relaxed);
        let call = GetVolumeMap { known_version };
        if let Some(map) = self.ask_by(&call, None, deadline).await? {
            self.take_volumes(map.volumes.values()).await;
            self.shared.learn_map(&map);
        }
        Ok(())
    }

    /// Learns who the servers are, unless the list is known as it is.
    pub(crate) async fn refresh_servers(&self, deadline: Deadline) -> Result<(), Error> {
        let known_version = self.shared.pool.topology().list_version;
        let told = self
            .ask_by(&GetServers { known_version }, None, deadline)
            .await?;
        if let Some(list) = told.list {
            self.shared.learn_servers(&list);
        }
        Ok(())
    }

    /// Takes over volumes, and learns who the servers are when a member is not known.
    pub(crate) async fn take_volumes<'a>(&self, volumes: impl IntoIterator<Item = &'a Volume>) {
        let topology = self.shared.pool.topology();
        let is_unknown = |server: ServerId| topology.place(server).is_none();
        let mut is_any_unknown = false;
        for volume in volumes {
            self.shared.learn_volume(volume);
            is_any_unknown |= volume.members.iter().any(|one| is_unknown(one.server));
        }
        if is_any_unknown
            && let Err(error) = self.refresh_servers(Deadline::after(ATTEMPT_READ)).await
        {
            tracing::debug!(%error, "a server that is not known stays so");
        }
    }
}
