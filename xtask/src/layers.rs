//! Arrows only point down: which package may depend on which.

use std::fs;
use std::io;
use std::path::Path;

use crate::Fault;

/// Each package with the packages of ours it may use, lowest first.
const MAY_USE: &[(&str, &[&str])] = &[
    ("net-layer", &[]),
    ("core/log", &[]),
    ("core/store", &[]),
    ("server-group", &["net-layer"]),
    ("core/types", &["server-group"]),
    ("core/raft", &["types", "server-group", "log", "store"]),
    (
        "core/mserver",
        &["types", "server-group", "raft", "store", "log"],
    ),
    ("core/dserver", &["types", "server-group", "log"]),
    ("core/client", &["types", "server-group", "net-layer"]),
    (
        "gateways/fastdfs",
        &["types", "server-group", "net-layer", "dserver", "client"],
    ),
    (
        "gateways/console",
        &["types", "server-group", "net-layer", "client"],
    ),
    (
        "core/server",
        &[
            "types",
            "server-group",
            "net-layer",
            "log",
            "store",
            "raft",
            "mserver",
            "dserver",
            "fastdfs",
            "console",
        ],
    ),
    (
        "cli",
        &[
            "types",
            "server-group",
            "net-layer",
            "server",
            "client",
            "fastdfs",
        ],
    ),
    (
        "sim",
        &[
            "types",
            "server-group",
            "net-layer",
            "log",
            "store",
            "server",
            "client",
        ],
    ),
];

/// Reads each package's manifest.
///
/// # Errors
/// When a manifest cannot be read.
pub fn check(root: &Path) -> io::Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for (package, may_use) in MAY_USE {
        let file = format!("{package}/Cargo.toml");
        let manifest = fs::read_to_string(root.join(&file))?;
        faults.extend(check_manifest(&file, &manifest, may_use));
    }
    Ok(faults)
}

fn check_manifest(file: &str, manifest: &str, may_use: &[&str]) -> Vec<Fault> {
    let mut in_dependencies = false;
    let mut faults = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            in_dependencies = line.trim() == "[dependencies]";
        }
        let Some(rest) = line.strip_prefix("sdfs-").filter(|_| in_dependencies) else {
            continue;
        };
        let used = rest.split(['.', ' ', '=']).next().unwrap_or(rest);
        if !may_use.contains(&used) {
            faults.push(Fault {
                file: file.to_owned(),
                line: index + 1,
                what: format!("depends on sdfs-{used}, which does not lie below it"),
            });
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_upwards_is_found() {
        let manifest = "[dependencies]\nsdfs-net-layer.workspace = true\nsdfs-client = \"1\"\n";
        let faults = check_manifest("core/types/Cargo.toml", manifest, &["net-layer"]);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].line, 3);
    }

    #[test]
    fn test_dependencies_may_point_up() {
        let manifest = "[dev-dependencies]\nsdfs-server.workspace = true\n";
        assert_eq!(check_manifest("core/client/Cargo.toml", manifest, &[]), []);
    }
}
