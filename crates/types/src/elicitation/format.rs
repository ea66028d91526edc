//! Validation of the four string formats of a form.
//!
//! The checks catch typing errors; whether a mailbox or page exists is for the server to find out.
//! They are written by hand because no other code here needs them: a date library, a URI parser and
//! an email parser would be three more dependencies of every crate, for grammars of a few lines.

use super::StringFormat;
use crate::percent;

impl StringFormat {
    /// Returns whether `text` matches this format.
    #[must_use]
    pub fn accepts(self, text: &str) -> bool {
        match self {
            Self::Email => is_email(text),
            Self::Uri => is_uri(text),
            Self::Date => is_date(text),
            Self::DateTime => is_date_time(text),
        }
    }

    /// Returns a description of the format that completes "must be ...".
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Email => "an e-mail address",
            Self::Uri => "a URI",
            Self::Date => "a date like 2026-07-28",
            Self::DateTime => "a date and time like 2026-07-28T09:30:00Z",
        }
    }
}

/// Matches `local@domain`, both dot-separated and without spaces. Allows characters outside ASCII.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let plain = |part: &str| {
        !part
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '@')
    };
    let dotted = |part: &str| !part.is_empty() && part.split('.').all(|label| !label.is_empty());
    plain(local) && plain(domain) && dotted(local) && dotted(domain)
}

/// Matches a scheme, a colon and at least one more character, all allowed in a URI (RFC 3986,
/// section 2).
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let mut bytes = scheme.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        && !rest.is_empty()
        && rest.bytes().all(|byte| {
            byte.is_ascii_graphic()
                && !matches!(
                    byte,
                    b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
                )
        })
        && percent::is_well_formed(rest)
}

/// Matches `full-date` of RFC 3339.
fn is_date(text: &str) -> bool {
    let [year, month, day] = text.split('-').collect::<Vec<_>>()[..] else {
        return false;
    };
    let (Some(year), Some(month), Some(day)) = (digits(year, 4), digits(month, 2), digits(day, 2))
    else {
        return false;
    };
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// Matches `date-time` of RFC 3339.
fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't']) else {
        return false;
    };
    let Some(split) = time.find(['Z', 'z', '+', '-']) else {
        return false;
    };
    let (clock, offset) = time.split_at(split);
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (clock, None),
    };
    is_date(date)
        && is_clock(clock)
        && fraction.is_none_or(|f| !f.is_empty() && f.bytes().all(|byte| byte.is_ascii_digit()))
        && (matches!(offset, "Z" | "z") || is_offset(&offset[1..]))
}

/// Matches `hh:mm:ss`, including leap seconds.
fn is_clock(text: &str) -> bool {
    let [hours, minutes, seconds] = text.split(':').collect::<Vec<_>>()[..] else {
        return false;
    };
    digits(hours, 2).is_some_and(|n| n < 24)
        && digits(minutes, 2).is_some_and(|n| n < 60)
        && digits(seconds, 2).is_some_and(|n| n <= 60)
}

/// Matches the `hh:mm` after the sign of an offset.
fn is_offset(text: &str) -> bool {
    let Some((hours, minutes)) = text.split_once(':') else {
        return false;
    };
    digits(hours, 2).is_some_and(|n| n < 24) && digits(minutes, 2).is_some_and(|n| n < 60)
}

/// Parses a number of exactly `count` digits.
fn digits(text: &str, count: usize) -> Option<u32> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}
