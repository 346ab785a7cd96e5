use proptest::prelude::*;

use super::*;

/// An event as the tests compare it: its exact bytes, name and data.
type Seen = (Vec<u8>, String, String);

fn sse(chunks: &[&[u8]], at_eof: AtEof) -> Vec<Piece> {
    let parser = EventParser::new(Framing::Sse).at_eof(at_eof);
    pieces(parser, chunks).unwrap()
}

fn pieces(mut parser: EventParser, chunks: &[&[u8]]) -> Result<Vec<Piece>, FramingError> {
    let mut pieces = Vec::new();
    for chunk in chunks {
        parser.push(Bytes::copy_from_slice(chunk));
        while let Some(piece) = parser.next_piece()? {
            pieces.push(piece);
        }
    }
    parser.finish();
    while let Some(piece) = parser.next_piece()? {
        pieces.push(piece);
    }
    Ok(pieces)
}

fn raw(piece: &Piece) -> Bytes {
    match piece {
        Piece::Event(event) => event.raw(),
        Piece::Other(raw) => raw.clone(),
    }
}

/// The pieces without what may depend on the cuts: a LF alone after a CR is the end of the piece before.
fn seen(pieces: &[Piece]) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    for piece in pieces {
        let bytes = raw(piece);
        match (piece, seen.last_mut()) {
            (Piece::Other(_), Some((last, ..))) if last.ends_with(b"\r") && bytes == "\n" => {
                last.push(b'\n');
            }
            (Piece::Other(_), _) => seen.push((bytes.to_vec(), String::new(), String::new())),
            (Piece::Event(event), _) => {
                let fields = event.fields();
                let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
                let name = fields.name.as_ref().map_or("message".into(), text);
                seen.push((bytes.to_vec(), name, text(&fields.data)));
            }
        }
    }
    seen
}

/// The algorithm of WHATWG HTML, sections 9.2.5 and 9.2.6, word by word: name and data of each event.
fn by_the_standard(stream: &[u8], at_eof: AtEof) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream));
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut name, mut data) = (Vec::new(), String::new(), String::new());
    let mut lines: Vec<&str> = text.split('\n').collect();
    let last = lines.pop();
    if at_eof == AtEof::Flush {
        lines.extend(last.filter(|line| !line.is_empty()));
        lines.push("");
    }
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() {
                data.pop();
                let name = if name.is_empty() { "message" } else { &name };
                events.push((name.to_owned(), data.clone()));
            }
            (name, data) = (String::new(), String::new());
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value.to_owned(),
            "data" => data += &format!("{value}\n"),
            _ => {}
        }
    }
    events
}

fn stream_of(tokens: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let token = proptest::sample::select(tokens).prop_map(|token| token.as_bytes().to_vec());
    let byte = any::<u8>().prop_map(|byte| vec![byte]);
    let piece = prop_oneof![9 => token, 1 => byte];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn sse_stream() -> impl Strategy<Value = Vec<u8>> {
    let bom = proptest::sample::select(&["", "\u{feff}"][..]);
    let stream = stream_of(&[
        "\n", "\n", "\r", "\r\n", "\r\n", "\n\n", "data: ", "data", ":", "event: ", "id: 1", "x",
        " ", "\u{feff}", "\u{20ac}",
    ]);
    (bom, stream).prop_map(|(bom, stream)| [bom.as_bytes(), &stream].concat())
}

/// Cuts a stream at these places.
fn cut<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    let ranges = places.windows(2);
    ranges.map(|range| &stream[range[0]..range[1]]).collect()
}

fn eofs() -> impl Strategy<Value = AtEof> {
    proptest::sample::select(&[AtEof::Flush, AtEof::Discard][..])
}

proptest! {
    #[test]
    fn event_streams_are_read_as_the_standard_says(stream in sse_stream(), eof in eofs()) {
        let events: Vec<_> = seen(&sse(&[&stream], eof))
            .into_iter()
            .filter(|(_, name, _)| !name.is_empty())
            .map(|(_, name, data)| (name, data))
            .collect();

        prop_assert_eq!(events, by_the_standard(&stream, eof));
    }

    #[test]
    fn event_streams_do_not_depend_on_the_cuts(
        stream in sse_stream(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        eof in eofs(),
        limit in prop_oneof![1_usize..40, Just(usize::MAX)],
    ) {
        let read = |chunks: &[&[u8]]| {
            let parser = EventParser::new(Framing::Sse).at_eof(eof).max_event_bytes(limit);
            pieces(parser, chunks).map(|pieces| seen(&pieces))
        };
        let bytes: Vec<_> = stream.chunks(1).collect();

        let whole = read(&[&stream]);

        prop_assert_eq!(&read(&cut(&stream, &cuts)), &whole);
        prop_assert_eq!(read(&bytes), whole);
    }

    #[test]
    fn lines_and_arrays_do_not_depend_on_the_cuts(
        stream in stream_of(&[
            "\n", "\r\n", " ", "{", "}", "[", "]", ",", "\"", "\\", "1", "true", "{\"a\":\"}\"}", "[{}", ",\n[]",
        ]),
        is_array in any::<bool>(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        limit in 1_usize..40,
    ) {
        let framing = if is_array { Framing::JsonArray } else { Framing::JsonLines };
        let stream = if is_array { [b"[", &stream[..]].concat() } else { stream };
        let parser = || EventParser::new(framing).max_event_bytes(limit);

        let whole = pieces(parser(), &[&stream]);
        let parts = pieces(parser(), &cut(&stream, &cuts));

        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn the_pieces_are_the_stream(
        stream in sse_stream(),
        framing in proptest::sample::select(&[Framing::Sse, Framing::JsonLines][..]),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let pieces = pieces(EventParser::new(framing), &cut(&stream, &cuts)).unwrap();

        let joined: Vec<u8> = pieces.iter().flat_map(raw).collect();
        prop_assert_eq!(joined, stream);
    }

    #[test]
    fn an_empty_line_is_found_from_behind_where_it_is_found_from_the_front(stream in sse_stream()) {
        // Without the beginning, which has its own rules, and a CR at the end, which may not be all.
        let stream = [b"data: 1\n\n", &stream[..], b"x"].concat();
        let mut at = 0;
        let mut expected = 0;
        for piece in sse(&[&stream], AtEof::Flush) {
            at += raw(&piece).len();
            let is_comment = raw(&piece).starts_with(b":");
            if !is_comment && at < stream.len() {
                expected = at;
            }
        }

        let found = sse::last_end(&stream);
        prop_assert!(found >= expected, "{found} {expected}");
        // After that only comments, of which the empty line behind one is a piece as well.
        prop_assert!(sse(&[&stream[..found]], AtEof::Discard).iter().map(|piece| raw(piece).len()).sum::<usize>() == found);
    }
}

#[test]
fn an_event_leaves_with_its_last_byte() {
    for (framing, chunks) in [
        (Framing::Sse, &["data: 1\n\n"][..]),
        (Framing::Sse, &["data: 1\r\n\r"]),
        (Framing::Sse, &["da", "ta: 1\r", "\n", "\r"]),
        (Framing::JsonLines, &["{}", "\n"]),
        (Framing::JsonArray, &["[", "{", "}"]),
        (Framing::JsonArray, &["[1", ","]),
    ] {
        let mut parser = EventParser::new(framing);
        let mut events = 0;
        for (at, chunk) in chunks.iter().enumerate() {
            assert_eq!(events, 0, "{chunks:?}");
            parser.push(Bytes::from_static(chunk.as_bytes()));
            while let Some(piece) = parser.next_piece().unwrap() {
                events += usize::from(matches!(piece, Piece::Event(_)));
            }
            assert!(events == 0 || at + 1 == chunks.len(), "{chunks:?}");
        }
        assert_eq!(events, 1, "{chunks:?}");
    }
}

#[test]
fn a_comment_between_events_leaves_with_its_line() {
    let mut parser = EventParser::new(Framing::Sse);
    parser.push(Bytes::from_static(b": keep-alive\n"));

    let piece = parser.next_piece().unwrap();

    let comment = Bytes::from_static(b": keep-alive\n");
    assert_eq!(piece, Some(Piece::Other(comment)));
}

#[test]
fn an_event_within_a_chunk_is_a_part_of_it() {
    let chunk = Bytes::from_static(b"data: 1\n\ndata: 2\n\n");
    let mut parser = EventParser::new(Framing::Sse);
    parser.push(chunk.clone());

    while let Some(piece) = parser.next_piece().unwrap() {
        let range = chunk.as_ptr_range();
        assert!(range.contains(&raw(&piece).as_ptr()));
    }
}

#[test]
fn an_event_over_the_limit_is_refused_however_it_comes() {
    let long = [b"data: ", &[b'x'; 100][..], b"\n\n"].concat();
    let stream = [b"data: 1\n\n", &long[..]].concat();
    for chunks in [vec![&stream[..]], stream.chunks(1).collect()] {
        for (limit, is_refused) in [(107, true), (108, false)] {
            let parser = EventParser::new(Framing::Sse).max_event_bytes(limit);
            let result = pieces(parser, &chunks);
            assert_eq!(result.is_err(), is_refused, "{limit}");
        }
    }
}

#[test]
fn a_refused_stream_stays_refused_and_keeps_nothing() {
    let mut parser = EventParser::new(Framing::JsonLines).max_event_bytes(1000);
    for _ in 0..100 {
        parser.push(Bytes::from_static(&[b'x'; 999]));
        let _ = parser.next_piece();
        assert!(parser.carry.len() <= 1000);
    }

    let error = parser.next_piece().unwrap_err();

    assert!(error.is_too_large());
    assert_eq!(parser.carry.capacity(), 0);
}

#[test]
fn a_text_of_a_gigabyte_is_refused_at_the_limit() {
    let chunk = Bytes::from(vec![b'x'; 1024 * 1024]);
    for (framing, start) in [
        (Framing::Sse, "data: "),
        (Framing::JsonLines, "\""),
        (Framing::JsonArray, "[\""),
    ] {
        let mut parser = EventParser::new(framing);
        parser.push(Bytes::from_static(start.as_bytes()));
        while parser.next_piece().unwrap().is_some() {}
        for _ in 0..1024 {
            parser.push(chunk.clone());
            assert_eq!(
                parser.next_piece(),
                Err(FramingError::too_large(DEFAULT_MAX_EVENT_BYTES)),
                "{framing:?}"
            );
            assert_eq!(parser.carry.capacity() + parser.chunk.len(), 0);
        }
    }
}

#[test]
fn an_array_is_read_element_by_element() {
    let stream = b" [ {\"a\":[\"]}\\\"\",{}]},\r\n-1.5e3 , \"x]\" ,[] ]\n";
    let pieces = pieces(EventParser::new(Framing::JsonArray), &[stream]).unwrap();

    let data: Vec<_> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Event(event) => Some(event.data()),
            Piece::Other(_) => None,
        })
        .collect();
    assert_eq!(data, ["{\"a\":[\"]}\\\"\",{}]}", "-1.5e3", "\"x]\"", "[]"]);
}

#[test]
fn what_is_no_array_is_refused() {
    for (stream, expected) in [
        ("{}", "`[`"),
        ("[,", "a value"),
        ("[1,]", "a value"),
        ("[1 2", "`,` or `]`"),
        ("[{}}", "`,` or `]`"),
        ("[]]", "nothing after `]`"),
        ("[x", "a value"),
    ] {
        let error = pieces(EventParser::new(Framing::JsonArray), &[stream.as_bytes()]).unwrap_err();
        assert_eq!(
            error,
            FramingError::malformed(Framing::JsonArray, expected),
            "{stream}"
        );
    }
}

#[test]
fn a_million_brackets_are_one_event_of_bounded_size() {
    let stream = vec![b'['; 1_000_001];
    let parser = EventParser::new(Framing::JsonArray).at_eof(AtEof::Discard);
    let result = pieces(parser, &[&stream]).unwrap();
    assert_eq!(result.len(), 1, "the bracket");

    let parser = EventParser::new(Framing::JsonArray).max_event_bytes(1000);
    assert!(pieces(parser, &[&stream]).is_err());
}

#[test]
fn the_end_flushes_or_discards_what_it_cuts_off() {
    for (framing, stream, flushed, discarded) in [
        (Framing::Sse, "data: 1\n\ndata: 2\n", 2, 1),
        (Framing::Sse, "data: 1", 1, 0),
        (Framing::Sse, "\u{feff}data: 1", 1, 0),
        (Framing::Sse, "id: 1", 0, 0),
        (Framing::JsonLines, "{}\n{}", 2, 1),
        (Framing::JsonLines, "{}\n ", 1, 1),
        (Framing::JsonArray, "[{},{}]", 2, 2),
        (Framing::JsonArray, " ", 0, 0),
    ] {
        for (at_eof, expected) in [(AtEof::Flush, flushed), (AtEof::Discard, discarded)] {
            let parser = EventParser::new(framing).at_eof(at_eof);
            let pieces = pieces(parser, &[stream.as_bytes()]).unwrap();
            let events = pieces
                .iter()
                .filter(|piece| matches!(piece, Piece::Event(_)));
            assert_eq!(events.count(), expected, "{stream} {at_eof:?}");
        }
    }
}

#[test]
fn an_array_that_does_not_end_is_none() {
    for (stream, events) in [("[", 0), ("[1", 0), ("[{},{", 1), ("[{},", 1), ("[{}", 1)] {
        let stream = [stream.as_bytes()];
        let fault = pieces(EventParser::new(Framing::JsonArray), &stream).unwrap_err();
        assert_eq!(fault, FramingError::malformed(Framing::JsonArray, "`]`"));

        let parser = EventParser::new(Framing::JsonArray).at_eof(AtEof::Discard);
        let pieces = pieces(parser, &stream).unwrap();
        let found = pieces
            .iter()
            .filter(|piece| matches!(piece, Piece::Event(_)));
        assert_eq!(found.count(), events, "{stream:?}");
    }
}
