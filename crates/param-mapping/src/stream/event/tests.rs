use super::*;

fn event(framing: Framing, raw: &'static str) -> Event {
    Event::new(framing, Bytes::from_static(raw.as_bytes()), 0)
}

#[test]
fn fields_are_read_as_the_standard_says() {
    let fields = |name: &'static str, data: &'static str| Fields {
        name: (!name.is_empty()).then(|| Bytes::from_static(name.as_bytes())),
        data: Bytes::from_static(data.as_bytes()),
        ..Fields::default()
    };
    for (raw, expected) in [
        ("data: a\n\n", fields("", "a")),
        ("data:a\n\n", fields("", "a")),
        ("data:  a\n\n", fields("", " a")),
        ("data\n\n", fields("", "")),
        ("data\ndata\n\n", fields("", "\n")),
        ("data: a\r\ndata:\rdata: b: c\n\n", fields("", "a\n\nb: c")),
        ("event: x\ndata: a\nevent: y\n\n", fields("y", "a")),
        ("event: x\nevent\ndata: a\n\n", fields("", "a")),
        (
            ": c\ndata: a\nDATA: b\n data: c\nother: d\n\n",
            fields("", "a"),
        ),
        ("data: a", fields("", "a")),
    ] {
        assert_eq!(event(Framing::Sse, raw).fields(), expected, "{raw:?}");
    }
}

#[test]
fn ids_and_retries_are_taken_only_where_they_are_right() {
    for (raw, id, retry) in [
        ("id: 1\nretry: 20\n", Some("1"), Some(20)),
        ("id\nretry\n", Some(""), None),
        (
            "id: 1\nid: a\0b\nretry: 20\nretry: 2x\n",
            Some("1"),
            Some(20),
        ),
        ("retry: -1\n", None, None),
        ("retry: 99999999999999999999\n", None, None),
    ] {
        let fields = event(Framing::Sse, raw).fields();

        let id = id.map(|id| Bytes::from_static(id.as_bytes()));
        assert_eq!(fields.id, id, "{raw:?}");
        let retry = retry.map(Duration::from_millis);
        assert_eq!(fields.retry, retry, "{raw:?}");
    }
}

#[test]
fn other_data_leaves_the_other_lines_as_they_are() {
    for (framing, raw, data, expected) in [
        (Framing::Sse, "data: a\n\n", "b", "data: b\n\n"),
        (
            Framing::Sse,
            "id:1\r\n:c\r\ndata:a\r\ndata:b\r\nx\r\n\r\n",
            "b\nc",
            "id:1\r\n:c\r\ndata: b\r\ndata: c\r\nx\r\n\r\n",
        ),
        (Framing::Sse, "data: a\r\r", "", "data: \r\r"),
        (Framing::Sse, "data: a", "b", "data: b\n\n"),
        (Framing::Sse, "data: a\nid: 1", "b", "data: b\nid: 1\n\n"),
        (Framing::JsonLines, "{}\r\n", "[1,\n2]", "[1, 2]\r\n"),
        (Framing::JsonLines, "{} ", "1", "1 "),
        (Framing::JsonLines, "{}", "1", "1\n"),
        (Framing::JsonArray, "{}", "1", "1"),
    ] {
        let changed = event(framing, raw).with_data(data.as_bytes());
        assert_eq!(changed, expected, "{raw:?}");
    }
}

#[test]
fn another_name_leaves_the_other_lines_as_they_are() {
    for (raw, name, data, expected) in [
        ("data: a\n\n", Some("x"), None, "event: x\ndata: a\n\n"),
        (
            "id: 1\r\nevent: a\r\ndata: b\r\nevent: c\r\n\r\n",
            Some("x"),
            Some("d"),
            "event: x\r\nid: 1\r\ndata: d\r\n\r\n",
        ),
        (
            "event: a\n:c\ndata: b\ndata: c\n\n",
            None,
            None,
            ":c\ndata: b\ndata: c\n\n",
        ),
        ("data: a", Some("x\ny"), None, "event: x y\ndata: a\n\n"),
    ] {
        let event = event(Framing::Sse, raw);
        assert_eq!(event.with_name(name, data.map(str::as_bytes)), expected);
    }
}

#[test]
fn data_that_was_written_is_read_back() {
    for data in ["", "a", "a\nb", "\n", "a\n", "\n\na", " a"] {
        let raw = SseEvent::new(data).encode();
        let event = Event::new(Framing::Sse, raw, 0);
        assert_eq!(event.data(), data, "{data:?}");
        assert_eq!(event.with_data(data.as_bytes()), event.raw(), "{data:?}");
    }
}

#[test]
fn names_and_ids_cannot_begin_a_line() {
    let event = SseEvent::new("x").name("a\ndata: y").id("b\r\0");
    assert_eq!(event.encode(), "event: a data: y\nid: b  \ndata: x\n\n");
}

#[test]
fn one_line_of_data_is_not_copied() {
    let event = event(Framing::Sse, "event: a\ndata: b\n\n");
    let data = event.data();
    assert!(event.raw().as_ptr_range().contains(&data.as_ptr()));
}
