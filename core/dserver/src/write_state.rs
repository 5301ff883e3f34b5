//! Decides a block write: who must store it, and what the writer is told. Pure: the answers of the
//! members are its events.

use std::collections::BTreeSet;

use sdfs_server_group::{CallError, ServerId};
use sdfs_types::calls::blocks::BlockStored;
use sdfs_types::calls::negotiation::Trouble;
use sdfs_types::{Epoch, MemberState, Refusal, Volume, VolumeStatus};

use crate::peers::AskFault;

/// A write under way.
#[derive(Clone, Debug)]
pub(crate) struct WriteState {
    epoch: Epoch,
    waiting_for: BTreeSet<ServerId>,
    copies: u8,
    is_answered: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Answer the writer; comes once.
    Answer(Result<BlockStored, Refusal>),
    /// Tell the root leader.
    Report(ServerId, Trouble),
}

/// Whether this server may store copies of a volume for a caller that knows `epoch`.
pub(crate) fn check_member(volume: &Volume, epoch: Epoch, me: ServerId) -> Result<(), Refusal> {
    if volume.epoch != epoch {
        return Err(Refusal::StaleEpoch {
            current: Box::new(volume.clone()),
        });
    }
    match volume.state_of(me) {
        Some(MemberState::InSync | MemberState::Syncing) => Ok(()),
        Some(MemberState::Out) | None => Err(Refusal::NoSuchVolume { volume: volume.id }),
    }
}

impl WriteState {
    /// Begins a write at this server, which stores a copy like every other that must.
    ///
    /// # Errors
    /// The volume takes no new blocks, or none from here at that epoch.
    pub(crate) fn begin(
        volume: &Volume,
        epoch: Epoch,
        me: ServerId,
        copies_min: u8,
    ) -> Result<Self, Refusal> {
        check_member(volume, epoch, me)?;
        let in_sync = volume.readable().count();
        let needed = usize::from(copies_min).clamp(1, volume.members.len().max(1));
        if in_sync < needed || volume.status == VolumeStatus::ReadOnly {
            return Err(Refusal::TooFewCopies {
                volume: volume.id,
                in_sync: in_sync as u32,
                needed: needed as u32,
            });
        }
        match volume.status {
            VolumeStatus::Full => {
                return Err(Refusal::NoSpace {
                    server: me,
                    free_bytes: 0,
                });
            }
            VolumeStatus::Draining => {
                let why = format!("volume {} is being emptied", volume.id);
                return Err(Refusal::Busy { why });
            }
            VolumeStatus::Writable | VolumeStatus::Degraded | VolumeStatus::ReadOnly => {}
        }
        let waiting_for: BTreeSet<ServerId> = volume.acknowledging().collect();
        let copies = u8::try_from(waiting_for.len()).unwrap_or(u8::MAX);
        Ok(Self {
            epoch,
            waiting_for,
            copies,
            is_answered: false,
        })
    }

    /// Members that must store it and have not.
    pub(crate) fn waiting_for(&self) -> impl Iterator<Item = ServerId> {
        self.waiting_for.iter().copied()
    }

    /// A member has stored its copy.
    pub(crate) fn stored(&mut self, member: ServerId) -> Vec<Effect> {
        self.waiting_for.remove(&member);
        if self.waiting_for.is_empty() {
            self.answer(Ok(BlockStored {
                copies: self.copies,
            }))
        } else {
            Vec::new()
        }
    }

    /// A member has not stored its copy: the write has failed, whatever the others do.
    pub(crate) fn failed(&mut self, member: ServerId, fault: AskFault) -> Vec<Effect> {
        let copy_failed = |why: String| Refusal::CopyFailed {
            server: member,
            why,
        };
        let (answer, trouble) = match fault {
            AskFault::Refused(refusal) => match refusal {
                Refusal::StaleEpoch { current } if current.epoch > self.epoch => {
                    (Refusal::StaleEpoch { current }, None)
                }
                // It will learn of this epoch any moment.
                Refusal::StaleEpoch { .. } => (
                    Refusal::Busy {
                        why: format!("server {member} is an epoch behind"),
                    },
                    None,
                ),
                Refusal::BlockExists => (Refusal::BlockExists, None),
                refusal => {
                    let trouble = match &refusal {
                        Refusal::NoSpace { .. } => Some(Trouble::Full),
                        Refusal::DiskFailed { .. } => Some(Trouble::DiskFailed),
                        _ => None,
                    };
                    (copy_failed(refusal.to_string()), trouble)
                }
            },
            AskFault::Call(error) => {
                let is_silence = matches!(
                    error,
                    CallError::Deadline | CallError::Lost { .. } | CallError::NotConnected
                );
                (
                    copy_failed(error.to_string()),
                    is_silence.then_some(Trouble::Silent),
                )
            }
            AskFault::Malformed => (copy_failed("its answer does not decode".to_owned()), None),
        };
        let mut effects = self.answer(Err(answer));
        effects.extend(trouble.map(|trouble| Effect::Report(member, trouble)));
        effects
    }

    /// This server itself has not stored its copy.
    pub(crate) fn failed_here(&mut self, me: ServerId, refusal: Refusal) -> Vec<Effect> {
        let trouble = match &refusal {
            Refusal::NoSpace { .. } => Some(Trouble::Full),
            Refusal::DiskFailed { .. } => Some(Trouble::DiskFailed),
            _ => None,
        };
        let mut effects = self.answer(Err(refusal));
        effects.extend(trouble.map(|trouble| Effect::Report(me, trouble)));
        effects
    }

    /// The writer waits no longer: it may be stored or not.
    pub(crate) fn deadline(&mut self) -> Vec<Effect> {
        let missing = self.waiting_for.len();
        let why = format!(
            "{missing} of {} copies were not confirmed in time",
            self.copies
        );
        self.answer(Err(Refusal::Unknown { why }))
    }

    fn answer(&mut self, answer: Result<BlockStored, Refusal>) -> Vec<Effect> {
        if std::mem::replace(&mut self.is_answered, true) {
            return Vec::new();
        }
        vec![Effect::Answer(answer)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use sdfs_types::{VolumeId, VolumeMember};

    const ME: ServerId = ServerId(1);

    fn volume(states: &[MemberState], status: VolumeStatus) -> Volume {
        let member = |(i, state): (usize, &MemberState)| VolumeMember {
            server: ServerId(i as u16 + 1),
            state: *state,
        };
        Volume {
            id: VolumeId(7),
            epoch: Epoch(5),
            members: states.iter().enumerate().map(member).collect(),
            status,
        }
    }

    fn three() -> Volume {
        volume(&[MemberState::InSync; 3], VolumeStatus::Writable)
    }

    fn begin(volume: &Volume) -> Result<WriteState, Refusal> {
        WriteState::begin(volume, Epoch(5), ME, 2)
    }

    #[test]
    fn all_copies_make_one_answer() {
        let mut write = begin(&three()).unwrap();
        assert_eq!(write.stored(ServerId(2)), []);
        assert_eq!(write.stored(ME), []);
        let done = vec![Effect::Answer(Ok(BlockStored { copies: 3 }))];
        assert_eq!(write.stored(ServerId(3)), done);
        assert_eq!(write.deadline(), []);
    }

    #[test]
    fn syncing_members_must_store_too() {
        use MemberState::{InSync, Out, Syncing};
        let volume = volume(&[InSync, InSync, Syncing, Out], VolumeStatus::Degraded);
        let write = begin(&volume).unwrap();
        let waiting: Vec<_> = write.waiting_for().collect();
        assert_eq!(waiting, [ServerId(1), ServerId(2), ServerId(3)]);
    }

    #[test]
    fn other_epochs_are_refused_with_the_current_one() {
        for epoch in [Epoch(4), Epoch(6)] {
            let refused = WriteState::begin(&three(), epoch, ME, 2).map(drop);
            assert_eq!(
                refused,
                Err(Refusal::StaleEpoch {
                    current: Box::new(three())
                })
            );
        }
    }

    #[test]
    fn who_may_not_write_is_told_why() {
        use MemberState::{InSync, Out, Syncing};
        let refusal = |states: &[MemberState], status| begin(&volume(states, status)).map(drop);
        assert!(matches!(
            refusal(&[Out, InSync, InSync], VolumeStatus::Degraded),
            Err(Refusal::NoSuchVolume { .. })
        ));
        assert!(matches!(
            refusal(&[InSync, Out, Syncing], VolumeStatus::Writable),
            Err(Refusal::TooFewCopies {
                in_sync: 1,
                needed: 2,
                ..
            })
        ));
        assert!(matches!(
            refusal(&[InSync; 3], VolumeStatus::ReadOnly),
            Err(Refusal::TooFewCopies { .. })
        ));
        assert!(matches!(
            refusal(&[InSync; 3], VolumeStatus::Full),
            Err(Refusal::NoSpace { .. })
        ));
        assert!(matches!(
            refusal(&[InSync; 3], VolumeStatus::Draining),
            Err(Refusal::Busy { .. })
        ));
        assert!(
            begin(&volume(&[InSync], VolumeStatus::Writable)).is_ok(),
            "a volume of one copy"
        );
    }

    /// What a member's fault is, what the writer is told, and what is reported.
    type Row = (AskFault, fn(&Refusal) -> bool, Option<Trouble>);

    #[test]
    fn faults_of_members_have_their_answers() {
        let newer = Volume {
            epoch: Epoch(6),
            ..three()
        };
        let older = Volume {
            epoch: Epoch(4),
            ..three()
        };
        let stale = |v: &Volume| Refusal::StaleEpoch {
            current: Box::new(v.clone()),
        };
        let s = ServerId(2);
        let full = Refusal::NoSpace {
            server: s,
            free_bytes: 0,
        };
        let table: Vec<Row> = vec![
            (
                AskFault::Refused(stale(&newer)),
                |r| matches!(r, Refusal::StaleEpoch { .. }),
                None,
            ),
            (
                AskFault::Refused(stale(&older)),
                |r| matches!(r, Refusal::Busy { .. }),
                None,
            ),
            (
                AskFault::Refused(Refusal::BlockExists),
                |r| *r == Refusal::BlockExists,
                None,
            ),
            (AskFault::Refused(full), is_copy_failed, Some(Trouble::Full)),
            (
                AskFault::Refused(Refusal::DiskFailed { server: s }),
                is_copy_failed,
                Some(Trouble::DiskFailed),
            ),
            (AskFault::Refused(Refusal::Corrupt), is_copy_failed, None),
            (
                AskFault::Call(CallError::Deadline),
                is_copy_failed,
                Some(Trouble::Silent),
            ),
            (
                AskFault::Call(CallError::NotConnected),
                is_copy_failed,
                Some(Trouble::Silent),
            ),
            (AskFault::Call(CallError::Full), is_copy_failed, None),
            (AskFault::Malformed, is_copy_failed, None),
        ];
        for (fault, is_right, trouble) in table {
            let mut write = begin(&three()).unwrap();
            let effects = write.failed(s, fault.clone());
            let Some(Effect::Answer(Err(refusal))) = effects.first() else {
                panic!("no refusal for {fault:?}");
            };
            assert!(is_right(refusal), "{fault:?} -> {refusal:?}");
            let reported = trouble.map(|trouble| Effect::Report(s, trouble));
            assert_eq!(effects.get(1).cloned(), reported, "{fault:?}");
        }
    }

    fn is_copy_failed(refusal: &Refusal) -> bool {
        matches!(
            refusal,
            Refusal::CopyFailed {
                server: ServerId(2),
                ..
            }
        )
    }

    #[test]
    fn end_of_the_deadline_is_unknown() {
        let mut write = begin(&three()).unwrap();
        write.stored(ME);
        assert!(matches!(
            write.deadline()[..],
            [Effect::Answer(Err(Refusal::Unknown { .. }))]
        ));
    }

    proptest! {
        #[test]
        fn success_means_every_copy_is_stored(
            events in proptest::collection::vec((1_u16..4, any::<bool>()), 1..12),
        ) {
            let mut write = begin(&three()).unwrap();
            let mut stored = BTreeSet::new();
            let mut answers = 0;
            for (member, ok) in events {
                let member = ServerId(member);
                let effects = if ok {
                    stored.insert(member);
                    write.stored(member)
                } else {
                    write.failed(member, AskFault::Call(CallError::Deadline))
                };
                for effect in effects {
                    if let Effect::Answer(answer) = effect {
                        answers += 1;
                        prop_assert!(answer.is_err() || stored.len() == 3);
                    }
                }
            }
            prop_assert!(answers <= 1);
        }
    }
}
