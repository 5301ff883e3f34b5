//! What the cluster promises while servers die, freeze and are fed garbage: real processes, real
//! sockets, real disks.

#![allow(
    clippy::panic,
    reason = "a test fails by panicking, and so does what several tests share"
)]

mod faults {
    pub(crate) mod content;
    pub(crate) mod fastdfs_client;
    pub(crate) mod servers;
    #[allow(
        dead_code,
        reason = "what is brought in from another FastDFS needs more of it"
    )]
    #[path = "../import/talk.rs"]
    pub(crate) mod talk;

    mod fastdfs;
    mod fastdfs_resume;
    mod freeze;
    mod healing;
    mod hostile;
    mod kill_loop;
    mod leftovers;
    mod membership;
    mod names;
    mod nobody_there;
    mod overwrite;
    mod race;
    mod restart;
    mod sizes;
    mod upkeep;
}
