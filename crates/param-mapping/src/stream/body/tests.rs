use std::future::poll_fn;
use std::sync::atomic::Ordering;

use http_body_util::BodyExt;
use portcullis_test_support::{ScriptBody, Step};
use proptest::prelude::*;

use super::*;
use crate::stream::{AtEof, Keys};

type BoxError = portcullis_test_support::BoxError;

/// Does what the first letter of the data says, and names keys, or not.
struct ByLetter(Option<Keys>);

impl Editor for ByLetter {
    fn edit(&mut self, event: &Event) -> Edit {
        let data = event.data();
        let text = String::from_utf8_lossy(&data).replace(['"', ' '], "");
        match text.get(..1) {
            Some("d") => Edit::Drop,
            Some("r") => Edit::Replace(event.with_data(br#""changed""#)),
            Some("m") => {
                let one = |text: &[u8]| event.with_data(text);
                Edit::Many(vec![one(b"1"), one(b"2")])
            }
            Some("f") => Edit::Fail(Bytes::from_static(b"{}")),
            _ => Edit::Keep,
        }
    }

    fn keys(&self) -> Option<&Keys> {
        self.0.as_ref()
    }

    fn end(&mut self) -> Vec<Bytes> {
        vec![Bytes::from_static(b"\"end\"\n\n")]
    }
}

fn keys() -> Keys {
    let letters = ["d", "r", "m", "f"].iter();
    letters.fold(Keys::new(), |keys, letter| keys.text(letter))
}

fn script(chunks: impl IntoIterator<Item = Bytes>) -> ScriptBody {
    ScriptBody::new(chunks.into_iter().map(Step::Data))
}

fn run<E: Editor>(inner: ScriptBody, framing: Framing, editor: E) -> Result<Bytes, BoxError> {
    let body = EventBody::new(inner, EventParser::new(framing), editor);
    tokio_test::block_on(body.collect()).map(|body| body.to_bytes())
}

fn edited(framing: Framing, stream: &'static str) -> Bytes {
    run(ScriptBody::chunks([stream]), framing, ByLetter(None)).unwrap()
}

async fn frame<B: Body + Unpin>(body: &mut B) -> Option<Result<Frame<B::Data>, B::Error>> {
    poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

#[test]
fn each_edit_does_what_it_says() {
    for (framing, stream, expected) in [
        (
            Framing::Sse,
            "data: d\n\n:c\n\nid: 1\ndata: r\n\ndata: k\n\ndata: m\n\nevent: x\n\n",
            ":c\n\nid: 1\ndata: \"changed\"\n\ndata: k\n\ndata: 1\n\ndata: 2\n\nevent: x\n\n\"end\"\n\n",
        ),
        (
            Framing::JsonLines,
            "d\n\n \"r\"\r\nk\nm\n",
            "\n\"changed\"\r\nk\n1\n2\n\"end\"\n\n",
        ),
        (
            Framing::JsonArray,
            "[\"d\" , \"k\",\n\"d\",\"r\",\"m\", \"k\"\n]\n",
            "[ \"k\",\"changed\",1,2, \"k\",\"end\"\n\n\n]\n",
        ),
        (Framing::JsonArray, "[\"d\"]", "[\"end\"\n\n]"),
        (Framing::JsonArray, "[]", "[\"end\"\n\n]"),
    ] {
        assert_eq!(edited(framing, stream), expected, "{stream}");
    }
}

#[test]
fn a_failure_is_an_event_and_then_the_end() {
    for (framing, stream, expected) in [
        (
            Framing::Sse,
            "data: k\n\ndata: f\n\ndata: k\n\n",
            "data: k\n\nevent: error\ndata: {}\n\n",
        ),
        (Framing::JsonLines, "k\nf\nk\n", "k\n{}\n"),
        (Framing::JsonArray, "[\"k\",\"f\",\"k\"]", "[\"k\",{}]"),
        (Framing::JsonArray, "[\"d\",\"f\",\"k\"]", "[{}]"),
    ] {
        assert_eq!(edited(framing, stream), expected, "{stream}");
    }
}

#[test]
fn a_stream_that_cannot_be_divided_ends_with_the_reason() {
    for (stream, expected) in [
        (
            "{}",
            "[{\"error\":{\"message\":\"the stream is no JSON array: expected `[`\",\"type\":\"bad_gateway\",\"code\":502}}]",
        ),
        (
            "[1,]",
            "[1,{\"error\":{\"message\":\"the stream is no JSON array: expected a value\",\"type\":\"bad_gateway\",\"code\":502}}]",
        ),
        ("[]1", "[\"end\"\n\n]"),
    ] {
        assert_eq!(edited(Framing::JsonArray, stream), expected, "{stream}");
    }

    let parser = EventParser::new(Framing::Sse).max_event_bytes(19);
    let inner = ScriptBody::chunks(["data: 1\n\ndata: 123456", "7890123", "x"]);
    let dropped = inner.dropped();
    let mut body = EventBody::new(inner, parser, ByLetter(None));
    let mut text = Vec::new();
    while let Some(frame) = tokio_test::block_on(frame(&mut body)) {
        text.extend(frame.unwrap().into_data().unwrap());
    }
    let expected = "data: 1\n\nevent: error\ndata: {\"error\":{\"message\":\"an event of the stream is longer than 19 \
                    bytes\",\"type\":\"bad_gateway\",\"code\":502}}\n\n";
    assert_eq!(String::from_utf8(text).unwrap(), expected);
    assert!(dropped.load(Ordering::SeqCst), "the upstream is let go");
    assert!(body.is_end_stream());
}

#[test]
fn a_stream_without_keys_passes_as_the_chunks_it_came_in() {
    let chunk = Bytes::from_static(b"data: k\n\n: c\r\n\r\ndata: k\r\rdata: k\n\n");
    for editor in [ByLetter(None), ByLetter(Some(keys().member("x")))] {
        let inner = ScriptBody::new([Step::Data(chunk.clone()), Step::Stall]);
        let mut body = EventBody::new(inner, EventParser::new(Framing::Sse), editor);

        let frame = tokio_test::block_on(frame(&mut body)).unwrap().unwrap();

        let data = frame.into_data().unwrap();
        assert_eq!(data.as_ptr(), chunk.as_ptr());
        assert_eq!(data.len(), chunk.len());
    }
}

#[test]
fn the_inner_body_is_polled_only_until_an_event_is_complete() {
    let inner = ScriptBody::new([
        Step::data("data"),
        Step::data(": k\n"),
        Step::data("\ndata: k\n\nda"),
        Step::Error("polled once too often"),
    ]);
    let mut body = EventBody::new(inner, EventParser::new(Framing::Sse), ByLetter(None));

    let mut texts = Vec::new();
    for _ in 0..2 {
        let frame = tokio_test::block_on(frame(&mut body)).unwrap().unwrap();
        texts.push(frame.into_data().unwrap());
    }

    assert_eq!(texts, ["data: k\n\n", "data: k\n\n"]);
    let error = tokio_test::block_on(frame(&mut body)).unwrap().unwrap_err();
    assert_eq!(error.to_string(), "polled once too often");
    assert!(tokio_test::block_on(frame(&mut body)).is_none());
    assert!(body.is_end_stream());
}

#[test]
fn a_pending_inner_body_registers_the_waker_and_loses_nothing() {
    let steps = [Step::data("data: "), Step::Pending, Step::data("r\n\n")];
    let body = EventBody::new(
        ScriptBody::new(steps),
        EventParser::new(Framing::Sse),
        ByLetter(None),
    );
    let mut task = tokio_test::task::spawn(body.collect());

    assert!(task.poll().is_pending());
    assert!(task.is_woken());

    let collected = tokio_test::block_on(task).unwrap().to_bytes();
    assert_eq!(collected, "data: \"changed\"\n\n\"end\"\n\n");
}

#[test]
fn a_stream_of_which_nothing_is_left_lets_other_tasks_run() {
    let chunks = (0..1000).map(|_| Bytes::from_static(b"data: d\n\n"));
    let body = EventBody::new(
        script(chunks),
        EventParser::new(Framing::Sse),
        ByLetter(None),
    );
    let mut task = tokio_test::task::spawn(body.collect());

    assert!(task.poll().is_pending());
    assert!(task.is_woken());
    assert_eq!(
        tokio_test::block_on(task).unwrap().to_bytes(),
        "\"end\"\n\n"
    );
}

#[test]
fn trailers_follow_what_the_end_flushes() {
    let trailers = HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]);
    for (last, is_failure) in [("data: r", false), ("data: f", true)] {
        let inner = ScriptBody::new([Step::data(last), Step::Trailers(trailers.clone())]);
        let body = EventBody::new(inner, EventParser::new(Framing::Sse), ByLetter(None));

        let collected = tokio_test::block_on(body.collect()).unwrap();

        assert_eq!(collected.trailers().is_none(), is_failure, "{last}");
        assert!(collected.to_bytes().len() > 20, "{last}");
    }
}

#[test]
fn what_the_end_cuts_off_is_closed_before_anything_follows() {
    for (framing, stream, expected) in [
        (Framing::Sse, "data: k", "data: k\n\n\"end\"\n\n"),
        (Framing::JsonLines, "k", "k\n\"end\"\n\n"),
    ] {
        assert_eq!(edited(framing, stream), expected);
    }
    let parser = EventParser::new(Framing::Sse).at_eof(AtEof::Discard);
    let body = EventBody::new(
        ScriptBody::chunks(["data: 1\n\ndata: k"]),
        parser,
        |_: &Event| Edit::Keep,
    );
    let collected = tokio_test::block_on(body.collect()).unwrap();
    assert_eq!(collected.to_bytes(), "data: 1\n\n");
}

#[test]
fn the_end_and_the_size_are_known_with_the_last_frame() {
    let inner = ScriptBody::chunks(["data: 1\n\nda", "ta: 2"]);
    let keep = |_: &Event| Edit::Keep;
    let mut body = EventBody::new(inner, EventParser::new(Framing::Sse), keep);
    assert!(!body.is_end_stream());
    assert_eq!(body.size_hint().exact(), None);

    tokio_test::block_on(frame(&mut body)).unwrap().unwrap();
    assert!(!body.is_end_stream());
    tokio_test::block_on(frame(&mut body)).unwrap().unwrap();

    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
}

#[cfg(feature = "codings")]
#[test]
fn a_body_with_a_coding_is_decoded_and_a_fault_of_it_is_an_event() {
    use crate::coding::{Coding, DecodeLimits, Decoder};

    // `data: r` and an empty line, as a gzip member with one stored block.
    let gzip: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x09\0\xf6\xffdata: r\n\n";
    let end = b"\x57\xfe\xa4\x26\x09\0\0\0";
    let changed = "data: \"changed\"\n\n";
    let fault = |message: &str| {
        format!(
            "{changed}event: error\ndata: {{\"error\":{{\"message\":\"{message}\",\"type\":\"bad_gateway\",\"code\":502}}}}\n\n"
        )
    };
    for (end, expected) in [
        (&end[..], format!("{changed}\"end\"\n\n")),
        (b"", fault("the gzip body breaks off")),
        (b"\0\0\0\0\0\0\0\0", fault("the body is not valid gzip")),
    ] {
        let chunks = [gzip, end].concat();
        let trailers = HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]);
        let steps = chunks
            .chunks(7)
            .map(|chunk| Step::Data(Bytes::copy_from_slice(chunk)));
        let inner = ScriptBody::new(steps.chain([Step::Trailers(trailers)]));
        let decoder = Decoder::new(&Coding::Gzip.into(), DecodeLimits::streaming());
        let body =
            EventBody::new(inner, EventParser::new(Framing::Sse), ByLetter(None)).decoder(decoder);

        let collected = tokio_test::block_on(body.collect()).unwrap();

        assert_eq!(collected.trailers().is_some(), expected.contains("end"));
        assert_eq!(collected.to_bytes(), expected);
    }
}

#[test]
fn a_dropped_body_drops_the_inner_one() {
    let inner = ScriptBody::new([Step::Stall]);
    let dropped = inner.dropped();

    drop(EventBody::new(
        inner,
        EventParser::new(Framing::Sse),
        ByLetter(None),
    ));

    assert!(dropped.load(Ordering::SeqCst));
}

fn framed_stream() -> impl Strategy<Value = (Framing, Vec<u8>)> {
    let sse = [
        "data: k\n\n",
        "data: d\r\n\r\n",
        "data: r\r\r",
        "data: m\n\n",
        "data",
        ": c\r\n",
        "\n",
        "\r",
        "\r\n",
        "x",
        "event: d\n",
    ];
    let lines = ["k\n", "d\r\n", "\"r\" \n", "m\n", "\n", " ", "x"];
    let array = [
        "\"k\",",
        "\"d\" ,",
        "\"r\",\n",
        "\"m\",",
        "{\"d\":[]},",
        "]",
        "\"k\"",
        "x",
    ];
    let some = |tokens: &[&'static str]| {
        let token = proptest::sample::select(tokens.to_vec());
        proptest::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat().into_bytes())
    };
    prop_oneof![
        some(&sse).prop_map(|stream| (Framing::Sse, stream)),
        some(&lines).prop_map(|stream| (Framing::JsonLines, stream)),
        some(&array).prop_map(|stream| (Framing::JsonArray, [b"[", &stream[..]].concat())),
    ]
}

proptest! {
    #[test]
    fn what_comes_out_depends_neither_on_the_cuts_nor_on_the_keys(
        (framing, stream) in framed_stream(),
        sizes in proptest::collection::vec(0_usize..12, 1..20),
        fails in any::<bool>(),
    ) {
        let stream = if fails { [&stream[..], b"data: f\n\n"].concat() } else { stream };
        let stream = Bytes::from(stream);
        let whole = run(script([stream.clone()]), framing, ByLetter(None)).unwrap();

        let mut rest = stream.clone();
        let mut chunks = Vec::new();
        for size in sizes {
            chunks.push(rest.split_to(size.min(rest.len())));
        }
        chunks.push(rest);
        let bytes = stream.chunks(1).map(Bytes::copy_from_slice);

        prop_assert_eq!(&run(script(chunks.clone()), framing, ByLetter(None)).unwrap(), &whole);
        prop_assert_eq!(&run(script(chunks), framing, ByLetter(Some(keys()))).unwrap(), &whole);
        prop_assert_eq!(&run(script(bytes), framing, ByLetter(Some(keys()))).unwrap(), &whole);
    }

    #[test]
    fn an_editor_that_keeps_all_changes_no_byte((framing, stream) in framed_stream(), size in 1_usize..30) {
        let stream = if framing == Framing::JsonArray { b"[1, {}]".to_vec() } else { stream };
        let chunks = stream.chunks(size).map(Bytes::copy_from_slice);
        let kept = run(script(chunks), framing, |_: &Event| Edit::Keep).unwrap();
        prop_assert_eq!(kept, stream);
    }
}
