use portcullis_gateway_error::InvalidConfig;

/// A share of the requests, kept in whole millionths so that no sum of it is rounded. From 0 to 1000, that is a thousand attempts for each request.
///
/// ```
/// use portcullis_retry_on_gateway_error::Ratio;
///
/// assert_eq!(Ratio::percent(70), Ratio::from_f64(0.7)?);
/// assert_eq!(Ratio::percent(70), Ratio::per_million(700_000));
/// # Ok::<_, portcullis_gateway_error::InvalidConfig>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ratio {
    millionths: u32,
}

// === impl Ratio ===

impl Ratio {
    /// So many of a hundred. More than 100,000 is the same as that.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self::per_million(percent.saturating_mul(10_000))
    }

    /// So many of a million. More than 1,000,000,000 is the same as that.
    #[must_use]
    pub const fn per_million(millionths: u32) -> Self {
        let millionths = if millionths > MAX_MILLIONTHS {
            MAX_MILLIONTHS
        } else {
            millionths
        };
        Self { millionths }
    }

    /// The nearest millionth to this number: 0.2 is 20 %.
    ///
    /// # Errors
    /// When it is not a number, negative, or above 1000.
    pub fn from_f64(ratio: f64) -> Result<Self, InvalidConfig> {
        if !(0.0..=1000.0).contains(&ratio) {
            let message = format!("must be from 0 to 1000, is {ratio}");
            return Err(InvalidConfig::whole(message));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "from 0 to 1,000,000,000, and rounded"
        )]
        let millionths = (ratio * 1_000_000.0).round() as u32;
        Ok(Self { millionths })
    }

    /// Returns how many of a million it is.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.millionths
    }
}

const MAX_MILLIONTHS: u32 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_millionth_is_taken_and_nonsense_is_refused() {
        for (ratio, expected) in [
            (0.0, Ok(0)),
            (0.15, Ok(150_000)),
            (0.7, Ok(700_000)),
            (0.000_000_6, Ok(1)),
            (0.000_000_4, Ok(0)),
            (1000.0, Ok(1_000_000_000)),
            (-0.1, Err("must be from 0 to 1000, is -0.1")),
            (1000.1, Err("must be from 0 to 1000, is 1000.1")),
            (f64::NAN, Err("must be from 0 to 1000, is NaN")),
            (f64::INFINITY, Err("must be from 0 to 1000, is inf")),
        ] {
            let read = Ratio::from_f64(ratio).map(Ratio::millionths);

            assert_eq!(
                read.map_err(|mistake| mistake.to_string()),
                expected.map_err(str::to_owned),
                "{ratio}"
            );
        }
    }

    #[test]
    fn a_ratio_beyond_the_limit_is_the_limit() {
        assert_eq!(Ratio::percent(u32::MAX), Ratio::percent(100_000));
        assert_eq!(Ratio::per_million(u32::MAX), Ratio::percent(100_000));
    }
}
