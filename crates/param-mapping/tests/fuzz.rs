//! The fuzz targets with seeded random and mutated inputs, for where there is no fuzzer.
//!
//! `PORTCULLIS_FUZZ_RUNS` says how many inputs each target gets, 2000 by default. A failure names the seed and the input, which repeat.
#![cfg(test)]
#![cfg(all(feature = "codings", feature = "config"))]

#[path = "fuzz/targets.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use fastrand::Rng;

/// Inputs near what a target reads.
const JSON: &[&str] = &[
    r#"{"a":{"x":[1,2.5e3,-0]},"b":{},"e":["",null]}"#,
    r#"{"a":"\u00e9\ud83d\ude00\\\"","a":1,"d":null,"e":{}}"#,
    "[[[[{}]]],1e400,18446744073709551615,true]",
    " \t\n\"text\" ",
];

const QUERIES: &[&str] = &["q=1&r=2&x=%7e&&q", "p=a+b&%71=3&x==&y", ""];

const CONFIGS: &[&str] = &[
    "rules:\n  - {move: body:/a, to: body:/b/c, require: true}\n  - {set: header:x-a, value: 1}\n",
    "max_body_bytes: 10\nrules: [{default: 'query:a', value: {b: [1, null]}}, {remove: body:/~0~1}]",
    "rules: &a\n- {require: header:x}\n- *a\n",
];

const STREAMS: &[&str] = &[
    "\u{3}data: {\"a\":1}\r\n\r\n: c\nevent: x\ndata: y\ndata\n\nid: 1\rretry: 2\r\r",
    "\u{1}{\"a\":1}\n\n[]\r\n\"x",
    "\u{2} [ {\"a\":[\"]}\"]} ,1.5,\"x\\\"\" , [] ]\n",
    "\u{0}\u{feff}data: 1\n\ndata: \u{20ac}",
];

const FORMS: &[&str] = &[
    "a=1&b=2&c=%20+&&=",
    "--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xYz\r\nContent-Disposition: form-data; \
     filename=\"b;\\\"\"; name=b\r\nContent-Type: image/png\r\n\r\n\u{0}\r\n\r\n--xYz--\r\n",
];

const HEADS: &[&str] = &["a=1; b=\"2\";c\nxyz", "/b/{a}:c\n/b/x%2f:c", "/x\n%252e."];

/// What is put in between.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b"\\ud800",
    b",",
    b":",
    b"&",
    b"=",
    b"%",
    b"%2f",
    b"data:",
    b"--xYz",
    b"--",
    b"name=",
    b";",
    b" ",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\x00",
    b"1e999",
    b"- ",
    b"*a",
    b"a",
];

fn run(name: &str, seeds: &[Vec<u8>], target: fn(&[u8])) {
    let runs = std::env::var("PORTCULLIS_FUZZ_RUNS");
    let runs = runs
        .ok()
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(2000_u64);
    for seed in 0..runs {
        let mut rng = Rng::with_seed(seed);
        let input = input(&mut rng, seeds);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input))) {
            eprintln!("{name}, seed {seed}: b\"{}\"", input.escape_ascii());
            resume_unwind(panic);
        }
    }
}

/// Random bytes, or a seed with some changes.
fn input(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    if rng.u8(..8) == 0 {
        let len = rng.usize(..64);
        return (0..len).map(|_| rng.u8(..)).collect();
    }
    let mut input = rng.choice(seeds).cloned().unwrap_or_default();
    for _ in 0..rng.u8(..6) {
        let at = rng.usize(..=input.len());
        let end = rng.usize(at..=input.len());
        match rng.u8(..6) {
            0 => drop(input.drain(at..end)),
            1 => input.truncate(at),
            2 => {
                let part = input[at..end].to_vec();
                let to = rng.usize(..=input.len());
                input.splice(to..to, part);
            }
            3 => {
                let other = rng.choice(seeds).cloned().unwrap_or_default();
                let from = rng.usize(..=other.len());
                input.splice(at..end, other[from..].iter().copied());
            }
            4 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
            _ => {
                let word = rng.choice(WORDS).copied().unwrap_or_default();
                input.splice(at..at, word.iter().copied());
            }
        }
    }
    input
}

fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn json_bodies() {
    run("json", &bytes(JSON), targets::json);
}

#[test]
fn queries() {
    run("query", &bytes(QUERIES), targets::query);
}

#[test]
fn configs() {
    run("config", &bytes(CONFIGS), targets::config);
}

#[test]
fn streams() {
    run("stream", &bytes(STREAMS), targets::stream);
}

#[test]
fn forms() {
    run("form", &bytes(FORMS), targets::form);
}

#[test]
fn codings() {
    let gzip = b"\x00\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x01\x02\x00\xfd\xff{}\x43\xbf\xa6\xa3\x02\x00\x00\x00";
    let zlib = b"\x01\x78\x9c\xab\xae\x05\x00\x01\x75\x00\xf9";
    let brotli = b"\x02\x0b\x01\x80{}\x03";
    let seeds = [gzip.to_vec(), zlib.to_vec(), brotli.to_vec()];
    run("coding", &seeds, targets::coding);
}

#[test]
fn cookies_and_paths() {
    run("head", &bytes(HEADS), targets::head);
}
