//! Numbers as JSON texts: compared and turned into integers exactly, whatever their size.

use std::cmp::Ordering;

/// `0.digits * 10^exponent`. No digits for zero.
#[derive(Debug, Eq, PartialEq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

/// Compares the numbers that two JSON texts stand for.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    // What has so few digits is told apart by a float, if it has no exponent.
    let is_short = |text: &str| text.len() <= 15 && !text.contains(['e', 'E']);
    if is_short(left)
        && is_short(right)
        && let (Ok(left), Ok(right)) = (left.parse::<f64>(), right.parse::<f64>())
        && left.is_finite()
        && right.is_finite()
    {
        return left.partial_cmp(&right).unwrap_or(Ordering::Equal);
    }
    Decimal::new(left).cmp(&Decimal::new(right))
}

/// The text of a number without a fraction, in digits only; `None` where there is a fraction, or more digits than any integer type has.
pub(crate) fn integer(text: &str) -> Option<String> {
    let Decimal {
        is_negative,
        mut digits,
        exponent,
    } = Decimal::new(text);
    if digits.is_empty() {
        return Some("0".to_owned());
    }
    let length = usize::try_from(exponent).ok()?;
    if length < digits.len() || length > MAX_DIGITS.max(digits.len()) {
        return None;
    }
    digits.push_str(&"0".repeat(length - digits.len()));
    Some(if is_negative {
        format!("-{digits}")
    } else {
        digits
    })
}

/// Whether a text is a JSON number, whole.
pub(crate) fn is_number(text: &str) -> bool {
    let looks = text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_digit());
    looks && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The sum of JSON numbers: exact where all have no fraction. `None` where it is no finite number.
pub(crate) fn sum(numbers: &[&str]) -> Option<String> {
    let exact = numbers.iter().try_fold(0_i128, |sum, number| {
        sum.checked_add(integer(number)?.parse().ok()?)
    });
    match exact {
        Some(sum) => Some(sum.to_string()),
        None => float(numbers.iter().filter_map(|number| float_of(number)).sum()),
    }
}

/// `number * by + plus`: exact where none has a fraction. `None` where it is no finite number.
pub(crate) fn scale(number: &str, by: &str, plus: &str) -> Option<String> {
    let whole = |text| integer(text)?.parse::<i128>().ok();
    let exact = whole(number)
        .zip(whole(by))
        .and_then(|(number, by)| number.checked_mul(by)?.checked_add(whole(plus)?));
    match exact {
        Some(number) => Some(number.to_string()),
        None => float(float_of(number)? * float_of(by)? + float_of(plus)?),
    }
}

fn float_of(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn float(number: f64) -> Option<String> {
    serde_json::Number::from_f64(number).map(|number| number.to_string())
}

const MAX_DIGITS: usize = 40;

// === impl Decimal ===

impl Decimal {
    fn new(text: &str) -> Self {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        // Beyond this, nothing of the mantissa counts.
        let limit = if exponent.starts_with('-') {
            i64::MIN / 4
        } else {
            i64::MAX / 4
        };
        let exponent = exponent
            .parse()
            .unwrap_or(limit)
            .clamp(i64::MIN / 4, i64::MAX / 4);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let leading = all.len() - all.trim_start_matches('0').len();
        let digits = all.trim_matches('0').to_owned();
        let place = |count: usize| i64::try_from(count).unwrap_or(i64::MAX / 4);
        Self {
            is_negative: is_negative && !digits.is_empty(),
            exponent: exponent + place(whole.len()) - place(leading),
            digits,
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let signs = sign(self).cmp(&sign(other));
        if signs.is_ne() || self.digits.is_empty() {
            return signs;
        }
        let sizes = self
            .exponent
            .cmp(&other.exponent)
            .then_with(|| self.digits.cmp(&other.digits));
        if self.is_negative {
            sizes.reverse()
        } else {
            sizes
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_compared_exactly() {
        for (left, right, expected) in [
            ("1", "1.0", Ordering::Equal),
            ("-0", "0.0", Ordering::Equal),
            ("100", "1e2", Ordering::Equal),
            ("9007199254740993", "9007199254740992", Ordering::Greater),
            ("-9007199254740993", "-9007199254740992", Ordering::Less),
            ("1e400", "1e399", Ordering::Greater),
            ("1e-400", "0", Ordering::Greater),
            ("-1e400", "1", Ordering::Less),
            ("1e99999999999999999999", "1e400", Ordering::Greater),
            ("1e-99999999999999999999", "1e-400", Ordering::Less),
            ("0.1", "0.10000000000000000001", Ordering::Less),
            ("0e99999999999999999999", "0", Ordering::Equal),
        ] {
            assert_eq!(compare(left, right), expected, "{left} {right}");
            assert_eq!(compare(right, left), expected.reverse(), "{right} {left}");
        }
    }

    #[test]
    fn integers_are_made_only_where_that_is_exact() {
        for (text, expected) in [
            ("7", Some("7")),
            ("-7.0", Some("-7")),
            ("1.5e1", Some("15")),
            ("1e3", Some("1000")),
            ("-0.0", Some("0")),
            ("9007199254740993", Some("9007199254740993")),
            ("18446744073709551616.0", Some("18446744073709551616")),
            ("7.5", None),
            ("1e-1", None),
            ("1e400", None),
            ("1e9999999999999999999", None),
        ] {
            assert_eq!(integer(text).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn floats_are_compared_as_floats_are(left in any::<i32>(), right in any::<i32>(), shift in 0..20_u8) {
            let scale = 10_f64.powi(shift.into());
            let (left, right) = (f64::from(left) / scale, f64::from(right) / scale);
            let order = left.partial_cmp(&right).unwrap();
            prop_assert_eq!(compare(&format!("{left:e}"), &format!("{right:e}")), order);
        }
    }
}
