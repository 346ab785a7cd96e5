//! What a gateway error is, which kind, and how to say it.
#![forbid(unsafe_code)]

mod answer;
mod audience;
mod body;
mod classified;
mod classify;
#[cfg(feature = "config")]
mod config;
mod failure;
mod future;
mod grpc;
mod invalid_config;
mod kind;
mod layer;
mod problem;
mod proxy_status;
mod record;
mod retry_after;
mod service;

pub use crate::answer::{Answer, DEFAULT_NAME};
pub use crate::audience::Audience;
pub use crate::body::AnswerBody;
pub use crate::classified::Classified;
pub use crate::classify::{
    Classify, DefaultClassifier, ErrorChain, classify_error, classify_response, classify_trailers,
};
#[cfg(feature = "config")]
pub use crate::config::ConfigFile;
pub use crate::failure::Failure;
pub use crate::future::ResponseFuture;
pub use crate::grpc::{GrpcCode, is_grpc};
pub use crate::invalid_config::InvalidConfig;
pub use crate::kind::{Delivery, ErrorKind, UnknownErrorKind};
pub use crate::layer::GatewayErrorLayer;
pub use crate::problem::Problem;
pub use crate::proxy_status::{Hop, PROXY_STATUS, ProxyStatus};
pub use crate::record::{
    AttemptLog, AttemptRecord, Attempts, Decision, Outcome, Phase, StopReason, WaitReason,
};
pub use crate::retry_after::RetryAfter;
pub use crate::service::GatewayError;
