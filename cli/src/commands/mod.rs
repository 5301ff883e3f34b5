//! One file a command, or a few that belong together.

pub(crate) mod check_config;
pub(crate) mod create;
pub(crate) mod fastdfs;
pub(crate) mod get;
pub(crate) mod heal;
pub(crate) mod ls;
pub(crate) mod maintenance;
pub(crate) mod names;
pub(crate) mod put;
pub(crate) mod quota;
pub(crate) mod scrub;
pub(crate) mod serve;
pub(crate) mod servers;
pub(crate) mod shell;
pub(crate) mod stat;
pub(crate) mod status;
pub(crate) mod trash;
pub(crate) mod up;
pub(crate) mod user;
