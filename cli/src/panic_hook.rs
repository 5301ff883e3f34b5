//! No panic text reaches a user: one sentence and an exit code of its own.

use std::panic;
use std::process;

use crate::exit::Code;
use crate::output::warn;

/// Ends the process with [`Code::Fault`] and one sentence when any thread panics. What a person
/// who mends it needs (where and why) goes to the log.
pub(crate) fn install() {
    panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let why = panic.payload_as_str().unwrap_or("no reason given");
        tracing::debug!(%place, %why, backtrace = %std::backtrace::Backtrace::force_capture());
        let file = place.rsplit('/').next().unwrap_or("somewhere");
        warn(&format!(
            "sdfs: a fault in sdfs itself at {file}; please report it with the output of \
             SDFS_LOG=debug"
        ));
        process::exit(i32::from(Code::Fault.number()));
    }));
}

/// Has `deed` done before that sentence is told: the process ends without giving anything back by
/// itself.
pub(crate) fn before_that(deed: impl Fn() + Send + Sync + 'static) {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        deed();
        hook(panic);
    }));
}
