//! `hash` and `hmac`: what stands for a value where the value itself must not.

use std::borrow::Cow;
use std::fmt;

use hmac::{Hmac, Mac};
use portcullis_gateway_error::InvalidConfig;
use sha2::{Digest, Sha256};

use crate::generate::make::hex;
use crate::json;
use crate::out::Text;

/// A key that was read, and is never shown.
#[derive(Clone)]
pub(crate) struct Key(Hmac<Sha256>);

/// In hexadecimal, as JSON.
pub(crate) fn hash(value: &Text<'_>) -> String {
    format!("\"{}\"", hex(&Sha256::digest(bytes(value).as_bytes())))
}

/// The same with a key.
pub(crate) fn hmac(value: &Text<'_>, key: &Key) -> String {
    let Key(mac) = key.clone();
    let code = mac.chain_update(bytes(value).as_bytes()).finalize();
    format!("\"{}\"", hex(&code.into_bytes()))
}

/// What a string says, or the JSON text of anything else.
fn bytes<'a>(value: &'a Text<'_>) -> Cow<'a, str> {
    if value.text.starts_with('"') {
        json::decode_string(&value.text)
    } else {
        Cow::Borrowed(&value.text)
    }
}

// === impl Key ===

impl Key {
    /// Of a secret, as JSON.
    pub(crate) fn new(secret: &str) -> Result<Self, InvalidConfig> {
        let secret = json::decode_string(secret);
        if secret.is_empty() {
            return Err(InvalidConfig::new("key", "is empty"));
        }
        let key = Hmac::new_from_slice(secret.as_bytes());
        key.map(Self)
            .map_err(|_| InvalidConfig::new("key", "is no key"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standards_hold() {
        // FIPS 180-4 and RFC 4231, section 4.3.
        let key = Key::new("\"Jefe\"").unwrap();

        assert_eq!(
            hash(&Text::constant("\"abc\"")),
            "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""
        );
        assert_eq!(
            hmac(&Text::constant("\"what do ya want for nothing?\""), &key),
            "\"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843\""
        );
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", Key::new("\"k\"").unwrap()), "Key(..)");
        assert_eq!(Key::new("\"\"").unwrap_err().to_string(), "key: is empty");
    }
}
