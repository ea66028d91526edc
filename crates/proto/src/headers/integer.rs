//! Integers that every JSON implementation represents exactly, compared across notations.

use serde_json::Number;

/// The largest integer that may be mirrored, 2^53 - 1; the smallest is its negative
/// (`basic/transports/streamable-http#schema-extension`).
pub const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

/// The most digits a safe integer has.
const MAX_DIGITS: usize = 16;
/// Longer notations are refused.
const MAX_TEXT: usize = 64;

/// The safe integer that a JSON number is, however it is written.
pub(super) fn of_number(number: &Number) -> Option<i64> {
    let integer = match number.as_i64() {
        Some(integer) => integer,
        None => {
            let float = number.as_f64()?;
            // Beyond the safe range the cast would be lossy; inside it is exact.
            (float.fract() == 0.0 && float.abs() <= MAX_SAFE_INTEGER as f64)
                .then_some(float as i64)?
        }
    };
    safe(integer)
}

/// The safe integer that `text` denotes: `42`, `-7`, but also `42.0` and `4.2e1`, exactly and
/// without rounding.
pub(super) fn of_text(text: &str) -> Option<i64> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let (negative, unsigned) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (digits(whole)?, digits(fraction)?),
        None => (digits(mantissa)?, ""),
    };
    if whole.len() > 1 && whole.starts_with('0') {
        return None;
    }
    let magnitude = shifted(whole, fraction, exponent)?;
    safe(if negative { -magnitude } else { magnitude })
}

/// `whole.fraction * 10^exponent`, if it is an integer of at most [`MAX_DIGITS`] digits.
fn shifted(whole: &str, fraction: &str, exponent: i32) -> Option<i64> {
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let trailing_zeros = all.len() - all.trim_end_matches('0').len();
    let power =
        exponent - i32::try_from(fraction.len()).ok()? + i32::try_from(trailing_zeros).ok()?;
    let power = u32::try_from(power).ok()?;
    if significant.len() + power as usize > MAX_DIGITS {
        return None;
    }
    Some(significant.parse::<i64>().ok()? * 10_i64.pow(power))
}

fn exponent_of(text: &str) -> Option<i32> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value: i32 = digits(unsigned)
        .filter(|text| text.len() <= 4)?
        .parse()
        .ok()?;
    Some(if negative { -value } else { value })
}

fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

fn safe(integer: i64) -> Option<i64> {
    (-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER)
        .contains(&integer)
        .then_some(integer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // spec: http-headers-42
    #[test]
    fn notations_of_one_integer_are_equal() {
        for text in ["42", "42.0", "42.000", "4.2e1", "420e-1", "0.42E+2", "42e0"] {
            assert_eq!(of_text(text), Some(42), "{text}");
        }
        assert_eq!(of_text("-7"), Some(-7));
        assert_eq!(of_text("-0"), Some(0));
        assert_eq!(of_text("0.0e9999"), Some(0));
    }

    #[test]
    fn what_is_not_an_integer_is_none() {
        for text in [
            "", "-", "+1", "042", "4.5", ".5", "5.", "1e", "1e-1", "0x10", "1_0", " 1", "NaN",
            "1e99999", "1e400", "١",
        ] {
            assert_eq!(of_text(text), None, "{text}");
        }
    }

    // spec: http-headers-18
    #[test]
    fn the_safe_range_ends_at_two_to_the_53() {
        assert_eq!(of_text("9007199254740991"), Some(MAX_SAFE_INTEGER));
        assert_eq!(of_text("-9007199254740991.0"), Some(-MAX_SAFE_INTEGER));
        for text in [
            "9007199254740992",
            "-9007199254740992",
            "9007199254740991.3",
            "9007199254740990.9999",
        ] {
            assert_eq!(of_text(text), None, "{text}");
        }
        let number = |text: &str| serde_json::from_str::<Number>(text).unwrap();
        assert_eq!(
            of_number(&number("9007199254740991")),
            Some(MAX_SAFE_INTEGER)
        );
        assert_eq!(of_number(&number("1e2")), Some(100));
        for text in ["9007199254740992", "18446744073709551615", "1e300", "0.5"] {
            assert_eq!(of_number(&number(text)), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn decimal_text_comes_back(integer in -MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER) {
            prop_assert_eq!(of_text(&integer.to_string()), Some(integer));
            prop_assert_eq!(of_text(&format!("{integer}.00")), Some(integer));
            prop_assert_eq!(of_number(&Number::from(integer)), Some(integer));
        }

        #[test]
        fn nothing_makes_it_panic(text in "[-+0-9.eE]{0,30}") {
            if let (Some(exact), Ok(float)) = (of_text(&text), text.parse::<f64>()) {
                prop_assert_eq!(exact as f64, float);
            }
        }
    }
}
