//! What `help` says.

/// The help of one command.
pub struct Help {
    /// Its first word.
    pub name: &'static str,
    /// How it is typed.
    pub usage: &'static str,
    /// What it does.
    pub what: &'static str,
}

const fn help(name: &'static str, usage: &'static str, what: &'static str) -> Help {
    Help { name, usage, what }
}

/// All commands, those that only look first.
pub static HELP: &[Help] = &[
    help(
        "help",
        "help [COMMAND]",
        "list the commands, or explain one",
    ),
    help(
        "json",
        "json on|off",
        "answer with one JSON object a line, or with tables",
    ),
    help("quit", "quit", "end the session"),
    help("status", "status", "how this server is"),
    help("servers", "servers", "every server, in its own words"),
    help(
        "rtt",
        "rtt",
        "round-trip times between all servers, microseconds",
    ),
    help(
        "groups",
        "groups",
        "the raft groups as this server sees them",
    ),
    help(
        "volumes",
        "volumes",
        "the volumes this server knows, and where their copies are",
    ),
    help("spaces", "spaces", "the disks of this server"),
    help(
        "files",
        "files [PATH [after NAME]]",
        "list a directory, a page at a time",
    ),
    help("stat", "stat PATH", "what is known of a name"),
    help(
        "blocks",
        "blocks PATH",
        "the blocks of a file, and where they are",
    ),
    help(
        "explain",
        "explain PATH",
        "how a name came to be, who keeps its record and its bytes",
    ),
    help("users", "users", "who may do what where"),
    help(
        "heal",
        "heal [pause|start|limit RATE|limit off]",
        "which copies are missing; hold or slow their making",
    ),
    help(
        "scrub",
        "scrub [start]",
        "how far reading and verifying everything is; begin it now",
    ),
    help(
        "maintenance",
        "maintenance",
        "the orders that stand: drains, healing, rebalancing",
    ),
    help(
        "events",
        "events [COUNT|follow]",
        "what happened at this server of late; or as it happens, until a line is typed",
    ),
    help("config", "config", "what this server was started with"),
    help(
        "top",
        "top",
        "what moves, since the last `top` of this session",
    ),
    help(
        "slow",
        "slow",
        "the calls of the last minutes that took this server longest",
    ),
    help(
        "locks",
        "locks",
        "what is reserved or leased at this server for a time",
    ),
    help(
        "sessions",
        "sessions",
        "who is at this console, and how many clients there are",
    ),
    help(
        "audit",
        "audit [COUNT]",
        "what was changed at this console, when and by whom",
    ),
    help(
        "drain",
        "drain [stop] SERVER",
        "take every copy away from a dserver",
    ),
    help("rebalance", "rebalance [stop]", "spread copies evenly"),
    help(
        "join",
        "join NAME mserver|dserver IP:PORT ZONE",
        "have a new server expected",
    ),
    help(
        "leave",
        "leave SERVER",
        "take a server out of the cluster for good",
    ),
    help(
        "replace",
        "replace SERVER",
        "have a mserver whose disk is lost come back with an empty one",
    ),
    help(
        "transfer-leader",
        "transfer-leader root|GROUP SERVER",
        "have another mserver lead a group; only at its leader",
    ),
    help(
        "log",
        "log LEVEL [TARGET] | log usual",
        "what this server logs from now on",
    ),
    help(
        "trace",
        "trace [on PATH|off PATH]",
        "what the logs tell of; have all servers log what they do for a path",
    ),
    help(
        "snapshot",
        "snapshot",
        "bring this server's raft groups, or the indexes of its disks, to disk now",
    ),
    help("stop", "stop SERVER", "stop this server"),
];
