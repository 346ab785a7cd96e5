//! What a gateway error is, which kind, and how to say it.
#![forbid(unsafe_code)]

mod failure;
mod grpc;
mod kind;

pub use crate::failure::Failure;
pub use crate::grpc::{GrpcCode, is_grpc};
pub use crate::kind::{Delivery, ErrorKind, UnknownErrorKind};
