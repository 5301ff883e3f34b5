//! The one way a mutex is locked here.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. A panic under the lock of a table leaves it as it is between two changes of it, so what
/// it holds is still good.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
