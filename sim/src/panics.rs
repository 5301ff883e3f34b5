//! Panics of programs on simulated hosts. A runtime swallows those of its tasks; a hook notes them.
//! The shipped program ends with its first one, and so does what runs on a host.

use std::cell::{Cell, RefCell};
use std::panic;
use std::sync::Once;

thread_local! {
    /// Whether a host's program runs now on this thread.
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
    static NOTED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A program that panicked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Panic {
    /// On which host.
    pub(crate) host: String,
    /// Where in the code, and what it said.
    pub(crate) why: String,
}

/// Has panics of watched programs noted instead of printed; all others stay as they are.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // A thread that ends has none.
            if !IS_WATCHED.try_with(Cell::get).unwrap_or(false) {
                return usual(panic);
            }
            let place = panic.location().map(ToString::to_string);
            let place = place.unwrap_or_default();
            let why = panic.payload_as_str().unwrap_or("no reason given");
            tracing::error!(%place, %why, "a program panics");
            NOTED.with_borrow_mut(|noted| noted.push(format!("{place}: {why}")));
        }));
    });
}

/// Runs a program and gives the panics it had meanwhile.
pub(crate) fn watch(program: impl FnOnce()) -> Vec<String> {
    IS_WATCHED.set(true);
    program();
    IS_WATCHED.set(false);
    NOTED.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swallowed_panic_is_noted() {
        install();
        let noted = watch(|| {
            panic::catch_unwind(|| panic!("for the test")).unwrap_err();
        });
        assert_eq!(noted.len(), 1);
        assert!(noted[0].ends_with(": for the test"), "{noted:?}");
        assert!(watch(|| ()).is_empty());
    }
}
