use proptest::prelude::*;

use super::*;

const TYPE: &str = "multipart/form-data; boundary=xYz";

fn multipart_of(content_type: &str) -> FormFormat {
    let format = FormFormat::of_content_type(content_type).unwrap();
    format.unwrap()
}

fn edited(format: &FormFormat, body: &[u8], edits: &[FormEdit<'_>]) -> Result<String, FormError> {
    let form = Form::parse(Bytes::copy_from_slice(body), format)?;
    let body = form.edit(edits)?.concat();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn fields_of(form: &Form) -> Vec<(Vec<u8>, Vec<u8>)> {
    let field = |field: &Field| (field.name().to_vec(), field.value().to_vec());
    form.fields().map(field).collect()
}

/// A body of parts with these names and values.
fn body_of(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parts {
        let head = format!("--xYz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--xYz--\r\n");
    body
}

#[test]
fn content_types_name_their_format() {
    for (content_type, expected) in [
        ("application/x-www-form-urlencoded; charset=utf-8", Some("")),
        (
            "Multipart/Form-Data; charset=utf-8; Boundary=xYz",
            Some("xYz"),
        ),
        ("multipart/form-data;boundary=\"a b:c\";", Some("a b:c")),
        ("multipart/form-data; boundary=a/b:c", Some("a/b:c")),
        ("multipart/mixed; boundary=x", None),
        ("application/json", None),
    ] {
        let format = FormFormat::of_content_type(content_type).unwrap();
        let boundary = format.map(|format| match format {
            FormFormat::UrlEncoded => String::new(),
            FormFormat::Multipart(boundary) => {
                String::from_utf8(boundary.first()[2..].to_vec()).unwrap()
            }
        });
        assert_eq!(boundary.as_deref(), expected, "{content_type}");
    }
    let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
    for content_type in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"x",
        "multipart/form-data; boundary=x; boundary=y",
        "multipart/form-data; boundary=\"x\r\n\"",
        "multipart/form-data; boundary=\"x \"",
        "multipart/form-data; boundary",
        &long,
    ] {
        let error = FormFormat::of_content_type(content_type).unwrap_err();
        assert_eq!(error, FormError::boundary(), "{content_type}");
    }
}

#[test]
fn pairs_are_read_as_the_standard_says() {
    for (body, expected) in [
        ("", &[][..]),
        ("a=1&b", &[("a", "1"), ("b", "")]),
        (
            "a+b=%20+&%61=%zz&=x",
            &[("a b", "  "), ("a", "%zz"), ("", "x")],
        ),
        ("a=b=c&&", &[("a", "b=c"), ("", ""), ("", "")]),
    ] {
        let form =
            Form::parse(Bytes::from_static(body.as_bytes()), &FormFormat::UrlEncoded).unwrap();
        let pair =
            |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let expected: Vec<_> = expected.iter().map(pair).collect();
        assert_eq!(fields_of(&form), expected, "{body}");
    }
    let form = Form::parse(Bytes::from_static(b"a=%ff"), &FormFormat::UrlEncoded).unwrap();
    assert_eq!(form.field("a").unwrap().text(), Err(FormError::not_utf8()));
}

#[test]
fn pairs_change_and_the_others_keep_their_bytes() {
    use FormEdit::{Add, Remove, Rename, Set};
    for (body, edits, expected) in [
        ("a=1&b=%7e+&&c", &[Remove("a")][..], "b=%7e+&&c"),
        ("a=1&b=2&a=3&c", &[Remove("a")], "b=2&c"),
        ("a=1&b=2", &[Remove("b")], "a=1"),
        ("a=1", &[Remove("a")], ""),
        (
            "a=1&b=2&%61",
            &[Rename {
                from: "a",
                to: "x&y",
            }],
            "x%26y=1&b=2&x%26y",
        ),
        (
            "a=1&b=2",
            &[Rename { from: "a", to: "b" }, Rename { from: "b", to: "a" }],
            "b=1&a=2",
        ),
        (
            "a=1&b=2&a=3",
            &[Set {
                name: "a",
                value: b"x y",
            }],
            "a=x%20y&b=2",
        ),
        (
            "a&b",
            &[Set {
                name: "a",
                value: b"1",
            }],
            "a=1&b",
        ),
        (
            "a=1",
            &[Set {
                name: "b",
                value: b"2",
            }],
            "a=1&b=2",
        ),
        (
            "a=1",
            &[
                Set {
                    name: "a",
                    value: b"2",
                },
                Rename { from: "a", to: "b" },
            ],
            "b=2",
        ),
        (
            "",
            &[Add {
                name: "a",
                value: b"\xff=&",
            }],
            "a=%FF%3D%26",
        ),
        (
            "a=1",
            &[
                Remove("a"),
                Add {
                    name: "b",
                    value: b"",
                },
                Add {
                    name: "b",
                    value: b"2",
                },
            ],
            "b=&b=2",
        ),
    ] {
        let result = edited(&FormFormat::UrlEncoded, body.as_bytes(), edits);
        assert_eq!(result.as_deref(), Ok(expected), "{body} {edits:?}");
    }
}

#[test]
fn parts_change_and_the_others_keep_their_bytes() {
    use FormEdit::{Add, Remove, Rename, Set};
    let file = b"--xYz \r\nX-Other: 1\r\ncontent-disposition: form-data; filename=\"a;\\\"b.png\"; name=file\r\n\
                 Content-Type: image/png\r\n\r\n\x89PNG\r\n\x00\xff\n--\r\n";
    let text = b"--xYz\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nhello\r\n";
    let body = [b"preamble\r\n", &file[..], text, b"--xYz--\r\nepilogue"].concat();
    let format = multipart_of(TYPE);
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();

    let form = Form::parse(Bytes::from(body.clone()), &format).unwrap();
    let fields: Vec<_> = form
        .fields()
        .map(|field| (field.is_file(), field.value().clone()))
        .collect();
    assert_eq!(
        fields,
        [
            (true, Bytes::from_static(b"\x89PNG\r\n\x00\xff\n--")),
            (false, Bytes::from_static(b"hello")),
        ]
    );

    let whole = shown(&body);
    let new = "--xYz\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1\r\n";
    for (edits, expected) in [
        (&[][..], whole.clone()),
        (&[Remove("text")], whole.replace(&shown(text), "")),
        (&[Remove("file")], whole.replace(&shown(file), "")),
        (
            &[Rename {
                from: "file",
                to: "image",
            }],
            whole.replace("name=file", "name=\"image\""),
        ),
        (
            &[Rename {
                from: "text",
                to: "t",
            }],
            whole.replace("\"text\"", "\"t\""),
        ),
        (
            &[Set {
                name: "text",
                value: b"",
            }],
            whole.replace("hello", ""),
        ),
        (
            &[Add {
                name: "n",
                value: b"1",
            }],
            whole.replace("--xYz--", &format!("{new}--xYz--")),
        ),
        (
            &[Remove("file"), Remove("text")],
            "preamble\r\n--xYz--\r\nepilogue".to_owned(),
        ),
    ] {
        let result = edited(&format, &body, edits);
        assert_eq!(result, Ok(expected), "{edits:?}");
    }
}

#[test]
fn what_is_kept_is_a_part_of_the_input() {
    let body = Bytes::from(body_of(&[
        ("a", b"1"),
        ("file", &[0; 100_000]),
        ("b", b"2"),
    ]));
    let form = Form::parse(body.clone(), &multipart_of(TYPE)).unwrap();

    let same = form.edit(&[]).unwrap();
    let chunks = form
        .edit(&[FormEdit::Rename { from: "a", to: "x" }])
        .unwrap();

    assert_eq!(same.len(), 1);
    assert_eq!(
        (same[0].as_ptr(), same[0].len()),
        (body.as_ptr(), body.len())
    );
    assert_eq!(chunks.len(), 3);
    assert!(body.as_ptr_range().contains(&chunks[2].as_ptr()));
}

#[test]
fn malformed_multipart_is_refused_with_the_reason() {
    for (body, reason) in [
        ("", "the form is malformed: there is no boundary"),
        ("--xY", "the form is malformed: there is no boundary"),
        (
            "--xYz",
            "part 1 of the form is malformed: its boundary goes on",
        ),
        (
            "--xYzz\r\n",
            "part 1 of the form is malformed: its boundary goes on",
        ),
        (
            "--xYz--z",
            "part 1 of the form is malformed: its boundary goes on",
        ),
        (
            "--xYz\r\n\r\n\r\n--xYz--",
            "part 1 of the form is malformed: it has no content disposition",
        ),
        (
            "--xYz\r\nA: b",
            "part 1 of the form is malformed: its headers do not end within 8 KiB",
        ),
        (
            "--xYz\r\nab\r\n\r\n",
            "part 1 of the form is malformed: a line of its headers has no colon",
        ),
        (
            "--xYz\r\nA: b\n\r\n\r\n",
            "part 1 of the form is malformed: a line of its headers ends with CR or LF alone",
        ),
        (
            "--xYz\r\nA: b\r\n c\r\n\r\n",
            "part 1 of the form is malformed: a line of its headers is folded",
        ),
        (
            "--xYz\r\nContent-Disposition: attachment; name=a\r\n\r\n",
            "part 1 of the form is malformed: its content disposition is not form-data",
        ),
        (
            "--xYz\r\nContent-Disposition: form-data; name=\"a\r\n\r\n",
            "part 1 of the form is malformed: its content disposition cannot be read",
        ),
        (
            "--xYz\r\nContent-Disposition: form-data\r\n\r\n",
            "part 1 of the form is malformed: it has no name",
        ),
        (
            "--xYz\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\n",
            "part 1 of the form is malformed: it has two names",
        ),
        (
            "--xYz\r\nContent-Disposition: form-data; name*=utf-8''a\r\n\r\n",
            "part 1 of the form is malformed: it has a name in the extended form",
        ),
        (
            "--xYz\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b\r\n\r\n",
            "part 1 of the form is malformed: it has two content dispositions",
        ),
        (
            "--xYz\r\nContent-Disposition: form-data; name=a\r\n\r\n1",
            "part 1 of the form is malformed: no boundary follows",
        ),
        (
            "--xYz\r\nContent-Disposition: form-data; name=a\r\n\r\n1\n--xYz\r\n\r\n--xYz--",
            "part 1 of the form is malformed: its value has a boundary without CR and LF before it",
        ),
        (
            "--xYz\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--xYz\r\n",
            "part 2 of the form is malformed: its headers do not end within 8 KiB",
        ),
    ] {
        let error =
            Form::parse(Bytes::from_static(body.as_bytes()), &multipart_of(TYPE)).unwrap_err();
        assert_eq!(error.to_string(), reason, "{body:?}");
    }
}

#[test]
fn limits_are_kept() {
    let parts: Vec<(&str, &[u8])> = vec![("a", b""); 1001];
    let error = Form::parse(body_of(&parts).into(), &multipart_of(TYPE)).unwrap_err();
    assert_eq!(error.to_string(), "the form has more than 1000 fields");
    assert!(error.is_too_large());
    assert!(Form::parse(body_of(&parts[1..]).into(), &multipart_of(TYPE)).is_ok());

    let pairs = "&".repeat(1_000_000);
    let error = Form::parse(pairs.into(), &FormFormat::UrlEncoded).unwrap_err();
    assert!(error.is_too_large());

    let long = format!("--xYz\r\nA: {}\r\n\r\n", "x".repeat(10_000_000));
    assert!(Form::parse(long.into(), &multipart_of(TYPE)).is_err());
}

#[test]
fn no_name_and_no_value_makes_another_part() {
    use FormEdit::{Add, Rename, Set};
    let body = body_of(&[("a", b"1")]);
    for (edit, expected) in [
        (
            Rename {
                from: "a",
                to: "b\"; filename=\"c",
            },
            FormError::name(),
        ),
        (
            Rename {
                from: "a",
                to: "b\r\nX: y",
            },
            FormError::name(),
        ),
        (
            Add {
                name: "b\\",
                value: b"",
            },
            FormError::name(),
        ),
        (
            Set {
                name: "a",
                value: b"x\r\n--xYz--",
            },
            FormError::value(),
        ),
        (
            Add {
                name: "b",
                value: b"--xYz",
            },
            FormError::value(),
        ),
        (
            Add {
                name: "b",
                value: b"\n--xYz",
            },
            FormError::value(),
        ),
    ] {
        assert_eq!(
            edited(&multipart_of(TYPE), &body, &[edit]),
            Err(expected),
            "{edit:?}"
        );
    }
    assert!(
        edited(
            &multipart_of(TYPE),
            &body,
            &[Add {
                name: "b",
                value: b"a--xYz"
            }]
        )
        .is_ok()
    );
}

fn values() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let value = proptest::collection::vec(
        prop_oneof![Just(b'-'), Just(b'\r'), Just(b'\n'), any::<u8>()],
        0..30,
    );
    proptest::collection::vec(("[a-d]", value), 0..8)
}

proptest! {
    #[test]
    fn what_is_changed_is_read_back(parts in values(), is_multipart in any::<bool>(), edit in 0..5) {
        let format = if is_multipart { multipart_of(TYPE) } else { FormFormat::UrlEncoded };
        let empty = if is_multipart { &b"--xYz--\r\n"[..] } else { b"" };
        let form = Form::parse(Bytes::copy_from_slice(empty), &format).unwrap();
        let added: Vec<_> = parts.iter().map(|(name, value)| FormEdit::Add { name, value }).collect();
        let body = Bytes::from(form.edit(&added).unwrap().concat());
        let form = Form::parse(body.clone(), &format).unwrap();
        let mut expected: Vec<_> = parts.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone())).collect();
        prop_assert_eq!(fields_of(&form), expected.clone());
        prop_assert_eq!(form.edit(&[]).unwrap().concat(), body);

        let edit = match edit {
            0 => FormEdit::Remove("a"),
            1 => FormEdit::Rename { from: "a", to: "b" },
            2 => FormEdit::Set { name: "a", value: b"new & \xff" },
            3 => FormEdit::Add { name: "a", value: b"new" },
            _ => FormEdit::AddFirst { name: "a", value: b"new" },
        };
        match edit {
            FormEdit::Remove(_) => expected.retain(|(name, _)| name != b"a"),
            FormEdit::Rename { .. } => {
                for (name, _) in &mut expected {
                    if name == b"a" {
                        *name = b"b".to_vec();
                    }
                }
            }
            FormEdit::Set { value, .. } => {
                let place = expected.iter().position(|(name, _)| name == b"a");
                let mut is_first = true;
                expected.retain(|(name, _)| name != b"a" || std::mem::take(&mut is_first));
                match place {
                    Some(place) => expected[place].1 = value.to_vec(),
                    None => expected.push((b"a".to_vec(), value.to_vec())),
                }
            }
            FormEdit::Add { value, .. } => expected.push((b"a".to_vec(), value.to_vec())),
            FormEdit::AddFirst { value, .. } => expected.insert(0, (b"a".to_vec(), value.to_vec())),
        }

        let changed = form.edit(&[edit]).unwrap().concat();

        let changed = Form::parse(changed.into(), &format).unwrap();
        prop_assert_eq!(fields_of(&changed), expected);
    }

    #[test]
    fn any_body_is_a_form_or_an_error(
        tokens in proptest::collection::vec(
            proptest::sample::select(&["--xYz", "\r\n", "\n", "--", "Content-Disposition: form-data", "; name=", "\"a\"", "b", ":", "&", "=", "%", "\\"][..]),
            0..40,
        ),
    ) {
        let body = Bytes::from(tokens.concat());
        for format in [multipart_of(TYPE), FormFormat::UrlEncoded] {
            if let Ok(form) = Form::parse(body.clone(), &format) {
                prop_assert_eq!(form.edit(&[]).unwrap().concat(), &body[..]);
                let _ = form.edit(&[FormEdit::Set { name: "a", value: b"1" }, FormEdit::Remove("b")]);
            }
        }
    }
}
