//! Bounds of the volumes' part, each with its unit and reason.

use std::time::Duration;

/// A member whose connection broke without a goodbye may be back at once: writes stall this long
/// rather than have all its volumes synced again.
pub const FENCE_GRACE: Duration = Duration::from_millis(300);
