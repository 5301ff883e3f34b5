//! Every bound of a torture, with its unit and its reason.

use std::time::Duration;

/// How long each server may take to tell how far the reading of its disks is.
pub(super) const DISKS_TELL_WITHIN: Duration = Duration::from_secs(5);

/// How long reading all that is on them may take.
pub(super) const DISKS_READ_WITHIN: Duration = Duration::from_secs(600);

/// How long a cluster may take to stand on a busy machine.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long one operation may take: longer than an election with a fencing after it, short enough
/// that a client meets many faults.
pub(super) const OPERATION_WITHIN: Duration = Duration::from_secs(10);
/// The same for every third client: most faults last longer, so that it meets outcomes nobody
/// knows.
pub(super) const IMPATIENT_WITHIN: Duration = Duration::from_millis(1_200);
/// How often the schedule is asked what is to be done.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often the servers are asked whether every copy is in sync.
pub(super) const WHOLE_EVERY: Duration = Duration::from_millis(300);
/// How long one such question may take: an answer that takes longer says no.
pub(super) const WHOLE_WITHIN: Duration = Duration::from_secs(2);
/// How long the cluster may take to have every copy in sync when everything is mended. Beyond it
/// healing has not worked.
pub(super) const HEALED_WITHIN: Duration = Duration::from_secs(240);
/// How long a name may be unreadable after that.
pub(super) const READABLE_WITHIN: Duration = Duration::from_secs(60);
/// Names read at the same time in the end.
pub(super) const LAST_READS_AT_ONCE: usize = 16;
/// Names all clients fight over: few, so that they meet.
pub(super) const SHARED_NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// Names a client has for itself, for work that is not fought over.
pub(super) const OWN_NAMES: u64 = 40;
/// Longest pause of a client between two operations, milliseconds: keeps a history of ten minutes
/// below some hundred thousand operations.
pub(super) const PAUSE_MS_MAX: u64 = 40;
/// How often a change of unknown outcome is repeated with its request id.
pub(super) const REPEATS_MAX: u64 = 2;
/// Size of the disk that can be filled, bytes; its file has holes and takes what is used.
pub(super) const SMALL_DISK_BYTES: u64 = 4 << 30;
/// What is left free on it when it is full, bytes: far less than the reserve, and less than may be
/// written before anybody looks.
pub(super) const FULL_DISK_FREE_BYTES: u64 = 4 << 20;
/// Violations shown one by one.
pub(super) const VIOLATIONS_SHOWN_MAX: usize = 20;
/// Sentences of failed operations shown, each once.
pub(super) const CAUSES_SHOWN_MAX: usize = 12;
