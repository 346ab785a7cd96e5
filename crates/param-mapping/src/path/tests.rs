use proptest::prelude::*;

use super::*;

fn template(text: &str) -> PathTemplate {
    text.parse().unwrap()
}

#[test]
fn paths_of_the_form_match_and_others_do_not() {
    for (text, path, expected) in [
        ("/", "/", true),
        ("/", "", false),
        ("/a/{x}", "/a/b", true),
        ("/a/{x}", "/%61/b", true),
        ("/a/{x}", "/a/", false),
        ("/a/{x}", "/a/b/", false),
        ("/a/{x}", "/a/b/c", false),
        ("/a/{x}", "/a%2fb", false),
        ("/a/{x}", "a/b", false),
        ("/{x}:go", "/a:go", true),
        ("/{x}:go", "/:go", false),
        ("/{x}:go", "/a:stop", false),
        ("/v{n}x", "/vx", false),
        ("/{a}/{b}", "/1/2", true),
        ("*", "*", false),
    ] {
        let matches = text
            .parse()
            .is_ok_and(|template: PathTemplate| template.matches(path));
        assert_eq!(matches, expected, "{text} {path}");
    }
}

#[test]
fn parts_are_read_decoded_and_written_encoded() {
    let template = template("/v1/{a}/x-{b}.json");
    let path = "/v1/%7Ea/x-%C3%A4.json";
    assert_eq!(template.get(path, "a").unwrap().as_deref(), Some("~a"));
    assert_eq!(template.get(path, "b").unwrap().as_deref(), Some("\u{e4}"));
    assert_eq!(template.get(path, "c"), Ok(None));
    assert!(template.get("/v1/%ff/x-1.json", "a").is_err());

    let set = template.set(path, "b", "a b:c").unwrap();
    assert_eq!(set.as_deref(), Some("/v1/%7Ea/x-a%20b%3Ac.json"));
    assert_eq!(template.set("/v2", "b", "x"), Ok(None));

    let expanded = template.expand(|name| (name == "a").then_some("1").or(Some("?")));
    assert_eq!(expanded.as_deref(), Ok("/v1/1/x-%3F.json"));
    assert!(template.expand(|_| None).is_err());
}

#[test]
fn what_would_be_another_path_is_refused() {
    let plain = template("/a/{x}");
    for (text, reason) in [
        ("", "a part of the path cannot be empty"),
        (".", "a part of the path cannot be `.` or `..`"),
        ("..", "a part of the path cannot be `.` or `..`"),
        ("%2e%2E", "a part of the path cannot be `.` or `..`"),
        ("%252e.", "a part of the path cannot be `.` or `..`"),
        (
            "../b",
            "a part of the path cannot hold a slash or a backslash",
        ),
        (
            "a%2fb",
            "a part of the path cannot hold a slash or a backslash",
        ),
        (
            "a%252Fb",
            "a part of the path cannot hold a slash or a backslash",
        ),
        (
            "a\\b",
            "a part of the path cannot hold a slash or a backslash",
        ),
        (
            "a\r\nX: y",
            "a part of the path cannot hold a control character",
        ),
        (
            "a%0d%0ab",
            "a part of the path cannot hold a control character",
        ),
        ("a\0", "a part of the path cannot hold a control character"),
    ] {
        let error = plain.set("/a/b", "x", text).unwrap_err();
        assert_eq!(error.to_string(), reason, "{text:?}");
    }
    assert!(template("/a/.{x}").set("/a/.b", "x", ".").is_err());
    assert!(plain.set("/a/b", "x", "...").is_ok());
    assert!(plain.set("/a/b", "x", "100%").is_ok());
}

#[test]
fn mistakes_in_a_template_are_found_when_it_is_built() {
    for (text, reason) in [
        (
            "a",
            "the path template is malformed: it must begin with a slash",
        ),
        (
            "/a/{",
            "segment 2 of the path template is malformed: it has no closing brace",
        ),
        (
            "/{}",
            "segment 1 of the path template is malformed: its name must be letters, digits and underscores",
        ),
        (
            "/{+x}",
            "segment 1 of the path template is malformed: its name must be letters, digits and underscores",
        ),
        (
            "/{x*}",
            "segment 1 of the path template is malformed: its name must be letters, digits and underscores",
        ),
        (
            "/{x}{y}",
            "segment 1 of the path template is malformed: it has two names",
        ),
        (
            "/{x}/{x}",
            "segment 2 of the path template is malformed: it has a name that was there before",
        ),
        (
            "/a b",
            "segment 1 of the path template is malformed: it has a character that no path has",
        ),
        (
            "/x}",
            "segment 1 of the path template is malformed: it has a character that no path has",
        ),
        (
            "/a?b",
            "segment 1 of the path template is malformed: it has a character that no path has",
        ),
        (
            "/../{x}",
            "segment 1 of the path template is malformed: it is `.` or `..`",
        ),
    ] {
        let error = text.parse::<PathTemplate>().unwrap_err();
        assert_eq!(error.to_string(), reason, "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_one_segment_and_read_back(text in "\\PC{0,12}|[./%2fF5eE]{0,8}") {
        let template = template("/a/{x}/b");
        let Ok(path) = template.set("/a/old/b", "x", &text) else { return Ok(()) };
        let path = path.unwrap();
        prop_assert_eq!(path.split('/').count(), 4);
        prop_assert_eq!(template.get(&path, "x").unwrap(), Some(Cow::Borrowed(text.as_str())));
        let lower = path.to_lowercase();
        prop_assert!(!lower.contains("%2f") && !lower.contains("/../") && !lower.contains("/./"));
    }

    #[test]
    fn a_template_is_written_as_it_was_read(text in "(/[a-z{}:.]{0,6}){1,4}") {
        if let Ok(template) = text.parse::<PathTemplate>() {
            prop_assert_eq!(template.to_string(), text);
        }
    }
}
