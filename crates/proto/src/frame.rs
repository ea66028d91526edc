//! Newline framing, as on stdio (`basic/transports/stdio`).

mod envelope;

use bytes::{Buf as _, Bytes, BytesMut};
use carryall_types::RequestId;
use envelope::EnvelopeScan;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

/// Appends `json` as one line. Raw line breaks in it, which can only be white space between tokens,
/// become spaces, so that pretty-printed text does not break the framing.
pub fn encode_line(json: &[u8], out: &mut BytesMut) {
    out.reserve(json.len() + 1);
    out.extend_from_slice(&without_breaks(json));
    out.extend_from_slice(b"\n");
}

/// Returns `json` without raw line breaks, copied only if it has any. The caller adds the line feed.
#[must_use]
pub fn one_line(json: Bytes) -> Bytes {
    match without_breaks(&json) {
        Cow::Borrowed(_) => json,
        Cow::Owned(text) => text.into(),
    }
}

fn without_breaks(json: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr2(b'\n', b'\r', json) else {
        return Cow::Borrowed(json);
    };
    let mut text = json.to_vec();
    for byte in &mut text[first..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    Cow::Owned(text)
}

/// Returns the id of the request that `text` answers, if it is a response with a readable id. For
/// text that is not a valid message: its request would wait forever otherwise.
#[must_use]
pub fn response_id(text: &[u8]) -> Option<RequestId> {
    let mut scan = EnvelopeScan::default();
    scan.push(text);
    scan.id()
        .filter(|_| scan.is_response() && !scan.is_batch())
        .cloned()
}

/// Returns the ids of the requests that `text` answers, as [`response_id`]; of an array of messages,
/// the ids of up to 4,096 responses in it.
#[must_use]
pub fn response_ids(text: &[u8]) -> Vec<RequestId> {
    let mut scan = EnvelopeScan::default();
    scan.push(text);
    if scan.is_batch() {
        return scan.take_responses();
    }
    scan.id()
        .filter(|_| scan.is_response())
        .cloned()
        .into_iter()
        .collect()
}

/// A line is longer than the limit. It is skipped; the following lines are not affected. An array of
/// responses (a batch of revision 2025-03-26) is reported once for each response, up to 4,096.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineTooLong {
    /// The limit, in bytes.
    pub max_line: usize,
    /// The id of the message, if it could be read.
    pub id: Option<RequestId>,
    /// The message is a response, and `id` names the request that it answers.
    pub is_response: bool,
}

impl fmt::Display for LineTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a line is longer than {} bytes", self.max_line)
    }
}

impl std::error::Error for LineTooLong {}

/// Splits a byte stream into lines, in linear time and without copying them.
///
/// Iterate after each [`push`](Self::push) until `None`, which means that more input is needed.
/// Between pushes the decoder then holds at most one line. Blank lines are skipped; a carriage
/// return before the line feed is not part of the line.
///
/// A line over the limit is discarded as it arrives and reported once: as soon as its id and kind
/// are known, otherwise at its end. An array is reported for each response in it.
#[derive(Debug)]
pub struct LineDecoder {
    input: BytesMut,
    /// How much of `input` is known to hold no line feed.
    scanned: usize,
    max_line: usize,
    skipping: Option<Skipping>,
    /// Reports about lines over the limit.
    reports: VecDeque<LineTooLong>,
}

/// The current line is over the limit.
#[derive(Debug)]
enum Skipping {
    Unreported(Box<EnvelopeScan>),
    Reported,
}

impl LineDecoder {
    /// Creates a decoder for lines of up to `max_line` bytes.
    #[must_use]
    pub fn new(max_line: usize) -> Self {
        Self {
            input: BytesMut::new(),
            scanned: 0,
            max_line,
            skipping: None,
            reports: VecDeque::new(),
        }
    }

    /// Adds input.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Returns the buffer, to read into instead of [`push`](Self::push). Only append to it.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Returns the last line of the stream if it has no line feed.
    #[must_use]
    pub fn finish(mut self) -> Option<Bytes> {
        if self.skipping.is_some() {
            return None;
        }
        Some(trimmed(self.input.split().freeze()))
            .filter(|line| !is_blank(line) && line.len() <= self.max_line)
    }

    /// Scans a part of a line over the limit, and queues reports.
    fn skip(&mut self, text: &[u8], is_end: bool) {
        let mut scan = match self.skipping.take() {
            None => Box::default(),
            Some(Skipping::Unreported(scan)) => scan,
            Some(Skipping::Reported) => {
                self.skipping = (!is_end).then_some(Skipping::Reported);
                return;
            }
        };
        scan.push(text);
        let max_line = self.max_line;
        let of_batch = |id| LineTooLong {
            max_line,
            id: Some(id),
            is_response: true,
        };
        self.reports
            .extend(scan.take_responses().into_iter().map(of_batch));
        let known = scan.is_complete();
        if known || (is_end && !scan.has_responses()) {
            let id = scan.id().filter(|_| !scan.is_batch()).cloned();
            let is_response = scan.is_response() && !scan.is_batch();
            self.reports.push_back(LineTooLong {
                max_line,
                id,
                is_response,
            });
        }
        if !is_end {
            self.skipping = Some(if known {
                Skipping::Reported
            } else {
                Skipping::Unreported(scan)
            });
        }
    }
}

impl Iterator for LineDecoder {
    type Item = Result<Bytes, LineTooLong>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(report) = self.reports.pop_front() {
                return Some(Err(report));
            }
            let Some(found) = memchr::memchr(b'\n', &self.input[self.scanned..]) else {
                self.scanned = self.input.len();
                // One more than the limit, because the last byte may be the carriage return.
                if self.skipping.is_none() && self.input.len() <= self.max_line.saturating_add(1) {
                    return None;
                }
                let text = std::mem::take(&mut self.input);
                self.scanned = 0;
                self.skip(&text, false);
                if self.reports.is_empty() {
                    return None;
                }
                continue;
            };
            let line = self.input.split_to(self.scanned + found).freeze();
            self.input.advance(1);
            self.scanned = 0;
            if self.skipping.is_some() {
                self.skip(&line, true);
                continue;
            }
            let line = trimmed(line);
            if line.len() > self.max_line {
                self.skip(&line, true);
                continue;
            }
            if !is_blank(&line) {
                return Some(Ok(line));
            }
        }
    }
}

fn trimmed(mut line: Bytes) -> Bytes {
    if line.last() == Some(&b'\r') {
        line.truncate(line.len() - 1);
    }
    line
}

fn is_blank(line: &[u8]) -> bool {
    // A message begins with `{`, so this looks at one byte.
    line.iter().all(u8::is_ascii_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(max: usize, stream: &[u8]) -> Vec<Result<Bytes, LineTooLong>> {
        let mut decoder = LineDecoder::new(max);
        decoder.push(stream);
        decoder.by_ref().collect()
    }

    // spec: stdio-01
    #[test]
    fn messages_are_lines_and_never_contain_one() {
        let mut out = BytesMut::new();
        encode_line(b"{\"a\":1}", &mut out);
        encode_line(b"{\n  \"b\": \"x\\n\"\r\n}", &mut out);
        assert_eq!(&out[..], b"{\"a\":1}\n{   \"b\": \"x\\n\"  }\n");
        assert_eq!(
            lines(100, &out),
            [Ok("{\"a\":1}".into()), Ok("{   \"b\": \"x\\n\"  }".into())]
        );
    }

    #[test]
    fn text_without_breaks_is_not_copied() {
        let json = Bytes::from_static(b"{\"a\":1}");
        assert_eq!(one_line(json.clone()).as_ptr(), json.as_ptr());
        assert_eq!(one_line(Bytes::from_static(b"[1,\n2]")), "[1, 2]");
    }

    #[test]
    fn carriage_returns_and_blank_lines_are_tolerated() {
        assert_eq!(
            lines(100, b"\n\r\n{}\r\n \t\r\n\n[]\n"),
            [Ok("{}".into()), Ok("[]".into())]
        );
    }

    #[test]
    fn a_line_over_the_limit_costs_only_itself() {
        let mut decoder = LineDecoder::new(4);
        let mut seen = Vec::new();
        for piece in [
            &b"1234\n123"[..],
            b"45",
            b"6789",
            b"0\n12",
            b"34\r",
            b"\n12345\nok\n",
        ] {
            decoder.push(piece);
            seen.extend(decoder.by_ref());
            assert!(decoder.input.len() <= 5);
        }
        let too_long = Err(LineTooLong {
            max_line: 4,
            id: None,
            is_response: false,
        });
        assert_eq!(
            seen,
            [
                Ok("1234".into()),
                too_long.clone(),
                Ok("1234".into()),
                too_long,
                Ok("ok".into())
            ]
        );
    }

    #[test]
    fn a_line_over_the_limit_says_whose_it_is_before_it_ends() {
        let mut decoder = LineDecoder::new(16);
        decoder.push(br#"{"id":7,"result":"#);
        assert_eq!(decoder.next(), None, "within the limit so far");
        decoder.push(b"[[[[");
        let too_long = |id: i64, is_response| {
            Some(Err(LineTooLong {
                max_line: 16,
                id: Some(id.into()),
                is_response,
            }))
        };
        assert_eq!(decoder.next(), too_long(7, true), "its end may never come");
        for _ in 0..100 {
            decoder.push(&[b'['; 1000]);
            assert_eq!(decoder.next(), None, "once");
            assert!(decoder.input.is_empty());
        }
        decoder.push(b"\n{\"params\":1,\"method\":\"x\"");
        assert_eq!(decoder.next(), None);
        decoder.push(b",\"id\":8}\n{}\n");
        assert_eq!(decoder.next(), too_long(8, false));
        assert_eq!(decoder.next(), Some(Ok("{}".into())));
    }

    #[test]
    fn an_array_over_the_limit_says_whose_responses_it_holds() {
        let too_long = |id: i64| {
            Err(LineTooLong {
                max_line: 16,
                id: Some(id.into()),
                is_response: true,
            })
        };
        let batch = br#"[{"id":1,"result":{}},{"id":2,"method":"x"},{"id":3,"error":{}}]"#;
        assert_eq!(response_ids(batch), [1.into(), RequestId::from(3)]);
        assert_eq!(response_ids(&batch[1..20]), [RequestId::from(1)]);
        for cut in 1..batch.len() {
            let mut decoder = LineDecoder::new(16);
            let mut seen = Vec::new();
            for piece in batch.chunks(cut).chain([&b"\n{}\n"[..]]) {
                decoder.push(piece);
                seen.extend(decoder.by_ref());
            }
            assert_eq!(
                seen,
                [too_long(1), too_long(3), Ok("{}".into())],
                "by {cut}"
            );
        }
        let requests = lines(16, b"[{\"id\":1,\"method\":\"x\"}]\n");
        assert_eq!(
            requests,
            [Err(LineTooLong {
                max_line: 16,
                id: None,
                is_response: false
            })]
        );
    }

    #[test]
    fn the_last_line_may_lack_its_line_feed() {
        let rest = |stream: &[u8]| {
            let mut decoder = LineDecoder::new(4);
            decoder.push(stream);
            decoder.by_ref().for_each(drop);
            decoder.finish()
        };
        assert_eq!(rest(b"{}\n[]").as_deref(), Some(&b"[]"[..]));
        assert_eq!(rest(b"{}\n[]\r").as_deref(), Some(&b"[]"[..]));
        assert_eq!(rest(b"{}\n \r"), None);
        assert_eq!(rest(b"{}\n123456"), None);
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_makes_no_difference(
            stream in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), Just(b' ')], 0..60),
            cut in 1usize..9,
            max in 1usize..9,
        ) {
            let whole = lines(max, &stream);
            let mut decoder = LineDecoder::new(max);
            let mut pieces = Vec::new();
            for piece in stream.chunks(cut) {
                decoder.push(piece);
                pieces.extend(decoder.by_ref());
                prop_assert!(decoder.input.len() <= max + 1);
            }
            prop_assert_eq!(pieces, whole);
        }

        #[test]
        fn what_is_encoded_is_decoded(messages in proptest::collection::vec("[a-z\u{e9}][ -~]{0,20}", 0..6)) {
            let mut stream = BytesMut::new();
            for message in &messages {
                encode_line(message.as_bytes(), &mut stream);
            }
            let decoded: Vec<_> = lines(100, &stream).into_iter().map(|line| String::from_utf8(line.unwrap().to_vec()).unwrap()).collect();
            prop_assert_eq!(decoded, messages);
        }
    }
}
