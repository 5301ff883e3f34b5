//! The actor that keeps volumes healthy: on every mserver it takes reports, at the root group's
//! leader it acts on them.

use std::sync::Arc;

use sdfs_server_group::{Caller, Deadline};
use sdfs_types::Refusal;
use sdfs_types::calls::negotiation::{ReportSync, ReportTrouble};

use super::door::{RootGroup, Servers};
use super::machine::VolumeWatch;

/// How many volumes there are and how many copies they have, as the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeRules {
    /// Copies of each volume while there are enough dservers.
    pub copies: u8,
    /// Fewest copies in sync for a write.
    pub copies_min: u8,
    /// Volumes each dserver takes part in.
    pub volumes_per_dserver: u16,
    /// Silence after which a server counts as lost, milliseconds.
    pub silence_ms_max: u64,
}

/// The way to the supervisor of this server.
#[derive(Clone)]
pub struct Supervisor {}

impl Supervisor {
    /// Starts the actor on the present arbiter; it runs as long as the arbiter does.
    pub fn start(
        _rules: VolumeRules,
        _servers: Arc<dyn Servers>,
        _root: Arc<dyn RootGroup>,
        _map: VolumeWatch,
    ) -> Supervisor {
        Supervisor {}
    }

    /// Takes a report of trouble, or passes it on to the root group's leader.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when nobody leads; [`Refusal::StaleEpoch`] when the volume has moved on.
    pub async fn report_trouble(
        &self,
        _from: &Caller,
        _report: ReportTrouble,
        _deadline: Deadline,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    /// Takes a report of a finished sync, or passes it on to the root group's leader. The member
    /// repeats it until it is taken.
    ///
    /// # Errors
    /// As [`Supervisor::report_trouble`].
    pub async fn report_sync(
        &self,
        _from: &Caller,
        _report: ReportSync,
        _deadline: Deadline,
    ) -> Result<(), Refusal> {
        Ok(())
    }
}
