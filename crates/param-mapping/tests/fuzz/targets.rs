//! What is fuzzed: one function for each reader of what others send. `tests/fuzz.rs` and the targets under `fuzz/` run the same.
//!
//! Each must come to an end without a panic, and keeps a law that its assertions state.

use std::convert::Infallible;
use std::future::ready;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use portcullis_param_mapping::{
    AtEof, Cookies, DecodeLimits, Edit, Event, EventBody, EventParser, Form, FormEdit, FormFormat,
    Framing, Keys, Mapping, ParamMappingLayer, PathTemplate, Piece, RequestBody, decode,
};
use serde::de::IgnoredAny;
use tower::{Layer, ServiceExt};

/// What the mapping of the targets `json` and `query` does: moves, nests, adds and removes.
const RULES: &str = "
rules:
  - {move: body:/a, to: body:/b/c}
  - {move: query:q, to: query:p}
  - {default: body:/d, value: 7}
  - {remove: body:/e/0}
  - {remove: query:r}
";

/// The mapping of a JSON body: what is taken is JSON, and becomes JSON.
pub(crate) fn json(data: &[u8]) {
    let Ok(request) = Request::post("/")
        .header("content-type", "application/json")
        .body(Full::from(Bytes::copy_from_slice(data)))
    else {
        return;
    };

    let (status, mapped) = map(request);

    let is_json =
        serde_json::from_slice::<IgnoredAny>(data).is_ok() && std::str::from_utf8(data).is_ok();
    if status == StatusCode::OK {
        assert!(
            is_json || data.is_empty(),
            "what serde_json refuses was taken"
        );
        let mapped = mapped.1;
        assert!(
            serde_json::from_slice::<IgnoredAny>(&mapped).is_ok(),
            "what was written is no JSON"
        );
    } else {
        assert!(status.is_client_error(), "{status}");
    }
}

/// The mapping of a query: pairs that no rule names stay, in their order.
pub(crate) fn query(data: &[u8]) {
    let text: String = data.iter().map(|byte| char::from(*byte & 0x7f)).collect();
    let Ok(request) = Request::get(format!("/?{text}")).body(Full::default()) else {
        return;
    };
    let sent = request.uri().query().unwrap_or_default().to_owned();

    let (status, (query, _)) = map(request);

    if status == StatusCode::OK {
        let is_other = |pair: &&str| !pair.contains(['p', 'q', 'r', '%', '+']) && !pair.is_empty();
        let before: Vec<_> = sent.split('&').filter(is_other).collect();
        let after: Vec<_> = query.split('&').filter(is_other).collect();
        assert_eq!(before, after, "a pair that no rule names has changed");
    }
}

/// A mapping's file: it is taken, or the mistake has a text.
pub(crate) fn config(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Err(mistake) = Mapping::from_yaml(text)
    {
        assert!(!mistake.to_string().is_empty());
    }
}

/// A stream, cut anywhere: the pieces are the stream, whatever the cuts, and a body whose editor keeps all changes nothing.
pub(crate) fn stream(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let framing = [Framing::Sse, Framing::JsonLines, Framing::JsonArray][usize::from(choice % 3)];
    let size = usize::from(choice / 3).max(1);
    let cut = pieces(framing, data.chunks(size));
    let whole = pieces(framing, [data]);
    assert_eq!(
        cut.is_some(),
        whole.is_some(),
        "the cuts decide whether it is a stream"
    );
    let (Some(cut), Some(whole)) = (cut, whole) else {
        return;
    };
    assert_eq!(cut.0, whole.0, "the cuts change the events");
    assert_eq!(cut.1, data, "the pieces are not the stream");

    let keys = Keys::new().member("a").text("x");
    for keys in [None, Some(keys)] {
        let chunks = data.chunks(size).map(Bytes::copy_from_slice).collect();
        let keep = Keep(keys);
        let body = EventBody::new(Chunks(chunks), EventParser::new(framing), keep);
        assert_eq!(
            collect(body),
            data,
            "an editor that keeps all changed something"
        );
    }

    let mapping = stream_mapping();
    let mapped = |size| {
        let chunks = data.chunks(size).map(Bytes::copy_from_slice).collect();
        collect(mapping.event_body(Chunks(chunks), framing))
    };
    assert_eq!(
        mapped(size),
        mapped(data.len().max(1)),
        "the cuts change what rules do"
    );
}

/// Rules of each kind, and state that depends on the events before.
fn stream_mapping() -> Mapping {
    let rules = "
stream:
  state: {n: {counter: {data:/a: {exists: true}}}, last: {remember: [data:/b, event]}}
  rules:
    - {move: data:/a, to: data:/c}
    - {set: data:/n, from: var:n, when: {data:/e: {exists: true}}}
    - {set: data:/last, from: var:last, when: {event: x}}
    - {remove: 'data:', when: {'data:': y}}
    - {copy: data:/d, to: event, on_error: keep}
";
    Mapping::from_yaml(rules).expect("the rules are right")
}

/// Forms: what is not changed is the same, and what was changed is read back.
pub(crate) fn form(data: &[u8]) {
    let multipart = FormFormat::of_content_type("multipart/form-data; boundary=xYz");
    let Ok(Some(multipart)) = multipart else {
        return;
    };
    for format in [multipart, FormFormat::UrlEncoded] {
        let Ok(form) = Form::parse(Bytes::copy_from_slice(data), &format) else {
            continue;
        };
        assert_eq!(form.edit(&[]).unwrap().concat(), data);
        let edits = [
            FormEdit::Remove("b"),
            FormEdit::Set {
                name: "a",
                value: b"1",
            },
        ];
        let changed = form.edit(&edits).unwrap().concat();
        let changed = Form::parse(changed.into(), &format).unwrap();
        assert_eq!(changed.field("a").unwrap().value(), "1");
        assert!(changed.field("b").is_none());
    }
}

/// Bodies with a coding: a body or an error, and no more than the limit.
pub(crate) fn coding(data: &[u8]) {
    use portcullis_param_mapping::Coding;
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let coding = [Coding::Gzip, Coding::Deflate, Coding::Brotli][usize::from(choice % 3)];
    let body = Bytes::copy_from_slice(data);
    if let Ok(decoded) = decode(&coding.into(), body, DecodeLimits::new(10_000)) {
        assert!(decoded.len() <= 10_000);
    }
}

/// Cookies and paths: what was written is read back, and is one cookie, one segment.
pub(crate) fn head(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (header, value) = text.split_once('\n').unwrap_or((text, "x"));
    if let Ok(set) = Cookies::new(header).set("a", value) {
        assert_eq!(Cookies::new(&set).get("a"), Some(value));
    }
    assert_eq!(
        Cookies::new(&Cookies::new(header).remove("a")).get("a"),
        None
    );

    if let Ok(template) = header.parse::<PathTemplate>() {
        assert_eq!(template.to_string(), header);
        let _ = template.get(value, "a");
    }
    let template: PathTemplate = "/b/{a}:c".parse().unwrap();
    if let Ok(Some(path)) = template.set("/b/x:c", "a", value) {
        assert_eq!(path.split('/').count(), 3);
        assert_eq!(template.get(&path, "a").unwrap().as_deref(), Some(value));
    }
}

struct Keep(Option<Keys>);

struct Chunks(std::collections::VecDeque<Bytes>);

impl portcullis_param_mapping::Editor for Keep {
    fn edit(&mut self, event: &Event) -> Edit {
        // All that an editor may ask for.
        let fields = event.fields();
        let _ = event.with_data(&fields.data);
        Edit::Keep
    }

    fn keys(&self) -> Option<&Keys> {
        self.0.as_ref()
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(
            self.0
                .pop_front()
                .map(|chunk| Ok(http_body::Frame::data(chunk))),
        )
    }
}

/// Sends a request through the layer. Returns the status, and the query and body that came to the upstream.
fn map(request: Request<Full<Bytes>>) -> (StatusCode, (String, Vec<u8>)) {
    let mapping = Mapping::from_yaml(RULES).expect("the rules are right");
    let received = std::cell::RefCell::new((String::new(), Vec::new()));
    let upstream = tower::service_fn(|request: Request<RequestBody<Full<Bytes>>>| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        *received.borrow_mut() = (query, collect(request.into_body()));
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let service = ParamMappingLayer::new(mapping).layer(upstream);
    let mut cx = Context::from_waker(Waker::noop());
    let mut response = pin!(service.oneshot(request));
    let status = loop {
        if let Poll::Ready(Ok(response)) = response.as_mut().poll(&mut cx) {
            break response.status();
        }
    };
    (status, received.take())
}

fn collect(body: impl Body<Data = Bytes, Error = Infallible>) -> Vec<u8> {
    let mut body = pin!(body);
    let mut cx = Context::from_waker(Waker::noop());
    let mut bytes = Vec::new();
    loop {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Pending => {}
            Poll::Ready(None) => return bytes,
            Poll::Ready(Some(Ok(frame))) => bytes.extend(frame.into_data().unwrap_or_default()),
        }
    }
}

/// The data of all events, and all bytes; `None` where it is no such stream.
fn pieces(
    framing: Framing,
    chunks: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> Option<(Vec<Bytes>, Vec<u8>)> {
    let mut parser = EventParser::new(framing).at_eof(AtEof::Flush);
    let (mut events, mut bytes) = (Vec::new(), Vec::new());
    let mut take = |parser: &mut EventParser| {
        while let Some(piece) = parser.next_piece().ok()? {
            match piece {
                Piece::Event(event) => {
                    events.push(event.data());
                    bytes.push(event.bytes().clone());
                }
                Piece::Other(raw) => bytes.push(raw),
            }
        }
        Some(())
    };
    for chunk in chunks {
        parser.push(Bytes::copy_from_slice(chunk.as_ref()));
        take(&mut parser)?;
    }
    parser.finish();
    take(&mut parser)?;
    Some((events, bytes.concat()))
}
