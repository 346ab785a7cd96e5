//! What only a whole stack with real servers and clients can show. Everything is in `tests/it`.
#![forbid(unsafe_code)]

/// The first page of the project, whose example must compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
