//! The layer as a service.
#![cfg(test)]

mod cases;
mod exchange;
mod messages;
mod streams;
