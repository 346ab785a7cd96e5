use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_gateway_error::InvalidConfig;

use super::{Generate, Now};

/// Time and chance, as all rules of a mapping have them.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) clock: Arc<Clock>,
    pub(crate) random: Arc<Random>,
}

type Clock = dyn Fn() -> SystemTime + Send + Sync;

/// Fills all bytes, or says that it cannot.
type Random = dyn Fn(&mut [u8]) -> bool + Send + Sync;

/// A [`Generate`] that was checked.
#[derive(Debug)]
pub(crate) struct Generator {
    what: Generate,
    sources: Sources,
}

// === impl Generator ===

impl Generator {
    pub(crate) fn new(what: Generate, sources: &Sources) -> Result<Self, InvalidConfig> {
        match what {
            Generate::RandomHex(bytes) if !(1..=MAX_RANDOM).contains(&usize::from(bytes)) => {
                return Err(InvalidConfig::new(
                    "random_hex",
                    format!("must be from 1 to {MAX_RANDOM} bytes, is {bytes}"),
                ));
            }
            _ => {}
        }
        let sources = sources.clone();
        Ok(Self { what, sources })
    }

    /// The JSON text, or why there is none.
    pub(crate) fn make(&self) -> Result<String, &'static str> {
        Ok(match self.what {
            Generate::Uuid => {
                let bytes = self.random()?;
                let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
                format!("\"{uuid}\"")
            }
            Generate::UuidV7 => {
                let millis = u64::try_from(self.now()?.as_millis()).map_err(|_| NO_TIME)?;
                let bytes = self.random()?;
                let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &bytes);
                format!("\"{}\"", uuid.into_uuid())
            }
            Generate::Now(Now::Unix) => self.now()?.as_secs().to_string(),
            Generate::Now(Now::UnixMillis) => self.now()?.as_millis().to_string(),
            Generate::Now(Now::Rfc3339) => {
                let now = self.now()?;
                if now.as_secs() > LAST_SECOND {
                    return Err(NO_TIME);
                }
                let now = SystemTime::UNIX_EPOCH + now;
                format!("\"{}\"", humantime::format_rfc3339_seconds(now))
            }
            Generate::RandomHex(count) => {
                let bytes: [u8; MAX_RANDOM] = self.random()?;
                let bytes = bytes.get(..usize::from(count)).unwrap_or(&bytes);
                format!("\"{}\"", hex(bytes))
            }
        })
    }

    /// Since 1970.
    fn now(&self) -> Result<Duration, &'static str> {
        let now = (self.sources.clock)();
        now.duration_since(SystemTime::UNIX_EPOCH)
            .map_err(|_| NO_TIME)
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], &'static str> {
        let mut bytes = [0; N];
        if (self.sources.random)(&mut bytes) {
            Ok(bytes)
        } else {
            Err("random numbers cannot be had")
        }
    }
}

// === impl Sources ===

impl Default for Sources {
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock of those who give no other"
    )]
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemTime::now),
            random: Arc::new(|bytes| getrandom::fill(bytes).is_ok()),
        }
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

/// In lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0');
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}

const MAX_RANDOM: usize = 64;

/// That of the year 9999, behind which RFC 3339 has no word.
const LAST_SECOND: u64 = 253_402_300_799;

const NO_TIME: &str = "the clock shows no time that can be written";

#[cfg(test)]
mod tests {
    use super::*;

    fn made(what: Generate, seconds: u64) -> Result<String, &'static str> {
        let sources = Sources {
            clock: Arc::new(move || {
                SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7)
            }),
            random: Arc::new(|bytes| {
                bytes.fill(0xab);
                true
            }),
        };
        Generator::new(what, &sources).unwrap().make()
    }

    #[test]
    fn each_is_made_of_the_clock_and_of_chance() {
        for (what, expected) in [
            (Generate::Uuid, "\"abababab-abab-4bab-abab-abababababab\""),
            (Generate::UuidV7, "\"01941f29-7c07-7bab-abab-abababababab\""),
            (Generate::Now(Now::Unix), "1735689600"),
            (Generate::Now(Now::UnixMillis), "1735689600007"),
            (Generate::Now(Now::Rfc3339), "\"2025-01-01T00:00:00Z\""),
            (Generate::RandomHex(3), "\"ababab\""),
        ] {
            assert_eq!(made(what, 1_735_689_600).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_time_that_cannot_be_written_is_told() {
        let what = Generate::Now(Now::Rfc3339);
        assert_eq!(
            made(what, LAST_SECOND).as_deref(),
            Ok("\"9999-12-31T23:59:59Z\"")
        );
        assert_eq!(made(what, LAST_SECOND + 1), Err(NO_TIME));
    }

    #[test]
    fn no_two_are_alike_where_nothing_is_replaced() {
        let generator = Generator::new(Generate::Uuid, &Sources::default()).unwrap();

        assert_ne!(generator.make(), generator.make());
    }

    #[test]
    fn so_many_bytes_must_be_possible() {
        for bytes in [0, 65] {
            let mistake = Generator::new(Generate::RandomHex(bytes), &Sources::default());

            let message = format!("random_hex: must be from 1 to 64 bytes, is {bytes}");
            assert_eq!(mistake.unwrap_err().to_string(), message);
        }
    }
}
