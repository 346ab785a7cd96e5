//! `application/x-www-form-urlencoded` after [WHATWG URL, section 5](https://url.spec.whatwg.org/#application/x-www-form-urlencoded).

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr2};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use super::error::FormError;
use super::{Field, FieldKind, MAX_FIELDS};

/// Everything but the unreserved characters of RFC 3986, section 2.3, which every reader of forms takes as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

pub(crate) fn fields(input: &Bytes) -> Result<(Vec<Field>, Range<usize>), FormError> {
    let mut fields = Vec::new();
    let end = input.len();
    let mut start = 0;
    // An empty body has no pair, not even an empty one.
    while end > 0 && start <= end {
        let rest = input.get(start..).unwrap_or_default();
        let whole = start..start + memchr(b'&', rest).unwrap_or(rest.len());
        let pair = input.slice(whole.clone());
        let equals = memchr(b'=', &pair);
        let raw_name = start..start + equals.unwrap_or(pair.len());
        let raw_value = equals.map_or(whole.end, |equals| start + equals + 1)..whole.end;
        if fields.len() == MAX_FIELDS {
            return Err(FormError::too_many(MAX_FIELDS));
        }
        start = whole.end + 1;
        fields.push(Field {
            name: decode(input.slice(raw_name.clone())),
            value: decode(input.slice(raw_value.clone())),
            whole,
            raw_name,
            raw_value,
            kind: FieldKind::Pair,
        });
    }
    Ok((fields, end..end))
}

pub(crate) fn encode(bytes: &[u8]) -> Vec<u8> {
    percent_encode(bytes, ENCODED)
        .collect::<String>()
        .into_bytes()
}

/// What is written is a part of the input where nothing is encoded. A broken escape stays as it is.
fn decode(raw: Bytes) -> Bytes {
    if memchr2(b'%', b'+', &raw).is_none() {
        return raw;
    }
    let spaced: Vec<u8> = raw
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    percent_decode(&spaced).collect::<BytesMut>().freeze()
}
