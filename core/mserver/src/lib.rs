//! The mserver role: names, negotiation, volumes.

pub mod volumes;
