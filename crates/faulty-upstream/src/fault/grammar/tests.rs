use proptest::prelude::*;

use super::*;

#[test]
fn each_fault_reads_and_writes_its_text() {
    for (text, written) in [
        ("ok", "ok"),
        ("status=503", "status=503"),
        (
            "status = 503 ; times = 2 ; retry-after=2",
            "status=503;retry-after=2;times=2",
        ),
        (
            "status=429;retry-after=imf-fixdate+2",
            "status=429;retry-after=imf-fixdate+2",
        ),
        (
            "status=429;retry-after=rfc850+2",
            "status=429;retry-after=rfc850+2",
        ),
        (
            "status=429;retry-after=asctime+2",
            "status=429;retry-after=asctime+2",
        ),
        ("status=502;ratio=0.25", "status=502;ratio=0.25"),
        ("status=502;early=10", "status=502;early=10"),
        (
            "status=502;processed;work=2s;delay=10ms",
            "status=502;processed;delay=10ms;work=2s",
        ),
        ("stall=1500ms", "stall=1s500ms"),
        ("stall=2s;after=10", "stall=2s;after=10"),
        ("trickle=10ms", "trickle=10ms;piece=1"),
        ("trickle=10ms;piece=3", "trickle=10ms;piece=3"),
        ("reset", "reset"),
        ("reset=head", "reset=head"),
        ("reset=body", "reset=body;after=1"),
        ("close=body;after=7", "close=body;after=7"),
        ("close", "close"),
        ("garbage", "garbage"),
        ("truncated-chunk", "truncated-chunk"),
        ("wrong-length=-5", "wrong-length=-5"),
        ("unsaid-close", "unsaid-close"),
        ("interim=103", "interim=103;count=1"),
        ("interim=100;count=3", "interim=100;count=3"),
        ("large-head", "large-head=1048576"),
        ("goaway", "goaway=NO_ERROR"),
        ("goaway=2;last=this", "goaway=INTERNAL_ERROR;last=this"),
        ("rst-stream=refused_stream", "rst-stream=REFUSED_STREAM"),
        ("rst-stream=99;after=0", "rst-stream=99;after=0"),
        ("grpc-status=14", "grpc-status=UNAVAILABLE"),
        (
            "grpc-status=UNAVAILABLE;message=a%2C%20b;pushback=100ms;in=trailers",
            "grpc-status=UNAVAILABLE;message=a%2C%20b;pushback=100ms;in=trailers",
        ),
        (
            "grpc-status=77;pushback=stop",
            "grpc-status=77;pushback=stop",
        ),
    ] {
        let fault: Fault = text.parse().unwrap();
        assert_eq!(fault.to_string(), written, "{text}");
        assert_eq!(written.parse(), Ok(fault), "{text}");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, message) in [
        ("", r#"bad fault at byte 0, "": is no fault that there is"#),
        (
            "statu=503",
            r#"bad fault at byte 0, "statu=503": is no fault that there is"#,
        ),
        (
            "status",
            r#"bad fault at byte 0, "status": wants a status from 200 to 599"#,
        ),
        (
            "status=103",
            r#"bad fault at byte 0, "status=103": wants a status from 200 to 599"#,
        ),
        (
            "status=503; times=0",
            r#"bad fault at byte 12, "times=0": wants a number from 1"#,
        ),
        (
            "status=503;ratio=NaN",
            r#"bad fault at byte 11, "ratio=NaN": wants a number from 0 to 1"#,
        ),
        (
            "status=503;times=1;times=2",
            r#"bad fault at byte 19, "times=2": is unknown, said twice, or does not fit this fault"#,
        ),
        (
            "status=503;early=1;processed",
            r#"bad fault at byte 19, "processed": does not fit with early"#,
        ),
        (
            "trickle=1ms;early=1",
            r#"bad fault at byte 12, "early=1": does not fit: this fault needs the whole request"#,
        ),
        (
            "stall=soon",
            r#"bad fault at byte 0, "stall=soon": wants a duration, as 250ms or 2s"#,
        ),
        (
            "reset=tail",
            r#"bad fault at byte 0, "reset=tail": wants head or body"#,
        ),
        (
            "reset=head;after=1",
            r#"bad fault at byte 11, "after=1": is unknown, said twice, or does not fit this fault"#,
        ),
        (
            "garbage=1",
            r#"bad fault at byte 0, "garbage=1": takes no value"#,
        ),
    ] {
        assert_eq!(
            text.parse::<Fault>().unwrap_err().to_string(),
            message,
            "{text}"
        );
    }
}

#[test]
fn list_has_commas_or_lines_and_counts_places_through() {
    let faults = parse_list("status=503, reset\n\n ok,").unwrap();
    assert_eq!(faults.len(), 3);

    assert_eq!(parse_list("ok,\n rest").unwrap_err().at(), 5);
    assert_eq!(parse_list(&"ok,".repeat(1001)).unwrap_err().at(), 3000);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        let _ = parse_list(&text);
    }

    #[test]
    fn what_is_read_is_written_so_that_it_reads_again(
        text in "(status=50[0-9]|reset=body|goaway=[0-9]{1,2}|stall=[0-9]{1,3}ms|grpc-status=[0-9]{1,2};message=[a-z%, ]{0,6})(;(times|after|early|delay|ratio|work)=[0-9.]{1,3}(ms)?){0,3}"
    ) {
        if let Ok(faults) = parse_list(&text) {
            for fault in faults {
                prop_assert_eq!(fault.to_string().parse::<Fault>(), Ok(fault.clone()));
            }
        }
    }
}
