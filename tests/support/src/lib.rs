//! Scripted bodies and the service probe that the tests of every crate use.
