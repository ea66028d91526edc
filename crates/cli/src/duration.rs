//! Durations on the command line.

use std::time::Duration;

/// `30`, `1.5`, `250ms`, `30s`, `5m`, `1h`: seconds unless a unit says otherwise.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let invalid = || format!("{text:?} is not a duration; write 30, 250ms, 5m or 1h");
    let unit_at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.trim().parse().map_err(|_| invalid())?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(invalid()),
    };
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| invalid())?;
    if duration.is_zero() || duration > Duration::from_secs(7 * 24 * 3600) {
        return Err("a duration is more than nothing and at most a week".into());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn units_are_understood() {
        for (text, ms) in [
            ("30", 30_000),
            ("1.5", 1_500),
            ("250ms", 250),
            ("2s", 2_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "s", "-1", "0", "1d", "NaN", "inf", "1e300", "8000h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
