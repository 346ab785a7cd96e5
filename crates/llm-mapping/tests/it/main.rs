//! The layer as a service.
#![cfg(test)]

mod cases;
mod exchange;
mod gemini;
mod messages;
mod streams;
