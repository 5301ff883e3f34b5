//! The status bytes of responses: Linux error numbers.

use sdfs_types::Refusal;

/// Why a command was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Errno {
    /// No such file, group or storage.
    NotFound = 2,
    /// The disk or the cluster failed.
    Io = 5,
    /// Not now.
    Again = 11,
    /// Not from there.
    Denied = 13,
    /// In use.
    Busy = 16,
    /// There already.
    Exists = 17,
    /// The request is wrong.
    Invalid = 22,
    /// No room.
    NoSpace = 28,
    /// Not done here.
    Unsupported = 95,
}

impl Errno {
    /// How a refusal of the cluster is told.
    #[must_use]
    pub fn of(refusal: &Refusal) -> Errno {
        match refusal {
            Refusal::NotFound { .. } | Refusal::NoSuchBlock | Refusal::NoSuchVolume { .. } => {
                Errno::NotFound
            }
            Refusal::Exists { .. } => Errno::Exists,
            Refusal::NoSpace { .. } | Refusal::VolumesFull { .. } | Refusal::Quota { .. } => {
                Errno::NoSpace
            }
            Refusal::Denied { .. } | Refusal::NotGranted => Errno::Denied,
            Refusal::OutOfRange { .. } | Refusal::Malformed { .. } => Errno::Invalid,
            Refusal::DiskFailed { .. } | Refusal::Corrupt => Errno::Io,
            Refusal::Shared { .. } => Errno::Denied,
            _ => Errno::Again,
        }
    }
}
