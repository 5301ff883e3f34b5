//! The mserver role: names, directories, file-meta-data, the negotiation of a name, users and
//! quotas, and the volume map.
//!
//! Holds no block bytes and no sockets: calls arrive through [`Mserver::serve`], other servers
//! are asked through the mesh, agreement is reached through the raft groups.

mod fault;
mod limits;
mod outcomes;
pub mod root;
pub mod volumes;
