//! The timeline of one create: who did what, when, in microseconds from its start.

use serde::{Deserialize, Serialize};

use crate::ids::VolumeId;
use sdfs_server_group::ServerId;

/// What happened at one step of a create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TraceWhat {
    /// 1: the coordinator took the request.
    Received,
    /// 2: it asked another mserver.
    Asked,
    /// 4: that mserver reserved the name.
    Can {
        /// Creates under way there.
        load: u32,
    },
    /// 4: that mserver refused.
    Cannot {
        /// Why, in words.
        reason: String,
    },
    /// 4: a majority had reserved the name.
    Majority {
        /// How many, the coordinator included.
        votes: u32,
        /// Of how many.
        voters: u32,
    },
    /// 5: the coordinator chose main and slaves.
    Chose {
        /// The main.
        main: ServerId,
        /// The slaves.
        slaves: Vec<ServerId>,
    },
    /// 6: the root group committed the name.
    Decided,
    /// 7: the main committed the file-meta-data.
    MetaDataCreated,
    /// 7: a dserver was asked to keep blocks of the file.
    Offered {
        /// In which volume.
        volume: VolumeId,
    },
    /// 7: a dserver reserved room.
    Accepted {
        /// In which volume.
        volume: VolumeId,
    },
    /// 7: a dserver refused or kept silent, and another volume is tried.
    NotAccepted {
        /// In which volume.
        volume: VolumeId,
        /// Why, in words.
        reason: String,
    },
    /// 8: the main had told the coordinator.
    MainAnswered,
    /// 9: the coordinator answers the client.
    Answered,
}

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceStep {
    /// When, microseconds from the start at the coordinator.
    pub at_us: u64,
    /// Which server it is about.
    pub server: ServerId,
    /// What happened.
    pub what: TraceWhat,
}

/// The steps of one create in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The steps.
    pub steps: Vec<TraceStep>,
}
