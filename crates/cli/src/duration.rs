//! Durations on the command line: humantime's format, and plain seconds.

use std::time::Duration;

/// A typo such as `3000h` is more likely than a command that runs for longer.
const MAX_DURATION: Duration = Duration::from_secs(7 * 24 * 3600);

/// Parses `30`, `1.5` (seconds), `250ms`, `30s`, `5m`, `1h 30m`.
///
/// # Errors
/// Text that is no duration, zero, and more than seven days.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let plain_seconds = text.ends_with(|c: char| c.is_ascii_digit());
    let parsed = if plain_seconds {
        humantime::parse_duration(&format!("{text}s"))
    } else {
        humantime::parse_duration(text)
    };
    let duration =
        parsed.map_err(|_| format!("{text:?} is not a duration; write 30, 250ms, 5m or 1h"))?;
    if duration.is_zero() || duration > MAX_DURATION {
        return Err("a duration must be longer than zero and at most 7 days".into());
    }
    Ok(duration)
}

/// Formats a number of milliseconds for people: `1h 30m`.
pub(crate) fn format_ms(ms: u64) -> String {
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

#[cfg(test)]
mod tests {
    use super::{format_ms, parse};
    use std::time::Duration;

    #[test]
    fn units_are_understood() {
        for (text, ms) in [
            ("30", 30_000),
            ("1.5", 1_500),
            ("250ms", 250),
            ("2s", 2_000),
            ("1.5m", 90_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn invalid_durations_are_refused() {
        for text in ["", "s", "-1", "0", "1x", "NaN", "inf", "1e300", "8000h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn milliseconds_are_formatted_with_units() {
        assert_eq!(
            [0, 250, 1_000, 90_000, 7_200_000].map(format_ms).join(", "),
            "0s, 250ms, 1s, 1m 30s, 2h"
        );
    }
}
