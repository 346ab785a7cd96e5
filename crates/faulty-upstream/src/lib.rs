//! A server that misbehaves on purpose, with a ledger of what it saw.
#![forbid(unsafe_code)]
