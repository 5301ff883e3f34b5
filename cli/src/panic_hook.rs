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

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use super::*;

    /// Names the process that is to panic: this test run once more, by itself.
    const IN_CHILD: &str = "SDFS_TEST_PANICS_HERE";

    #[test]
    fn a_panic_ends_with_one_sentence() {
        if std::env::var_os(IN_CHILD).is_some() {
            install();
            before_that(|| warn("done before"));
            // Nobody waits for this thread: the process must end all the same.
            thread::spawn(|| panic!("an inner secret"));
            loop {
                thread::park();
            }
        }
        let ended = Command::new(std::env::current_exe().expect("a test program"))
            .args([
                "panic_hook::tests::a_panic_ends_with_one_sentence",
                "--exact",
            ])
            .arg("--nocapture")
            .env(IN_CHILD, "yes")
            .env("RUST_BACKTRACE", "1")
            .output()
            .expect("it runs");
        assert_eq!(ended.status.code(), Some(70), "{ended:?}");
        let said = String::from_utf8(ended.stderr).expect("UTF-8");
        let lines: Vec<&str> = said.lines().collect();
        let [before, sentence] = lines[..] else {
            panic!("not one sentence: {said}");
        };
        assert_eq!(before, "done before");
        let begin = "sdfs: a fault in sdfs itself at panic_hook.rs:";
        let end = "; please report it with the output of SDFS_LOG=debug";
        assert!(
            sentence.starts_with(begin) && sentence.ends_with(end),
            "{sentence}"
        );
        assert!(!said.contains("secret"), "{said}");
    }
}
