//! Three mservers agree on names, over real sockets, with make-believe dservers.

mod files;
mod kit;
mod names;
