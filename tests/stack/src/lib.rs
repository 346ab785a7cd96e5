//! What only a whole stack with real servers and clients can show. Everything is in `tests/it`.
#![forbid(unsafe_code)]
