//! Whole stacks, with real servers and real clients.
//!
//! What needs nginx, Python or a browser says that it was left out where they are not there, and fails instead where
//! `PORTCULLIS_WIRE=required` says that they must be. Pictures go to the folder that `PORTCULLIS_ARTEFACTS` names, else to
//! `target/artefacts`.
#![cfg(test)]

mod chats;
mod chats_sdk;
mod clients;
mod degraded;
mod gateway;
mod gateway_pool;
mod grpc_health;
mod messages_sdk;
mod nginx;
mod pool_proxies;
mod pools;
mod processes;
mod retry_connections;
mod retry_haproxy;
mod retry_ledger;
mod retry_pools;
mod retry_tonic;
mod retry_uploads;
mod stacks;
mod status_page;
mod timeout_http2;
mod timeout_retry;
mod timeout_tonic;
mod timeouts;
mod tonic;
