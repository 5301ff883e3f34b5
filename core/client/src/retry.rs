//! The one table of what to do after a failed attempt. Every call of the client goes by it.

use sdfs_server_group::{CallError, ConnectError, RefusalReason};
use sdfs_types::Refusal;

use crate::trouble::Trouble;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The same again at the same server.
    Here,
    /// The same at another server that can do it.
    Elsewhere,
    /// The same after a pause, anywhere.
    Pause,
    /// Another volume, or the same at a newer epoch.
    OtherVolume,
    /// Ask for the file's metadata again: it was changed or replaced.
    RefreshFile,
    /// Ask for a new grant.
    RefreshGrant,
    /// The next version of the block.
    SkipVersion,
    /// Tell the caller.
    GiveUp,
}

/// What a failed attempt means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What to do next.
    pub(crate) next: Next,
    /// Whether this attempt may have been done all the same.
    pub(crate) maybe_done: bool,
    /// Whether other servers are better asked for a while.
    pub(crate) is_server_at_fault: bool,
}

const fn surely_not(next: Next) -> Verdict {
    Verdict {
        next,
        maybe_done: false,
        is_server_at_fault: false,
    }
}

const fn at_fault(next: Next, maybe_done: bool) -> Verdict {
    Verdict {
        next,
        maybe_done,
        is_server_at_fault: true,
    }
}

/// The table.
pub(crate) fn verdict(trouble: &Trouble) -> Verdict {
    match trouble {
        Trouble::Refused(refusal) => of_refusal(refusal),
        Trouble::Call(error) => of_call(*error),
        Trouble::Connect(error) => of_connect(error),
        // Of no use, yet the server took the call.
        Trouble::Answer(_) => at_fault(Next::Elsewhere, true),
        Trouble::Corrupt => surely_not(Next::Elsewhere),
    }
}

fn of_call(error: CallError) -> Verdict {
    match error {
        CallError::Deadline => at_fault(Next::Elsewhere, true),
        CallError::Lost { maybe_done } => at_fault(Next::Elsewhere, maybe_done),
        CallError::NotConnected => at_fault(Next::Elsewhere, false),
        CallError::Full => surely_not(Next::Pause),
        CallError::NotAllowed(_) | CallError::TooLarge => surely_not(Next::GiveUp),
        // A cause of a later server-group may be anything.
        _ => at_fault(Next::Elsewhere, true),
    }
}

fn of_connect(error: &ConnectError) -> Verdict {
    match error {
        ConnectError::Refused { reason, .. } => match reason {
            RefusalReason::WrongProof
            | RefusalReason::OtherCluster(_)
            | RefusalReason::OtherVersion(_) => surely_not(Next::GiveUp),
            RefusalReason::TicketExpired => surely_not(Next::Here),
            _ => at_fault(Next::Elsewhere, false),
        },
        ConnectError::NotAccepted { .. } | ConnectError::Randomness(_) => surely_not(Next::GiveUp),
        _ => at_fault(Next::Elsewhere, false),
    }
}

fn of_refusal(refusal: &Refusal) -> Verdict {
    match refusal {
        Refusal::NotFound { .. }
        | Refusal::Exists { .. }
        | Refusal::IsDirectory { .. }
        | Refusal::NotDirectory { .. }
        | Refusal::NotEmpty { .. }
        | Refusal::IntoItself { .. }
        | Refusal::Denied { .. }
        | Refusal::Quota { .. }
        | Refusal::Path(_)
        | Refusal::OutOfRange { .. }
        | Refusal::Conflict { .. }
        | Refusal::Changed { .. }
        | Refusal::Shared { .. }
        | Refusal::NoSuchContent
        // The mserver has waited for a volume as long as a loss takes to be noticed.
        | Refusal::NoVolume { .. }
        | Refusal::Malformed { .. }
        | Refusal::NoSuchUser { .. }
        | Refusal::NotInTrash { .. }
        | Refusal::TooFewServers { .. }
        | Refusal::VolumesFull { .. } => surely_not(Next::GiveUp),
        Refusal::NoQuorum { .. } | Refusal::NotServed => surely_not(Next::Elsewhere),
        Refusal::Busy { .. } => surely_not(Next::Pause),
        Refusal::Unknown { .. } => Verdict {
            next: Next::Pause,
            maybe_done: true,
            is_server_at_fault: false,
        },
        Refusal::StaleEpoch { .. }
        | Refusal::NoSuchVolume { .. }
        | Refusal::NoSpace { .. }
        | Refusal::TooFewCopies { .. }
        | Refusal::CopyFailed { .. } => surely_not(Next::OtherVolume),
        Refusal::DiskFailed { .. } => at_fault(Next::OtherVolume, false),
        Refusal::NoSuchBlock | Refusal::Gone { .. } => surely_not(Next::RefreshFile),
        Refusal::NotGranted => surely_not(Next::RefreshGrant),
        Refusal::BlockExists => surely_not(Next::SkipVersion),
        Refusal::Corrupt => surely_not(Next::Elsewhere),
        // A refusal this build does not know is one the caller has to know.
        _ => surely_not(Next::GiveUp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_server_group::ServerId;
    use sdfs_types::{BlockVersion, FilePath, VolumeId};

    fn refused(refusal: Refusal) -> Next {
        let verdict = verdict(&Trouble::Refused(refusal));
        assert!(!verdict.maybe_done, "a refusal is definite");
        verdict.next
    }

    #[test]
    fn definite_refusals_reach_the_caller() {
        let path = FilePath::root();
        for refusal in [
            Refusal::NotFound { path: path.clone() },
            Refusal::NotEmpty { path },
            Refusal::Conflict {
                block: 1,
                current: BlockVersion(2),
            },
            Refusal::Changed { revision: 7 },
            Refusal::NoSuchUser {
                name: "a".to_owned(),
            },
            Refusal::NoVolume {
                why: "no dservers".to_owned(),
            },
            Refusal::VolumesFull {
                volumes: 4,
                server: ServerId(4),
                free_bytes: 0,
            },
        ] {
            assert_eq!(refused(refusal), Next::GiveUp);
        }
    }

    #[test]
    fn passing_refusals_are_tried_again() {
        let why = || "reason".to_owned();
        let server = ServerId(4);
        let volume = VolumeId(1);
        let table = [
            (
                Refusal::NoQuorum {
                    heard: 1,
                    voters: 3,
                },
                Next::Elsewhere,
            ),
            (Refusal::Busy { why: why() }, Next::Pause),
            (Refusal::NoSuchVolume { volume }, Next::OtherVolume),
            (
                Refusal::NoSpace {
                    server,
                    free_bytes: 0,
                },
                Next::OtherVolume,
            ),
            (
                Refusal::CopyFailed { server, why: why() },
                Next::OtherVolume,
            ),
            (
                Refusal::TooFewCopies {
                    volume,
                    in_sync: 1,
                    needed: 2,
                },
                Next::OtherVolume,
            ),
            (Refusal::NoSuchBlock, Next::RefreshFile),
            (Refusal::NotGranted, Next::RefreshGrant),
            (Refusal::BlockExists, Next::SkipVersion),
            (Refusal::Corrupt, Next::Elsewhere),
        ];
        for (refusal, next) in table {
            assert_eq!(refused(refusal.clone()), next, "{refusal}");
        }
    }

    #[test]
    fn silence_is_no_failure() {
        let table = [
            (CallError::Deadline, true),
            (CallError::Lost { maybe_done: true }, true),
            (CallError::Lost { maybe_done: false }, false),
            (CallError::NotConnected, false),
        ];
        for (error, maybe_done) in table {
            let verdict = verdict(&Trouble::Call(error));
            assert_eq!(verdict, at_fault(Next::Elsewhere, maybe_done), "{error}");
        }
        let unknown = Trouble::Refused(Refusal::Unknown {
            why: "slow".to_owned(),
        });
        assert!(verdict(&unknown).maybe_done);
    }

    #[test]
    fn wrong_secrets_are_not_repeated() {
        let address = "127.0.0.1:1".parse().expect("an address");
        let refused = |reason| ConnectError::Refused { address, reason };
        assert_eq!(
            of_connect(&refused(RefusalReason::WrongProof)).next,
            Next::GiveUp
        );
        for passing in [RefusalReason::Stopping, RefusalReason::NotReady] {
            assert_eq!(of_connect(&refused(passing)).next, Next::Elsewhere);
        }
        assert_eq!(
            of_connect(&ConnectError::Deadline(address)).next,
            Next::Elsewhere
        );
    }
}
