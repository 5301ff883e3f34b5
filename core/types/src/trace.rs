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

impl TraceWhat {
    /// Which of the nine steps something belongs to, and what to say of it.
    pub fn words(&self, name_of: &impl Fn(ServerId) -> String) -> (u8, String) {
        match self {
            TraceWhat::Received => (1, "takes the request and coordinates it".to_owned()),
            TraceWhat::Asked => (2, "is asked: can it be created?".to_owned()),
            TraceWhat::Can { load } => (
                3,
                format!("votes can, reserves the name ({load} creates under way)"),
            ),
            TraceWhat::Cannot { reason } => (3, format!("votes cannot: {reason}")),
            TraceWhat::Majority { votes, voters } => {
                (4, format!("counts {votes} of {voters} votes: enough"))
            }
            TraceWhat::Chose { main, slaves } => {
                let slaves: Vec<_> = slaves.iter().map(|slave| name_of(*slave)).collect();
                let slaves = if slaves.is_empty() {
                    "nobody".to_owned()
                } else {
                    slaves.join(", ")
                };
                (
                    5,
                    format!("chooses main {} and slaves {slaves}", name_of(*main)),
                )
            }
            TraceWhat::Decided => (6, "the name is committed on a majority".to_owned()),
            TraceWhat::MetaDataCreated => (7, "file-meta-data is committed by the main".to_owned()),
            TraceWhat::Offered { .. } => (7, "is offered the file's blocks".to_owned()),
            TraceWhat::Accepted { .. } => (7, "reserves room and accepts them".to_owned()),
            TraceWhat::NotAccepted { volume, reason } => {
                (7, format!("does not accept volume {volume}: {reason}"))
            }
            TraceWhat::MainAnswered => (8, "the main answers the coordinator".to_owned()),
            TraceWhat::Answered => (9, "answers the client".to_owned()),
        }
    }
}

impl Trace {
    /// The steps without those that repeat an earlier one for another volume.
    #[must_use]
    pub fn together(&self) -> Trace {
        let mut steps: Vec<TraceStep> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let is_repeated = steps.iter().any(|seen| {
                let same = std::mem::discriminant(&seen.what) == std::mem::discriminant(&step.what);
                let of_volume = matches!(
                    step.what,
                    TraceWhat::Offered { .. } | TraceWhat::Accepted { .. }
                );
                same && of_volume && seen.server == step.server
            });
            if !is_repeated {
                steps.push(step.clone());
            }
        }
        Trace { steps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_of_one_server_are_one_line() {
        let step = |at_us, server, what| TraceStep {
            at_us,
            server: ServerId(server),
            what,
        };
        let offered = |volume| TraceWhat::Offered {
            volume: VolumeId(volume),
        };
        let accepted = |volume| TraceWhat::Accepted {
            volume: VolumeId(volume),
        };
        let steps = vec![
            step(1, 4, offered(1)),
            step(2, 4, offered(2)),
            step(2, 5, offered(1)),
            step(3, 4, accepted(1)),
            step(4, 4, accepted(2)),
        ];
        let kept: Vec<_> = Trace { steps }
            .together()
            .steps
            .iter()
            .map(|step| step.at_us)
            .collect();
        assert_eq!(kept, [1, 2, 3]);
    }

    #[test]
    fn steps_are_numbered_as_designed() {
        let name_of = |server: ServerId| format!("m{server}");
        let chose = TraceWhat::Chose {
            main: ServerId(2),
            slaves: vec![ServerId(3), ServerId(1)],
        };
        assert_eq!(
            chose.words(&name_of),
            (5, "chooses main m2 and slaves m3, m1".to_owned())
        );
        assert_eq!(TraceWhat::Answered.words(&name_of).0, 9);
    }
}
