use std::num::NonZeroU32;

use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::{AttemptRecord, Decision, ErrorKind, Outcome, WaitReason};

fn facts(method: &str, uri: &str, headers: &[(&str, &str)]) -> RequestFacts {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
    RequestFacts {
        method: method.parse().unwrap(),
        uri: uri.parse().unwrap(),
        headers: headers.collect(),
    }
}

fn head(status: u16, headers: &[(&str, &str)]) -> Parts {
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap().into_parts().0
}

#[test]
fn one_screen_tells_all() {
    let facts = facts(
        "POST",
        "/orders?page=2",
        &[("host", "shop.test:8080"), ("content-length", "9")],
    );
    let failed = Outcome::Failed(Failure::answered(StatusCode::BAD_GATEWAY, None));
    let mut first = AttemptRecord::new(NonZeroU32::MIN, failed);
    first.decision = Decision::Retry {
        wait: Duration::from_millis(25),
        reason: WaitReason::Backoff,
    };
    let last = AttemptRecord::new(NonZeroU32::new(2).unwrap(), failed);
    let mut head = head(
        502,
        &[
            ("server", "nginx"),
            ("via", "1.1 inner, 2 edge (x)"),
            ("retry-after", "3"),
            ("x-amzn-trace-id", "Root=1"),
            ("content-type", "text/html"),
        ],
    );
    head.extensions
        .insert(RetryOutcome::from(vec![first, last]));

    let diagnosis = Diagnosis::new(&facts, Failure::answered(head.status, None))
        .response(&head)
        .elapsed(Duration::from_millis(1500));

    assert_eq!(
        diagnosis.to_string(),
        "POST http://shop.test:8080/orders?page=2\n\
         failed:  the upstream answered 502 Bad Gateway\n\
         status:  502 Bad Gateway\n\
         hop:     at or behind inner, says via\n\
         request: answered\n\
         attempt: 2 (1 502 0.000s retry(backoff 0.025s), 2 502 0.000s stop(not_retriable))\n\
         elapsed: 1.500s\n\
         header:  server: nginx\n\
         header:  via: 1.1 inner, 2 edge (x)\n\
         header:  retry-after: 3\n\
         header:  x-amzn-trace-id: Root=1\n\
         check:   the log of the hop that answered: it got no valid answer from the one behind it\n\
         repeat:  curl -i -g --path-as-is -X POST --data-binary @body.bin 'http://shop.test:8080/orders?page=2'\n"
    );
}

#[test]
fn the_hop_that_failed_is_named() {
    for (headers, expected) in [
        (
            &[
                (
                    "proxy-status",
                    "far;error=dns_error;details=\"no such name\", near",
                ),
                ("via", "1.1 x"),
            ][..],
            "far: dns_error (no such name), says proxy-status",
        ),
        (
            &[
                ("proxy-status", "near;received-status=502"),
                ("via", "1.1 x, 1.1 y"),
            ],
            "at or behind x, says via",
        ),
        (
            &[("via", "1.1"), ("server", "cloudflare")],
            "one that calls itself cloudflare, says server",
        ),
        (&[], "one that gave no name"),
    ] {
        let hop = FailedHop::from_headers(&head(502, headers).headers);

        assert_eq!(hop.to_string(), expected);
    }
    let local = Failure::new(ErrorKind::ConnectionRefused);
    let diagnosis = Diagnosis::new(&facts("GET", "http://u:p@host:81/", &[]), local);
    assert_eq!(diagnosis.hop, FailedHop::Ours("host:81".to_owned()));
}

#[test]
fn secrets_are_not_shown() {
    let facts = facts(
        "GET",
        "https://me:hunter2@host/a?id=1&api_key=hunter2&%61ccess_Token=hunter2&X-Amz-Signature=hunter2&next=%2Fb%3Ftoken%3Dhunter2&token%3Dhunter2&flag",
        &[
            ("authorization", "Bearer hunter2"),
            ("proxy-authorization", "Basic hunter2"),
            ("cookie", "session=hunter2"),
            ("x-api-key", "hunter2"),
            ("x-goog-credential", "hunter2"),
            ("client-Secret", "hunter2"),
            ("db-password", "hunter2"),
            ("referer", "https://host/?token=hunter2"),
            ("accept", "*/*"),
        ],
    );
    let mut facts = facts;
    let mut sensitive = HeaderValue::from_static("hunter2");
    sensitive.set_sensitive(true);
    facts.headers.insert("x-plain", sensitive);
    let head = head(
        502,
        &[("x-amzn-security-token", "hunter2"), ("x-request-id", "7")],
    );

    let failure = Failure::answered(head.status, None);
    let diagnosis = Diagnosis::new(&facts, failure).response(&head);

    for text in [diagnosis.to_string(), format!("{diagnosis:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
        for shown in [
            "?id=1&api_key=REDACTED&",
            "&flag'",
            "-H 'accept: */*'",
            "https://REDACTED@host/a",
            "7",
        ] {
            assert!(text.contains(shown), "{shown}: {text}");
        }
    }
}

#[test]
fn the_command_is_safe_to_paste() {
    for (facts, expected) in [
        (
            facts("HEAD", "http://h/", &[("x-empty", ""), ("host", "h")]),
            "curl -i -g --path-as-is --head -H 'x-empty;' 'http://h/'",
        ),
        (
            facts(
                "DELETE",
                "http://h/it's;$(id)",
                &[("x", "'; rm -rf / #`$HOME`")],
            ),
            r#"curl -i -g --path-as-is -X DELETE -H 'x: '\''; rm -rf / #`$HOME`' 'http://h/it'\''s;$(id)'"#,
        ),
        (
            facts("GET", "/only", &[]),
            "curl -i -g --path-as-is '/only'",
        ),
    ] {
        assert_eq!(curl::command(&facts), expected);
    }
}

#[test]
fn long_values_and_many_headers_are_cut() {
    let mut head = head(502, &[("server", &"x".repeat(1000))]);
    for number in 0..100 {
        head.headers
            .append("via", format!("1.1 hop{number}").parse().unwrap());
    }

    let headers = telling(&head.headers);

    assert_eq!(headers.len(), HEADER_LIMIT);
    assert_eq!(headers[0].1.len(), VALUE_LIMIT + 3);
}

#[test]
fn every_kind_has_something_to_check() {
    for kind in ErrorKind::ALL {
        assert!(!advice::next(Failure::new(*kind)).is_empty(), "{kind}");
    }
}

proptest! {
    #[test]
    fn no_uri_keeps_its_secret(user in "[a-z]{0,4}", name in "[a-z%&=?/]{0,12}", tail in "[ -~]{0,20}") {
        let uri = format!("http://{user}:hunter2@host/?{name}token=hunter2");
        prop_assert!(!redact_uri(&uri).contains("hunter2"), "{uri}");
        // Any text is taken.
        redact_uri(&tail);
    }
}
