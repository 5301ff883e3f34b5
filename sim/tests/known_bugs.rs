//! The patches that put known bugs back still apply to the sources, and so does the one that counts
//! nothing.

use std::fs;
use std::path::Path;

/// What a hunk expects to find, line by line.
fn expected(hunk: &str) -> Vec<&str> {
    let lines = hunk.lines().skip(1);
    lines
        .filter(|line| !line.starts_with('+'))
        .map(|line| line.get(1..).unwrap_or(""))
        .collect()
}

#[test]
fn known_bugs_can_be_put_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut hunks = 0;
    let patches = ["sim/bugs", "benches"].map(|folder| fs::read_dir(root.join(folder)).unwrap());
    for patch in patches.into_iter().flatten() {
        let path = patch.unwrap().path();
        if path
            .extension()
            .is_none_or(|extension| extension != "patch")
        {
            continue;
        }
        let patch = fs::read_to_string(&path).unwrap();
        for of_file in patch.split("\n+++ b/").skip(1) {
            let (file, rest) = of_file.split_once('\n').unwrap();
            let source = fs::read_to_string(root.join(file)).unwrap();
            let source: Vec<&str> = source.lines().collect();
            let rest = rest.split("\ndiff --git").next().unwrap();
            for hunk in format!("\n{rest}").split("\n@@").skip(1) {
                let wanted = expected(hunk);
                let is_there = source.windows(wanted.len()).any(|lines| lines == wanted);
                assert!(is_there, "{} no longer applies to {file}", path.display());
                hunks += 1;
            }
        }
    }
    assert!(hunks > 0, "there are no known bugs");
}
