//! A tower layer with limits for each phase of an exchange, answered in band.
#![forbid(unsafe_code)]
