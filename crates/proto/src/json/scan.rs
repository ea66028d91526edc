//! A strict JSON scanner that returns the ranges of values without building them.
//!
//! It is written by hand because it was measured: `serde_json` needs one pass for each level at
//! which raw text is kept (envelope, params, arguments). This scanner checks the whole text once. It
//! accepts exactly what `serde_json` accepts, except that nesting is bounded by [`MAX_DEPTH`]; a
//! property test compares the two.

use std::fmt;
use std::ops::Range;

/// How deep arrays and objects may nest. Deeper text is a syntax error, so that no later recursive
/// pass over it can exhaust the stack.
pub const MAX_DEPTH: usize = 127;

/// Where and why text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Offset of the offending byte.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at)
    }
}

impl std::error::Error for SyntaxError {}

/// The kind of the value that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// `-` or a digit
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

/// A cursor over JSON text.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    escaped: bool,
}

type ScanResult<T> = Result<T, SyntaxError>;

impl<'a> Scanner<'a> {
    /// Starts at the first byte. The text is UTF-8 by its type, so the scanner looks at ASCII only.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
            depth: 0,
            escaped: false,
        }
    }

    /// Skips one value and returns its range.
    ///
    /// # Errors
    /// When the text there is not a JSON value.
    pub fn skip_value(&mut self) -> ScanResult<Range<usize>> {
        self.skip_space();
        let start = self.at;
        match self.kind()? {
            ValueKind::Object => {
                let mut members = self.object()?;
                while members.next_key(self)?.is_some() {
                    self.skip_value()?;
                }
            }
            ValueKind::Array => {
                let mut items = self.array()?;
                while items.next_item(self)? {
                    self.skip_value()?;
                }
            }
            ValueKind::String => {
                self.skip_string()?;
            }
            ValueKind::Number => self.skip_number()?,
            ValueKind::Bool => self.skip_bool()?,
            ValueKind::Null => self.literal(b"null")?,
        }
        Ok(start..self.at)
    }

    /// Skips `value`, well-formed text that ends with what closes it, if it comes next.
    pub(crate) fn skip_text(&mut self, value: &[u8]) -> bool {
        self.skip_space();
        let comes = self.text[self.at..].starts_with(value);
        if comes {
            self.at += value.len();
        }
        comes
    }

    /// Skips `member`, well-formed text of a name and its value, if the object begins with it.
    pub(crate) fn skip_first_member(&mut self, members: &mut ObjectMembers, member: &[u8]) -> bool {
        let comes = members.first && self.skip_text(member);
        members.first &= !comes;
        comes
    }

    /// Kind of the next value, which is not consumed.
    ///
    /// # Errors
    /// When no JSON value begins here.
    pub fn kind(&mut self) -> ScanResult<ValueKind> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => Ok(ValueKind::Object),
            Some(b'[') => Ok(ValueKind::Array),
            Some(b'"') => Ok(ValueKind::String),
            Some(b'-' | b'0'..=b'9') => Ok(ValueKind::Number),
            Some(b't' | b'f') => Ok(ValueKind::Bool),
            Some(b'n') => Ok(ValueKind::Null),
            _ => self.fail("a value"),
        }
    }

    /// Enters an object; see [`ObjectMembers::next_key`].
    ///
    /// # Errors
    /// When the next value is not an object, or nests too deep.
    pub fn object(&mut self) -> ScanResult<ObjectMembers> {
        self.enter(b'{', "an object")?;
        Ok(ObjectMembers { first: true })
    }

    /// Enters an array; see [`ArrayItems::next_item`].
    ///
    /// # Errors
    /// When the next value is not an array, or nests too deep.
    pub fn array(&mut self) -> ScanResult<ArrayItems> {
        self.enter(b'[', "an array")?;
        Ok(ArrayItems { first: true })
    }

    /// Skips a string and returns the range between its quotes, escapes untouched.
    ///
    /// # Errors
    /// When no well-formed string begins here.
    pub fn skip_string(&mut self) -> ScanResult<Range<usize>> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return self.fail("a string");
        }
        self.at += 1;
        self.escaped = false;
        let start = self.at;
        loop {
            self.at += plain_prefix(&self.text[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(start..self.at - 1);
                }
                Some(b'\\') => {
                    self.escaped = true;
                    self.skip_escape()?;
                }
                Some(_) => return self.fail("no control character in a string"),
                None => return self.fail("the end of the string"),
            }
        }
    }

    /// Whether the string that was skipped last has escapes in it, so that its text is not its
    /// value.
    #[must_use]
    pub fn had_escapes(&self) -> bool {
        self.escaped
    }

    /// Skips a number and returns nothing but whether it was one.
    ///
    /// # Errors
    /// When the number is malformed.
    pub fn skip_number(&mut self) -> ScanResult<()> {
        self.skip_space();
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.skip_digits()?,
            _ => return self.fail("a digit"),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.skip_digits()?;
        }
        Ok(())
    }

    /// Checks that nothing but white space is left.
    ///
    /// # Errors
    /// When something else follows.
    pub fn end(&mut self) -> ScanResult<()> {
        self.skip_space();
        if self.at == self.text.len() {
            Ok(())
        } else {
            self.fail("the end of the text")
        }
    }

    /// Offset of the next byte.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    fn enter(&mut self, open: u8, expected: &'static str) -> ScanResult<()> {
        self.skip_space();
        if self.peek() != Some(open) {
            return self.fail(expected);
        }
        if self.depth == MAX_DEPTH {
            return self.fail("at most 127 levels of nesting");
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// After an element: `true` if another follows, `false` if `close` ended the container.
    fn separator(
        &mut self,
        first: &mut bool,
        close: u8,
        expected: &'static str,
    ) -> ScanResult<bool> {
        self.skip_space();
        let was_first = std::mem::replace(first, false);
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(b',') if !was_first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if was_first => Ok(true),
            _ => self.fail(expected),
        }
    }

    fn skip_escape(&mut self) -> ScanResult<()> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                self.at += 1;
                let unit = self.hex4()?;
                match unit {
                    0xDC00..=0xDFFF => self.fail("a leading surrogate first"),
                    0xD800..=0xDBFF => {
                        if self.text.get(self.at..self.at + 2) != Some(br"\u") {
                            return self.fail("a trailing surrogate");
                        }
                        self.at += 2;
                        match self.hex4()? {
                            0xDC00..=0xDFFF => Ok(()),
                            _ => self.fail("a trailing surrogate"),
                        }
                    }
                    _ => Ok(()),
                }
            }
            _ => self.fail("an escape character"),
        }
    }

    fn hex4(&mut self) -> ScanResult<u16> {
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                return self.fail("four hexadecimal digits");
            };
            unit = unit << 4 | digit as u16;
            self.at += 1;
        }
        Ok(unit)
    }

    fn skip_digits(&mut self) -> ScanResult<()> {
        let digits = self.text[self.at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits == 0 {
            return self.fail("a digit");
        }
        self.at += digits;
        Ok(())
    }

    fn skip_bool(&mut self) -> ScanResult<()> {
        if self.peek() == Some(b't') {
            self.literal(b"true")
        } else {
            self.literal(b"false")
        }
    }

    fn literal(&mut self, word: &'static [u8]) -> ScanResult<()> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(())
        } else {
            self.fail("true, false or null")
        }
    }

    #[inline]
    fn skip_space(&mut self) {
        // Nearly always there is none.
        if self.peek().is_none_or(|byte| byte > b' ') {
            return;
        }
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn fail<T>(&self, expected: &'static str) -> ScanResult<T> {
        Err(SyntaxError {
            at: self.at,
            expected,
        })
    }
}

/// The members of an object that a [`Scanner`] is inside of.
#[derive(Debug)]
pub struct ObjectMembers {
    first: bool,
}

impl ObjectMembers {
    /// Moves to the next member: the range of its key between the quotes, or `None` behind the last
    /// one. The caller then consumes the value.
    ///
    /// # Errors
    /// When the text is not an object's.
    pub fn next_key(&mut self, scanner: &mut Scanner<'_>) -> ScanResult<Option<Range<usize>>> {
        if !scanner.separator(&mut self.first, b'}', "a comma or the end of the object")? {
            return Ok(None);
        }
        let key = scanner.skip_string()?;
        scanner.skip_space();
        if scanner.peek() != Some(b':') {
            return scanner.fail("a colon");
        }
        scanner.at += 1;
        Ok(Some(key))
    }
}

/// The items of an array that a [`Scanner`] is inside of.
#[derive(Debug)]
pub struct ArrayItems {
    first: bool,
}

impl ArrayItems {
    /// Moves to the next item, which the caller then consumes; `false` behind the last one.
    ///
    /// # Errors
    /// When the text is not an array's.
    pub fn next_item(&mut self, scanner: &mut Scanner<'_>) -> ScanResult<bool> {
        scanner.separator(&mut self.first, b']', "a comma or the end of the array")
    }
}

/// How many leading bytes of a string need no attention: no quote, no backslash, no control
/// character.
///
/// Most strings are over after a few bytes, so the beginning is looked at word by word. Beyond it
/// whole blocks are tested at once, in a form that the compiler turns into vector instructions;
/// large arguments are bound by this loop.
#[inline]
pub(super) fn plain_prefix(text: &[u8]) -> usize {
    const SHORT: usize = 64;
    let mut at = plain_prefix_by_words(&text[..text.len().min(SHORT)]);
    if at < SHORT {
        return at;
    }
    at += plain_blocks(&text[at..]);
    at + plain_prefix_by_words(&text[at..])
}

/// How many leading bytes are in whole blocks that need no attention.
#[allow(unsafe_code)]
fn plain_blocks(text: &[u8]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[target_feature(enable = "avx2")]
        fn with_wide_vectors(text: &[u8]) -> usize {
            count_plain_blocks(text)
        }
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { with_wide_vectors(text) };
    }
    count_plain_blocks(text)
}

#[inline(always)]
fn count_plain_blocks(text: &[u8]) -> usize {
    const BLOCK: usize = 64;
    let plain = |block: &&[u8]| {
        !block
            .iter()
            .fold(false, |found, &byte| found | needs_attention(byte))
    };
    text.chunks_exact(BLOCK).take_while(plain).count() * BLOCK
}

/// The same for what is short: eight bytes at a time, in one register.
#[inline]
fn plain_prefix_by_words(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        // Per byte, the highest bit is set when the byte is below 0x20, a quote or a backslash. A
        // byte may be reported because of the one before it, never passed over; the first one
        // reported is right.
        let control = word.wrapping_sub(ONES * 0x20);
        let quote = (word ^ (ONES * u64::from(b'"'))).wrapping_sub(ONES);
        let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
        let found = (control | quote | backslash) & !word & HIGHS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + text[at..]
        .iter()
        .take_while(|&&byte| !needs_attention(byte))
        .count()
}

#[inline]
fn needs_attention(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepts(text: &str) -> bool {
        let mut scanner = Scanner::new(text);
        scanner.skip_value().and_then(|_| scanner.end()).is_ok()
    }

    fn serde_accepts(text: &str) -> bool {
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(_) => true,
            // Out of an f64's range is a matter of the type that reads the number, not of syntax.
            Err(error) => error.to_string().starts_with("number out of range"),
        }
    }

    #[test]
    fn ranges_cut_out_the_values() {
        let text = r#" {"a" : [1, 2.5e-3] , "b\n":"x\"y" } "#;
        let mut scanner = Scanner::new(text);
        let mut members = scanner.object().unwrap();
        let mut seen = Vec::new();
        while let Some(key) = members.next_key(&mut scanner).unwrap() {
            let value = scanner.skip_value().unwrap();
            seen.push((&text[key], &text[value]));
        }
        scanner.end().unwrap();
        assert_eq!(seen, [("a", "[1, 2.5e-3]"), (r"b\n", r#""x\"y""#)]);
        assert!(scanner.had_escapes());
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(accepts(&nested(MAX_DEPTH)));
        assert!(!accepts(&nested(MAX_DEPTH + 1)));
        assert!(!accepts(&"[".repeat(100_000)));
    }

    #[test]
    fn long_strings_end_where_they_end() {
        for length in 0..200 {
            let text = format!("\"{}\"", "x".repeat(length));
            assert_eq!(Scanner::new(&text).skip_value().unwrap(), 0..length + 2);
            assert!(!accepts(&format!("\"{}\u{1}\"", "x".repeat(length))));
            assert!(!accepts(&text[..length + 1]));
        }
    }

    proptest! {
        #[test]
        fn the_fast_tests_agree_with_the_plain_one(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..8) {
            for text in [&bytes[..], &bytes[cut.min(bytes.len())..]] {
                let plain = text.iter().take_while(|&&byte| !needs_attention(byte)).count();
                prop_assert_eq!(plain_prefix(text), plain);
                prop_assert_eq!(plain_prefix_by_words(text), plain);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn accepts_what_serde_json_accepts(text in r#"[\[\]{}:,"\\/bfnrtu0-9a-fA-FeE+. \n-]{0,24}|[\u{0}-\u{ff}]{0,12}"#) {
            prop_assert_eq!(accepts(&text), serde_accepts(&text), "{:?}", text);
        }

        #[test]
        fn accepts_strings_with_escapes_like_serde_json(inner in r#"([a-z]|\\u[dD][89aAbBcCdD][0-9a-f]{2}|\\["\\/bfnrtux]|\\u[0-9a-f]{3,4}){0,6}"#) {
            let text = format!("\"{inner}\"");
            prop_assert_eq!(accepts(&text), serde_accepts(&text), "{:?}", text);
        }
    }
}
