//! `config.conf`: any text is a configuration or has a mistake at a place that is there.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sdfs_server_group::Config;

fuzz_target!(|text: &str| {
    let Err(error) = Config::parse(text, Path::new("/etc/sdfs/config.conf")) else {
        return;
    };
    assert!(
        error.to_string().starts_with("/etc/sdfs/config.conf"),
        "{error}"
    );
    let mistake = error.mistake().expect("the text was read");
    let lines = text.split('\n').count();
    assert!((1..=lines).contains(&mistake.line), "{error}");
});
