//! One door per outside thing: sockets, files, consensus, configuration text, the wall clock.

use crate::{Fault, Source};

/// What only some files may name, where, and why.
struct Door {
    names: &'static [&'static str],
    allowed: &'static [&'static str],
    why: &'static str,
}

const DOORS: &[Door] = &[
    Door {
        names: &["tokio::net::", "std::net::Tcp", "socket2::"],
        allowed: &[
            "net-layer/src/transport",
            "core/server/src/ports.rs",
            "cli/src/",
        ],
        why: "sockets are opened in the net layer's transport",
    },
    Door {
        names: &["std::fs", "tokio::fs", "rustix::fs"],
        allowed: &[
            "core/log/src/disk",
            "core/log/src/real_disk.rs",
            "core/store/src/",
            "core/raft/src/identity.rs",
            "core/raft/src/disk.rs",
            "core/dserver/src/memory.rs",
            "core/server/src/",
            "server-group/src/config",
            "server-group/src/key.rs",
            "net-layer/src/transport",
            "net-layer/src/tls.rs",
            "cli/src/",
            "sim/src/cluster.rs",
            "sim/src/script.rs",
            "xtask/src/",
        ],
        why: "files are touched in the storing crates' disk modules",
    },
    Door {
        names: &["openraft::", "use openraft"],
        allowed: &["core/raft/src/"],
        why: "consensus is reached through core/raft",
    },
    Door {
        names: &["fjall::", "use fjall"],
        allowed: &["core/store/src/"],
        why: "the embedded store is reached through core/store",
    },
    Door {
        names: &["ron::", "use ron"],
        allowed: &["server-group/src/config", "cli/src/", "sim/src/script.rs"],
        why: "configuration text is read by the config module",
    },
    Door {
        names: &["SystemTime"],
        allowed: &["core/types/src/clock.rs", "server-group/src/clock.rs"],
        why: "the wall clock is read in a clock module; timers use the monotonic one",
    },
    Door {
        names: &[".do_send("],
        allowed: &[],
        why: "do_send ignores the mailbox limit and drops silently; use send or try_send",
    },
    Door {
        names: &["System::new(", "Arbiter::new("],
        allowed: &["core/server/src/", "cli/src/"],
        why: "threads and systems are made by the assembly",
    },
];

/// Every use of an outside thing outside its door.
pub fn check(source: &Source) -> Vec<Fault> {
    if source.is_test() {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (line, code) in source.code_lines() {
        for door in DOORS {
            let named = door.names.iter().find(|name| code.contains(**name));
            let inside = door
                .allowed
                .iter()
                .any(|file| source.path.starts_with(file));
            if let Some(name) = named.filter(|_| !inside) {
                let file = source.path.clone();
                faults.push(Fault {
                    file,
                    line,
                    what: format!("`{name}`: {}", door.why),
                });
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> usize {
        check(&Source {
            path: path.to_owned(),
            text: text.to_owned(),
        })
        .len()
    }

    #[test]
    fn a_second_door_is_found() {
        assert_eq!(faults("core/mserver/src/a.rs", "use std::fs::File;\n"), 1);
        assert_eq!(faults("core/mserver/src/a.rs", "// std::fs\n"), 0);
        assert_eq!(faults("core/log/src/disk.rs", "use std::fs::File;\n"), 0);
        assert_eq!(
            faults("core/mserver/src/a.rs", "#[cfg(test)]\nuse std::fs;\n"),
            0
        );
    }
}
