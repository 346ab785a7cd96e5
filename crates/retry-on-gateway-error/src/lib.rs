//! A tower layer that tries a call again after a gateway error, when that is safe.
#![forbid(unsafe_code)]
