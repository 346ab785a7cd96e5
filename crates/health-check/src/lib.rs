//! Probes, a gate that refuses at once what is down, and the endpoints that report the own health.
#![forbid(unsafe_code)]
