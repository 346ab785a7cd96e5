//! The layer as a service.
#![cfg(test)]

#[cfg(feature = "aws")]
mod bedrock;
mod cases;
mod contract;
mod exchange;
mod frames;
mod gemini;
mod joined;
mod messages;
mod router;
mod schemas;
mod settings;
mod streams;
