//! A tower layer that maps the parameters of a request to what the upstream wants.
#![forbid(unsafe_code)]
