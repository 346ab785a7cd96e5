//! The layer as a service.
#![cfg(test)]

mod cases;
mod exchange;
mod gemini;
mod joined;
mod messages;
mod streams;
