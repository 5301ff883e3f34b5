//! The deciding parts of a mserver, driven through their public doors.

mod driver;
mod files;
mod names;
mod names_model;
mod negotiation;
mod reservations;
