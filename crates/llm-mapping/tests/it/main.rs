//! The layer as a service.
#![cfg(test)]

#[cfg(feature = "aws")]
mod bedrock;
mod broken;
mod bugs;
mod cases;
mod contract;
mod ernie_token;
mod exchange;
mod gemini;
mod hostile;
mod joined;
mod messages;
mod mutated;
mod router;
mod schemas;
mod settings;
#[cfg(feature = "sigv4")]
mod sigv4;
mod streams;
