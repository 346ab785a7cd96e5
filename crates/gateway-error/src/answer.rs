use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use crate::audience::Format;
use crate::grpc::encode_message;
use crate::{AnswerBody, Audience, ErrorKind, Failure, GrpcCode, Hop, Problem, ProxyStatus};

/// An answer that a layer gives by itself, in band: an HTTP response with `Proxy-Status` and a problem document, or a gRPC status.
///
/// What it says to the caller is its status, its kind and, where set, a detail and a time to come back. See the [crate docs](crate) for examples.
#[must_use = "an answer is nothing until it is made a response"]
#[derive(Clone, Debug)]
pub struct Answer {
    failure: Failure,
    kind: ErrorKind,
    status: StatusCode,
    grpc: GrpcCode,
    hop: Hop,
    detail: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    members: Vec<(&'static str, Value)>,
}

/// The name of this hop in `Proxy-Status` where no other is set.
pub const DEFAULT_NAME: &str = "portcullis";

// === impl Answer ===

impl Answer {
    /// An answer for a failure of this kind, with the [status](ErrorKind::status) and the [gRPC code](ErrorKind::grpc_code) of the kind.
    pub fn new(kind: ErrorKind) -> Self {
        Self::from_failure(Failure::new(kind))
    }

    /// An answer for a failure. One without a kind is answered as [`ErrorKind::ProxyInternalError`].
    pub fn from_failure(failure: Failure) -> Self {
        let kind = failure.kind().unwrap_or(ErrorKind::ProxyInternalError);
        let mut hop = Hop::new(DEFAULT_NAME);
        hop.error = Some(kind.token().to_owned());
        Self {
            failure,
            kind,
            status: failure.answer_status().unwrap_or(kind.status()),
            grpc: kind.grpc_code(),
            hop,
            detail: None,
            retry_after: failure.retry_after(),
            members: Vec::new(),
        }
    }

    /// Replaces the status of the HTTP form.
    pub const fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Replaces the code of the gRPC form.
    pub const fn grpc_code(mut self, code: GrpcCode) -> Self {
        self.grpc = code;
        self
    }

    /// Replaces the name of this hop in `Proxy-Status`. Default: [`DEFAULT_NAME`].
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.hop.name = name.into();
        self
    }

    /// Sets the text that tells people more than the kind does. It goes to the caller: nothing internal belongs in it.
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Sets the time after which the caller may come back, sent as `retry-after` in whole seconds, rounded up. Default: what the failure says.
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds an extension member to the problem document.
    pub fn member(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members.push((name, value.into()));
        self
    }

    /// Makes the response for a request that [`Audience`] remembers.
    ///
    /// Its extensions hold the [`Failure`], so that layers further out need not guess. For gRPC it is HTTP 200, trailers-only
    /// (the status stands in the headers and there is no body); `HEAD` gets the headers alone.
    #[must_use]
    pub fn into_response<B>(self, audience: &Audience) -> Response<AnswerBody<B>> {
        let retry_after = self.retry_after.map(whole_seconds);
        let mut response = if audience.is_grpc() {
            self.grpc_response(audience)
        } else {
            self.http_response(audience)
        };
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        ProxyStatus::append(response.headers_mut(), &self.hop);
        response.extensions_mut().insert(self.failure);
        response
    }

    fn grpc_response<B>(&self, audience: &Audience) -> Response<AnswerBody<B>> {
        let message = self.detail.as_deref().unwrap_or(self.kind.words());
        let mut response = Response::new(AnswerBody::answer(Bytes::new()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, audience.grpc_content_type());
        headers.insert("grpc-status", self.grpc.header_value());
        if let Ok(message) = HeaderValue::try_from(encode_message(message)) {
            headers.insert("grpc-message", message);
        }
        response
    }

    fn http_response<B>(&self, audience: &Audience) -> Response<AnswerBody<B>> {
        let (content_type, body) = match audience.format() {
            Format::Problem => (Problem::CONTENT_TYPE, self.problem().to_json()),
            Format::Text => ("text/plain; charset=utf-8", self.text()),
            Format::Html => ("text/html; charset=utf-8", self.html()),
        };
        // What a GET would carry, said to a HEAD too (RFC 9110, section 9.3.2).
        let length = HeaderValue::from(body.len());
        let body = if audience.is_head() {
            Bytes::new()
        } else {
            Bytes::from(body)
        };

        let mut response = Response::new(AnswerBody::answer(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CONTENT_LENGTH, length);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn problem(&self) -> Problem {
        let mut problem = Problem::new(self.status);
        problem.detail = Some(self.sentence().into());
        let members = &mut problem.extensions;
        members.insert("error".to_owned(), Value::from(self.kind.token()));
        if let Some(wait) = self.retry_after {
            members.insert("retry_after".to_owned(), Value::from(whole_seconds(wait)));
        }
        for (name, value) in &self.members {
            members.insert((*name).to_owned(), value.clone());
        }
        problem
    }

    fn text(&self) -> String {
        format!("{}\n{}\n", self.status, self.sentence())
    }

    fn html(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{status}</title>\n\
             <h1>{status}</h1>\n<p>{}\n<p><code>{}</code>\n</html>\n",
            escape(self.sentence()),
            self.kind.token(),
            status = self.status,
        )
    }

    fn sentence(&self) -> &str {
        self.detail.as_deref().unwrap_or(self.kind.words())
    }
}

/// Never less than the wait, so that nobody comes back too early.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs()
        .saturating_add(u64::from(wait.subsec_nanos() > 0))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;

    fn audience(method: &Method, name: &str, value: &str) -> Audience {
        let name: http::HeaderName = name.parse().unwrap();
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())]);
        Audience::from_parts(method, &headers)
    }

    fn parts(answer: Answer, audience: &Audience) -> (http::response::Parts, String) {
        let (parts, body) = answer
            .into_response::<AnswerBody<String>>(audience)
            .into_parts();
        let AnswerBodyText(text) = body.into();
        (parts, text)
    }

    struct AnswerBodyText(String);

    impl<B: http_body::Body<Data = Bytes>> From<AnswerBody<B>> for AnswerBodyText {
        fn from(body: AnswerBody<B>) -> Self {
            use http_body_util::BodyExt;

            let collected = tokio_test::block_on(body.collect());
            let bytes = collected
                .unwrap_or_else(|_| panic!("our own bodies never fail"))
                .to_bytes();
            Self(String::from_utf8(bytes.to_vec()).unwrap())
        }
    }

    #[test]
    fn http_gets_a_problem_document_and_proxy_status() {
        let answer = Answer::new(ErrorKind::DestinationUnavailable)
            .detail("the upstream is down")
            .retry_after(Duration::from_millis(1500))
            .member("upstream", "orders");

        let (parts, body) = parts(answer, &Audience::default());

        assert_eq!(parts.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            parts.headers[header::CONTENT_TYPE],
            "application/problem+json"
        );
        assert_eq!(parts.headers[header::RETRY_AFTER], "2", "rounded up");
        assert_eq!(
            parts.headers["proxy-status"],
            "portcullis;error=destination_unavailable"
        );
        let problem = Problem::from_slice(body.as_bytes()).unwrap();
        assert_eq!(problem.detail.as_deref(), Some("the upstream is down"));
        assert_eq!(problem.extensions["error"], "destination_unavailable");
        assert_eq!(problem.extensions["retry_after"], 2);
        assert_eq!(problem.extensions["upstream"], "orders");
        let failure: &Failure = parts.extensions.get().unwrap();
        assert_eq!(failure.kind(), Some(ErrorKind::DestinationUnavailable));
    }

    #[test]
    fn a_failure_can_bring_its_own_status() {
        let failure =
            Failure::new(ErrorKind::HttpRequestError).answer_with(StatusCode::PAYLOAD_TOO_LARGE);

        let (parts, _) = parts(Answer::from_failure(failure), &Audience::default());

        assert_eq!(parts.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn grpc_gets_a_trailers_only_status() {
        let audience = audience(&Method::POST, "content-type", "application/grpc+proto");
        let answer =
            Answer::new(ErrorKind::HttpResponseTimeout).detail("no answer within 1\u{a0}s");

        let (parts, body) = parts(answer, &audience);

        assert_eq!(parts.status, StatusCode::OK);
        assert_eq!(
            parts.headers[header::CONTENT_TYPE],
            "application/grpc+proto"
        );
        assert_eq!(parts.headers["grpc-status"], "4");
        assert_eq!(parts.headers["grpc-message"], "no answer within 1%C2%A0s");
        assert_eq!(body, "");
    }

    #[test]
    fn head_gets_the_headers_alone() {
        let audience = audience(&Method::HEAD, "accept", "text/plain");

        let (parts, body) = parts(Answer::new(ErrorKind::ConnectionRefused), &audience);

        assert_eq!(parts.headers[header::CONTENT_LENGTH], "43");
        assert_eq!(body, "");
    }

    #[test]
    fn browsers_get_a_page_without_markup_from_the_detail() {
        let audience = audience(&Method::GET, "accept", "text/html");
        let answer = Answer::new(ErrorKind::HttpProtocolError).detail("<script>");

        let (parts, body) = parts(answer, &audience);

        assert_eq!(
            parts.headers[header::CONTENT_TYPE],
            "text/html; charset=utf-8"
        );
        assert!(body.contains("<h1>502 Bad Gateway</h1>"), "{body}");
        assert!(
            body.contains("&lt;script&gt;") && !body.contains("<script>"),
            "{body}"
        );
    }
}
