use std::io;

use bytes::{Bytes, BytesMut};
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{BrotliEncoder, EncodeV2, GzipEncoder, ZlibEncoder, deflate, flate};
use http::HeaderValue;
use http_body::Body;
use http_body_util::BodyExt;
use portcullis_test_support::{ScriptBody, Step};
use proptest::prelude::*;

use super::*;

const ALL: &[Coding] = &[
    Coding::Gzip,
    Coding::Deflate,
    Coding::Brotli,
    #[cfg(feature = "zstd")]
    Coding::Zstd,
];

fn encoder(coding: Coding) -> Box<dyn EncodeV2> {
    let level: flate::params::FlateEncoderParams = compression_codecs::core::Level::Default.into();
    match coding {
        Coding::Gzip => Box::new(GzipEncoder::new(level)),
        Coding::Deflate => Box::new(ZlibEncoder::new(level)),
        Coding::Brotli => Box::new(BrotliEncoder::new(
            compression_codecs::brotli::params::EncoderParams::default(),
        )),
        #[cfg(feature = "zstd")]
        Coding::Zstd => Box::new(compression_codecs::ZstdEncoder::new(3)),
    }
}

/// Encodes all of this, or so that what was encoded so far can be decoded.
fn run(encoder: &mut dyn EncodeV2, text: &[u8], is_last: bool) -> io::Result<Vec<u8>> {
    let mut encoded = Vec::new();
    let mut input = PartialBuffer::new(text);
    let mut room = vec![0; 4096];
    loop {
        let mut output = WriteBuffer::new_initialized(&mut room);
        let is_done = if !input.unwritten().is_empty() {
            encoder.encode(&mut input, &mut output)?;
            false
        } else if is_last {
            encoder.finish(&mut output)?
        } else {
            encoder.flush(&mut output)?
        };
        encoded.extend_from_slice(output.written());
        if is_done {
            return Ok(encoded);
        }
    }
}

fn encode(coding: Coding, text: &[u8]) -> Bytes {
    let encoded = run(&mut *encoder(coding), text, true);
    encoded.unwrap().into()
}

fn bare_deflate(text: &[u8]) -> Bytes {
    let mut encoder = deflate::DeflateEncoder::new(compression_codecs::core::Level::Default.into());
    run(&mut encoder, text, true).unwrap().into()
}

const LIMITS: DecodeLimits = DecodeLimits::new(1024 * 1024);

fn headers(lines: &[&'static str]) -> HeaderMap {
    let line = |line: &&'static str| (CONTENT_ENCODING, HeaderValue::from_static(line));
    let mut headers = HeaderMap::new();
    headers.extend(lines.iter().map(line));
    headers
}

#[test]
fn codings_are_read_from_all_lines() {
    for (lines, expected) in [
        (&[][..], &[][..]),
        (&["identity"], &[]),
        (&[""], &[]),
        (&["GZip"], &[Coding::Gzip]),
        (
            &["x-gzip, br", "deflate"],
            &[Coding::Gzip, Coding::Brotli, Coding::Deflate],
        ),
        #[cfg(feature = "zstd")]
        (&["zstd"], &[Coding::Zstd]),
    ] {
        let codings = Codings::from_headers(&headers(lines));
        assert_eq!(codings, Ok(expected.iter().copied().collect()), "{lines:?}");
    }
    for lines in [
        &["compress"][..],
        &["gzip;q=1"],
        &["br,br", "br,br"],
        &["\u{7f}"],
    ] {
        let Ok(line) = lines
            .iter()
            .map(|line| HeaderValue::from_str(line))
            .collect::<Result<Vec<_>, _>>()
        else {
            continue;
        };
        let mut headers = HeaderMap::new();
        headers.extend(line.into_iter().map(|line| (CONTENT_ENCODING, line)));
        let error = Codings::from_headers(&headers).unwrap_err();
        assert!(error.is_unsupported(), "{lines:?}");
    }
}

#[test]
fn errors_say_what_is_wrong_and_which_limit() {
    for (error, text) in [
        (
            CodingError::too_large(9),
            "the decoded body is longer than 9 bytes",
        ),
        (
            CodingError::ratio(9),
            "the body decodes to more than 9 times its size",
        ),
        (
            CodingError::broken(Coding::Gzip),
            "the body is not valid gzip",
        ),
        (
            CodingError::cut_off(Coding::Brotli),
            "the br body breaks off",
        ),
        (
            CodingError::trailing(Coding::Deflate),
            "the body goes on after its deflate data",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
    let text = CodingError::unsupported().to_string();
    assert_eq!(text.ends_with("br and zstd"), cfg!(feature = "zstd"));
}

#[test]
fn each_coding_is_decoded() {
    let text = br#"{"model":"gpt-4o","messages":[]}"#.repeat(1000);
    for &coding in ALL {
        let decoded = decode(&coding.into(), encode(coding, &text), LIMITS);
        assert_eq!(decoded.as_deref(), Ok(&text[..]), "{coding:?}");
    }
    for text in [&text[..], b"", b"x"] {
        let decoded = decode(&Coding::Deflate.into(), bare_deflate(text), LIMITS);
        assert_eq!(decoded.as_deref(), Ok(text), "bare deflate");
    }
}

#[test]
fn codings_are_taken_off_in_the_order_last_to_first() {
    let codings: Codings = ALL.iter().copied().collect();
    let text = b"data".repeat(10_000);
    let encoded = ALL.iter().fold(Bytes::from(text.clone()), |body, &coding| {
        encode(coding, &body)
    });

    let decoded = decode(&codings, encoded, LIMITS).unwrap();

    assert_eq!(decoded, text);
}

#[test]
fn an_empty_body_and_one_without_coding_pass() {
    let body = Bytes::from_static(b"text");
    let same = decode(&Codings::default(), body.clone(), LIMITS).unwrap();
    assert_eq!(same.as_ptr(), body.as_ptr());
    assert!(decode(&Codings::default(), body, DecodeLimits::new(3)).is_err());
    for &coding in ALL {
        assert_eq!(
            decode(&coding.into(), Bytes::new(), LIMITS),
            Ok(Bytes::new())
        );
    }
}

#[test]
fn members_and_frames_follow_each_other() {
    for (coding, follows) in [
        (Coding::Gzip, true),
        #[cfg(feature = "zstd")]
        (Coding::Zstd, true),
        (Coding::Brotli, false),
        (Coding::Deflate, false),
    ] {
        let body = [encode(coding, b"one"), encode(coding, b"two")].concat();
        let decoded = decode(&coding.into(), body.into(), LIMITS);
        let expected = if follows {
            Ok(Bytes::from_static(b"onetwo"))
        } else {
            Err(CodingError::trailing(coding))
        };
        assert_eq!(decoded, expected);
    }
}

#[test]
fn what_is_cut_off_or_broken_is_an_error() {
    let text = b"some text that is long enough".repeat(100);
    for &coding in ALL {
        let encoded = encode(coding, &text);
        for len in 1..encoded.len() {
            let result = decode(&coding.into(), encoded.slice(..len), LIMITS);
            assert_eq!(result, Err(CodingError::cut_off(coding)), "{len}");
        }
        let mut broken = BytesMut::from(&b"\xff\xff\xff\xff\xff\xff\xff\xff"[..]);
        broken.extend_from_slice(&encoded);
        let error = decode(&coding.into(), broken.freeze(), LIMITS).unwrap_err();
        assert!(!error.is_too_large(), "{coding:?} {error}");
    }
}

#[test]
fn a_wrong_checksum_is_an_error() {
    let mut body = encode(Coding::Gzip, b"text").to_vec();
    let last = body.len() - 8;
    body[last] ^= 1;
    let result = decode(&Coding::Gzip.into(), body.into(), LIMITS);
    assert_eq!(result, Err(CodingError::broken(Coding::Gzip)));
}

#[test]
fn a_bomb_meets_a_limit_before_it_takes_memory() {
    let zeros = vec![0; 4 * 1024 * 1024];
    for &coding in ALL {
        let bomb = encode(coding, &zeros);
        assert!(bomb.len() < zeros.len() / 500, "{coding:?}");

        let mut decoder = Decoder::new(&coding.into(), DecodeLimits::streaming());
        decoder.push(bomb.clone());
        let mut most = 0;
        let error = loop {
            match decoder.next_chunk() {
                Ok(chunk) => most = most.max(chunk.unwrap().len()),
                Err(error) => break error,
            }
        };
        assert_eq!(error, CodingError::ratio(DEFAULT_MAX_RATIO));
        assert!(most <= 16 * 1024);

        let limits = DecodeLimits::new(1000).max_ratio(u32::MAX);
        let error = decode(&coding.into(), bomb, limits).unwrap_err();
        assert_eq!(error, CodingError::too_large(1000));
    }
}

#[test]
fn a_bomb_within_a_bomb_meets_it_too() {
    let zeros = vec![0; 4 * 1024 * 1024];
    let bomb = encode(
        Coding::Gzip,
        &encode(Coding::Gzip, &encode(Coding::Gzip, &zeros)),
    );
    let codings = [Coding::Gzip; 3].into_iter().collect();
    assert!(decode(&codings, bomb, LIMITS).unwrap_err().is_too_large());
}

#[test]
fn what_was_flushed_is_given_at_once() {
    for &coding in ALL {
        let mut encoder = encoder(coding);
        let mut decoder = Decoder::new(&coding.into(), LIMITS);
        for text in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
            let encoded = run(&mut *encoder, text.as_bytes(), false).unwrap();
            decoder.push(encoded.into());
            let mut given = Vec::new();
            while let Some(chunk) = decoder.next_chunk().unwrap() {
                given.extend_from_slice(&chunk);
            }
            assert_eq!(given, text.as_bytes(), "{coding:?}");
            // Asked again without input, it has nothing, and does not mind.
            for _ in 0..40 {
                assert_eq!(decoder.next_chunk(), Ok(None), "{coding:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_is_decoded_with_its_trailers() {
    let trailers = HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]);
    let encoded = encode(Coding::Gzip, b"text");
    let inner = ScriptBody::new([
        Step::Data(encoded.slice(..5)),
        Step::Pending,
        Step::Data(encoded.slice(5..)),
        Step::Trailers(trailers.clone()),
    ]);
    let body = DecodedBody::new(inner, &Coding::Gzip.into(), LIMITS);
    assert_eq!(body.size_hint().exact(), None);

    let collected = body.collect().await.unwrap();

    assert_eq!(collected.trailers(), Some(&trailers));
    assert_eq!(collected.to_bytes(), "text");
}

#[tokio::test]
async fn errors_of_both_kinds_end_the_body() {
    let encoded = encode(Coding::Gzip, b"text");
    for (last, expected) in [
        (Step::Error("reset"), "reset"),
        (Step::data("x"), "the body is not valid gzip"),
        (Step::Data(Bytes::new()), "the gzip body breaks off"),
    ] {
        let inner = ScriptBody::new([Step::Data(encoded.slice(..1)), last]);
        let dropped = inner.dropped();
        let mut body = DecodedBody::new(inner, &Coding::Gzip.into(), LIMITS);

        let error = body.frame().await.unwrap().unwrap_err();

        let error = match error {
            DecodeError::Inner(error) => error.to_string(),
            DecodeError::Coding(error) => error.to_string(),
        };
        assert_eq!(error, expected);
        assert!(body.frame().await.is_none());
        assert!(body.is_end_stream());
        assert!(dropped.load(std::sync::atomic::Ordering::SeqCst));
    }
}

#[tokio::test]
async fn a_body_without_coding_passes_as_it_is() {
    let body = DecodedBody::new(ScriptBody::chunks(["a", "b"]), &Codings::default(), LIMITS);
    assert_eq!(body.size_hint().exact(), Some(2));
    assert_eq!(body.collect().await.unwrap().to_bytes(), "ab");
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded_however_it_is_cut(
        text in proptest::collection::vec(prop_oneof![Just(b'a'), any::<u8>()], 0..3000),
        codings in proptest::collection::vec(proptest::sample::select(ALL), 1..4),
        size in 1_usize..500,
    ) {
        let encoded = codings.iter().fold(Bytes::from(text.clone()), |body, &coding| encode(coding, &body));
        let mut decoder = Decoder::new(&codings.into_iter().collect(), LIMITS);
        let mut decoded = Vec::new();
        for chunk in encoded.chunks(size) {
            decoder.push(Bytes::copy_from_slice(chunk));
            while let Some(chunk) = decoder.next_chunk().unwrap() {
                decoded.extend_from_slice(&chunk);
            }
        }
        decoder.finish();
        while let Some(chunk) = decoder.next_chunk().unwrap() {
            decoded.extend_from_slice(&chunk);
        }
        prop_assert_eq!(decoded, text);
    }

    #[test]
    fn any_bytes_end_in_a_body_or_an_error(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        coding in proptest::sample::select(ALL),
    ) {
        let encoded = [&encode(coding, b"text")[..], &body].concat();
        for body in [body, encoded] {
            let _ = decode(&coding.into(), body.into(), LIMITS);
        }
    }
}
