//! `demo`: all of it, as a newcomer sees it.

mod common;

use common::sdfs;

#[test]
fn demo_shows_everything_and_removes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("picture.raw");
    std::fs::write(&file, common::bytes(20_000_000)).expect("written");
    let ran = std::process::Command::new(common::SDFS)
        .args(["demo", file.to_str().expect("UTF-8")])
        .env("TMPDIR", folder.path())
        .output()
        .expect("sdfs runs");
    let out = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success(),
        "{out}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    for words in [
        "picture.raw",
        "BLAKE3 of what came back is the same",
        "chooses main",
        "rtt us",
        "create, 64 at a time",
        "Kill dserver-1",
        "is still whole",
        "removed again",
    ] {
        assert!(out.contains(words), "no '{words}' in {out}");
    }
    assert!(!out.contains('\u{1b}'), "no colours in a pipe");
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .expect("listed")
        .flatten()
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn demo_of_no_file_starts_nothing() {
    let ran = sdfs(&["demo", "/no/such/file"]);
    assert_eq!(ran.code, 10, "{}", ran.err);
    assert!(ran.out.is_empty(), "{}", ran.out);
}
