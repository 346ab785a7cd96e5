use std::error::Error;
use std::fmt;

use http::StatusCode;
use portcullis_gateway_error::{Answer, ErrorKind, Problem, classify_error};

use crate::FormError;
use crate::json::Invalid;
use crate::plan::Side;

/// Why a request or response is not mapped. It names an address and never a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The address at fault.
    pub(crate) param: String,
    pub(crate) detail: String,
    pub(crate) side: Side,
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn missing(param: &impl fmt::Display) -> Self {
        Self::bad(param, format!("required parameter {param} is missing"))
    }

    pub(crate) fn bad(param: &impl fmt::Display, detail: String) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            param: param.to_string(),
            detail,
            side: Side::Request,
        }
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..Self::body(format!("the body is larger than {limit} bytes"))
        }
    }

    /// What rules make is too long to be sent.
    pub(crate) fn too_much(param: &impl fmt::Display) -> Self {
        let detail = "what the rules make of it is too large".to_owned();
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..Self::bad(param, detail)
        }
    }

    pub(crate) fn not_json(param: &impl fmt::Display) -> Self {
        let detail =
            format!("{param} needs a body of type application/json, in no coding unknown here");
        Self {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ..Self::bad(param, detail)
        }
    }

    pub(crate) fn not_a_form(param: &impl fmt::Display) -> Self {
        Self {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ..Self::bad(
                param,
                format!("{param} needs a body that is a form, in no coding unknown here"),
            )
        }
    }

    /// The form cannot be read, or not be written.
    pub(crate) fn form(error: &FormError) -> Self {
        let refusal = Self::bad(&"form:", error.to_string());
        if error.is_too_large() {
            return Self {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                ..refusal
            };
        }
        refusal
    }

    /// The body cannot be decoded.
    #[cfg(feature = "codings")]
    pub(crate) fn coding(error: &crate::CodingError) -> Self {
        let refusal = Self::body(error.to_string());
        if error.is_too_large() {
            return Self {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                ..refusal
            };
        }
        refusal
    }

    /// The body as a whole is at fault.
    pub(crate) fn body(detail: String) -> Self {
        Self::bad(&"body:", detail)
    }

    /// The body did not come whole. What ended it knows best how that is answered: 413 for a limit further out, 408 for a caller that stalls.
    pub(crate) fn incomplete(error: &(dyn Error + 'static)) -> Self {
        let status = classify_error(error).answer_status();
        Self {
            status: status.unwrap_or(StatusCode::BAD_REQUEST),
            ..Self::body("the body ended before it was complete".to_owned())
        }
    }

    /// The same, on this side.
    pub(crate) const fn at(mut self, side: Side) -> Self {
        if !matches!(side, Side::Request) {
            self.status = side.status();
        }
        self.side = side;
        self
    }

    /// Tells it, once: to the log here, to the caller by the answer.
    pub(crate) fn answer(self, name: &str) -> Answer {
        let kind = self.tell();
        Answer::new(kind)
            .status(self.status)
            .name(name)
            .detail(self.detail)
            .member("param", self.param)
    }

    /// The same as a problem document, for a caller that has the head already.
    pub(crate) fn problem(self) -> String {
        let kind = self.tell();
        let mut problem = Problem::new(self.status);
        problem.detail = Some(self.detail);
        let members = &mut problem.extensions;
        members.insert("error".to_owned(), kind.token().into());
        members.insert("param".to_owned(), self.param.into());
        problem.to_json()
    }

    fn tell(&self) -> ErrorKind {
        let Self {
            status,
            param,
            detail,
            side,
        } = self;
        let status = status.as_u16();
        match side {
            Side::Request => {
                tracing::debug!(param, reason = detail, status, "request refused");
                ErrorKind::HttpRequestError
            }
            Side::Response => {
                tracing::debug!(param, reason = detail, status, "response refused");
                ErrorKind::HttpProtocolError
            }
            Side::Stream => {
                tracing::debug!(param, reason = detail, "event refused");
                ErrorKind::HttpProtocolError
            }
        }
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::body(invalid.told("the body"))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use portcullis_gateway_error::{Classified, Failure};

    use super::*;

    #[test]
    fn a_body_that_did_not_come_whole_is_answered_as_what_ended_it_says() {
        let failure = Failure::new(ErrorKind::HttpRequestError);
        let limited = failure.answer_with(StatusCode::PAYLOAD_TOO_LARGE);
        let gone = || io::Error::from(io::ErrorKind::ConnectionReset);

        for (error, status) in [
            (
                Classified::new(limited, gone()),
                StatusCode::PAYLOAD_TOO_LARGE,
            ),
            (Classified::new(failure, gone()), StatusCode::BAD_REQUEST),
        ] {
            assert_eq!(Refusal::incomplete(&error).status, status);
        }
        assert_eq!(Refusal::incomplete(&gone()).status, StatusCode::BAD_REQUEST);
    }
}
