//! The crate on real sockets, and its layers as services.
#![cfg(test)]

mod causes;
mod client;
mod clients;
mod error_for_status;
mod layer;
mod server;
