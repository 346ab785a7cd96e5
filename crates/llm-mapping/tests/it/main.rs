//! The layer as a service.
#![cfg(test)]

mod cases;
mod contract;
mod exchange;
mod gemini;
mod joined;
mod messages;
mod router;
mod schemas;
mod settings;
mod streams;
