//! Amazon's event streams, written anew for the tests: lengths, headers that are texts, a payload, and checksums.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// The bytes of frames: `{"event": name, "data": …}`, `{"exception": name, "data": …}`, and `{"chunk": …}` for an event `chunk` that holds it in base64.
#[must_use]
pub fn frames(frames: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        let (kind, name, data) = if let Some(chunk) = frame.get("chunk") {
            let encoded = BASE64_STANDARD.encode(chunk.to_string());
            ("event", "chunk", json!({"bytes": encoded, "p": "abcd"}))
        } else if let Some(name) = frame["exception"].as_str() {
            ("exception", name, frame["data"].clone())
        } else {
            let name = frame["event"].as_str().unwrap_or_default();
            ("event", name, frame["data"].clone())
        };
        let type_name = format!(":{kind}-type");
        let headers = [
            (&*type_name, name),
            (":content-type", "application/json"),
            (":message-type", kind),
        ];
        bytes.extend(message(&headers, data.to_string().as_bytes()));
    }
    bytes
}

fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    for (name, value) in headers {
        written.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        written.extend(name.bytes());
        written.push(7);
        written.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        written.extend(value.bytes());
    }
    let total = u32::try_from(16 + written.len() + payload.len()).unwrap_or(u32::MAX);
    let mut bytes = total.to_be_bytes().to_vec();
    bytes.extend(
        u32::try_from(written.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes(),
    );
    bytes.extend(checksum(&bytes).to_be_bytes());
    bytes.extend(written);
    bytes.extend(payload);
    bytes.extend(checksum(&bytes).to_be_bytes());
    bytes
}

/// CRC-32, bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    });
    !sum
}

#[cfg(test)]
#[test]
fn the_checksum_is_the_known_one() {
    assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
}
