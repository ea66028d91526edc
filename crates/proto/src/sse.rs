//! Server-Sent Events as MCP uses them: one message per event, and a bounded incremental decoder
//! (`basic/transports/streamable-http#receiving-messages`).

use bytes::{Buf as _, Bytes, BytesMut};
use std::fmt;
use std::sync::Arc;

/// The beginning of an event, before its text.
pub const EVENT_START: &[u8] = b"data: ";
/// The end of an event.
pub const EVENT_END: &[u8] = b"\n\n";
/// A comment that keeps an idle stream open; decoders skip it.
pub const KEEP_ALIVE: &[u8] = b":\n\n";

/// Returns the three pieces of an event with the text `json`, for a vectored write. The text is not
/// copied unless it has raw line breaks.
#[must_use]
pub fn event_pieces(json: Bytes) -> [Bytes; 3] {
    if memchr::memchr2(b'\n', b'\r', &json).is_none() {
        return [
            Bytes::from_static(EVENT_START),
            json,
            Bytes::from_static(EVENT_END),
        ];
    }
    let mut framed = BytesMut::with_capacity(json.len() + 64);
    encode_event(&json, &mut framed);
    [framed.freeze(), Bytes::new(), Bytes::new()]
}

/// Appends one event with the text `json`. Raw line breaks start another `data:` line.
pub fn encode_event(json: &[u8], out: &mut BytesMut) {
    out.reserve(EVENT_START.len() + json.len() + EVENT_END.len());
    let mut rest = json;
    loop {
        out.extend_from_slice(EVENT_START);
        let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else {
            break;
        };
        out.extend_from_slice(&rest[..end]);
        out.extend_from_slice(b"\n");
        let width = if rest[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = &rest[end + width..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(EVENT_END);
}

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// The event's type, if the sender named one.
    pub event: Option<Box<str>>,
    /// The text, lines joined by line feeds. It is not checked to be UTF-8.
    pub data: Bytes,
    /// The stream's last event id, which stays in force until another one comes. Shared: a long id
    /// costs once, not with each of a million empty events.
    pub id: Option<Arc<str>>,
}

/// An event is larger than the limit; the stream cannot be decoded further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SseError {
    /// The limit that an event exceeded.
    pub max_event_bytes: usize,
}

impl fmt::Display for SseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event is larger than {} bytes", self.max_event_bytes)
    }
}

impl std::error::Error for SseError {}

/// Decodes a stream piece by piece, in linear time.
///
/// Iterate after each [`push`](Self::push) until `None`, which means that more input is needed.
/// Between pushes the decoder then holds at most one event. An event over the limit is an error and
/// the last item: the stream should be closed.
#[derive(Debug)]
pub struct SseDecoder {
    input: BytesMut,
    /// How much of `input` is known to hold no line break.
    scanned: usize,
    max_event_bytes: usize,
    /// Bytes of the lines that the current event consists of.
    event_bytes: usize,
    at_start: bool,
    /// The last line ended in a carriage return; a line feed that follows belongs to it.
    after_return: bool,
    failed: bool,
    event: Option<Box<str>>,
    data: EventData,
    id: Option<Arc<str>>,
    retry_ms: Option<u64>,
}

/// The `data` lines so far. Nearly always there is a single one, which is not copied.
#[derive(Debug, Default)]
enum EventData {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl SseDecoder {
    /// A decoder that accepts events of up to `max_event_bytes`.
    #[must_use]
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            input: BytesMut::new(),
            scanned: 0,
            max_event_bytes,
            event_bytes: 0,
            at_start: true,
            after_return: false,
            failed: false,
            event: None,
            data: EventData::None,
            id: None,
            retry_ms: None,
        }
    }

    /// Adds input. Ignored after an error.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.failed {
            self.input.extend_from_slice(bytes);
        }
    }

    /// The reconnection time the server last asked for, in milliseconds.
    #[must_use]
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// The last event id, also of events without data.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn next_line(&mut self) -> Option<Bytes> {
        if self.after_return && !self.input.is_empty() {
            self.after_return = false;
            if self.input[0] == b'\n' {
                self.input.advance(1);
            }
        }
        let Some(found) = memchr::memchr2(b'\n', b'\r', &self.input[self.scanned..]) else {
            self.scanned = self.input.len();
            return None;
        };
        let line = self.input.split_to(self.scanned + found).freeze();
        self.scanned = 0;
        self.after_return = self.input[0] == b'\r';
        self.input.advance(1);
        Some(line)
    }

    /// Skips a byte order mark at the start of the stream. `false` until enough input has arrived.
    fn skip_mark(&mut self) -> bool {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let seen = self.input.len().min(MARK.len());
        if self.input[..seen] != MARK[..seen] {
            self.at_start = false;
        } else if seen == MARK.len() {
            self.input.advance(seen);
            self.at_start = false;
        }
        !self.at_start
    }

    fn field(&mut self, line: Bytes) {
        let colon = memchr::memchr(b':', &line);
        let name = &line[..colon.unwrap_or(line.len())];
        let mut start = colon.map_or(line.len(), |at| at + 1);
        if line.get(start) == Some(&b' ') {
            start += 1;
        }
        match name {
            b"data" => self.data(line.slice(start..)),
            b"event" => self.event = Some(text(&line[start..])).filter(|name| !name.is_empty()),
            // The standard ignores ids with NUL; an empty one takes the id back.
            b"id" if !line[start..].contains(&0) => {
                self.id = Some(text(&line[start..]))
                    .filter(|id| !id.is_empty())
                    .map(Arc::from);
            }
            b"retry" if line[start..].iter().all(u8::is_ascii_digit) => {
                self.retry_ms = text(&line[start..]).parse().ok().or(self.retry_ms);
            }
            _ => {}
        }
    }

    fn data(&mut self, line: Bytes) {
        self.data = match std::mem::take(&mut self.data) {
            EventData::None => EventData::One(line),
            EventData::One(first) => {
                let mut all = BytesMut::with_capacity((first.len() + line.len() + 1) * 2);
                all.extend_from_slice(&first);
                EventData::Many(joined(all, &line))
            }
            EventData::Many(all) => EventData::Many(joined(all, &line)),
        };
    }

    /// An empty line: the event, if it had data.
    fn dispatch(&mut self) -> Option<SseEvent> {
        self.event_bytes = 0;
        let event = self.event.take();
        let data = match std::mem::take(&mut self.data) {
            EventData::None => return None,
            EventData::One(line) => line,
            EventData::Many(all) => all.freeze(),
        };
        Some(SseEvent {
            event,
            data,
            id: self.id.clone(),
        })
    }

    /// The size of the event with one more line. A comment is not stored, so that any number of
    /// keep-alives fit; alone it still has to.
    fn size_with(&self, line: &[u8]) -> usize {
        if line.first() == Some(&b':') {
            line.len()
        } else {
            self.event_bytes + line.len()
        }
    }

    fn fail(&mut self) -> SseError {
        self.failed = true;
        self.input = BytesMut::new();
        self.scanned = 0;
        self.data = EventData::None;
        SseError {
            max_event_bytes: self.max_event_bytes,
        }
    }
}

impl Iterator for SseDecoder {
    type Item = Result<SseEvent, SseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || (self.at_start && !self.skip_mark()) {
            return None;
        }
        while let Some(line) = self.next_line() {
            if line.is_empty() {
                if let Some(event) = self.dispatch() {
                    return Some(Ok(event));
                }
                continue;
            }
            let bytes = self.size_with(&line) + 1;
            if bytes > self.max_event_bytes {
                return Some(Err(self.fail()));
            }
            if line[0] != b':' {
                self.event_bytes = bytes;
                self.field(line);
            }
        }
        (self.size_with(&self.input) > self.max_event_bytes).then(|| Err(self.fail()))
    }
}

fn joined(mut all: BytesMut, line: &[u8]) -> BytesMut {
    all.extend_from_slice(b"\n");
    all.extend_from_slice(line);
    all
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(stream: &[u8]) -> Vec<SseEvent> {
        let mut decoder = SseDecoder::new(1 << 20);
        decoder.push(stream);
        decoder.by_ref().map(Result::unwrap).collect()
    }

    fn texts(stream: &[u8]) -> Vec<String> {
        decode(stream)
            .iter()
            .map(|event| String::from_utf8(event.data.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn an_event_is_framed_without_copying_its_text() {
        let json = Bytes::from_static(br#"{"a":1}"#);
        let pieces = event_pieces(json.clone());
        assert_eq!(pieces.concat(), b"data: {\"a\":1}\n\n");
        assert_eq!(pieces[1].as_ptr(), json.as_ptr());
    }

    #[test]
    fn raw_line_breaks_become_data_lines() {
        let framed = event_pieces(Bytes::from_static(b"{\r\n\"a\":\n1\r}")).concat();
        assert_eq!(framed, b"data: {\ndata: \"a\":\ndata: 1\ndata: }\n\n");
        assert_eq!(texts(&framed), ["{\n\"a\":\n1\n}"]);
    }

    #[test]
    fn all_line_ends_and_the_byte_order_mark_are_understood() {
        for stream in [
            "data: x\n\n",
            "data: x\r\n\r\n",
            "data: x\r\r",
            "\u{feff}data: x\r\n\n",
            "data:x\n\r\n",
            "data: x\r\n\r",
        ] {
            assert_eq!(texts(stream.as_bytes()), ["x"], "{stream:?}");
        }
    }

    // spec: http-receive-08
    #[test]
    fn comments_are_skipped_anywhere() {
        let mut stream = b":\r\n".to_vec();
        stream.extend_from_slice(KEEP_ALIVE);
        stream.extend_from_slice(b": hello\ndata: a\n:data: no\ndata: b\n\n");
        stream.extend_from_slice(KEEP_ALIVE);
        assert_eq!(texts(&stream), ["a\nb"]);
    }

    #[test]
    fn keep_alives_never_add_up_to_an_error() {
        let mut decoder = SseDecoder::new(16);
        decoder.push(b"data: x\n");
        for _ in 0..100 {
            decoder.push(b": still here\n");
            assert_eq!(decoder.next(), None);
        }
        decoder.push(b"\n");
        assert_eq!(decoder.next().unwrap().unwrap().data, "x");
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        let events = decode(
            b"event: message\nid: 7\nretry: 250\ndata:  two spaces\n\ndata\n\nid: bad\0id\nfoo: bar\ndata: z\n\n",
        );
        assert_eq!(
            events[0],
            SseEvent {
                event: Some("message".into()),
                data: " two spaces".into(),
                id: Some("7".into())
            }
        );
        assert_eq!(
            events[1],
            SseEvent {
                event: None,
                data: Bytes::new(),
                id: Some("7".into())
            }
        );
        assert_eq!(events[2].id.as_deref(), Some("7"));
        let mut decoder = SseDecoder::new(100);
        decoder.push(b"retry: 250\nid: 1\n\nretry: soon\n\nretry:\n\nid\n\n");
        assert_eq!(decoder.next(), None, "events without data are not events");
        assert_eq!(
            (decoder.retry_ms(), decoder.last_event_id()),
            (Some(250), None)
        );
    }

    #[test]
    fn an_unfinished_event_is_not_delivered() {
        assert!(decode(b"data: x\n").is_empty());
        assert!(decode(b"data: x").is_empty());
    }

    #[test]
    fn an_event_over_the_limit_ends_the_stream_with_one_error() {
        for stream in [
            "data: 0123456789abcdef",
            "data: 01234\ndata: 01234\n",
            ":0123456789abcdef\n",
            "data: 0123456789\n\n",
        ] {
            let mut decoder = SseDecoder::new(15);
            decoder.push(b"data: fits\n\n");
            decoder.push(stream.as_bytes());
            assert_eq!(decoder.next().unwrap().unwrap().data, "fits");
            assert_eq!(
                decoder.next(),
                Some(Err(SseError {
                    max_event_bytes: 15
                })),
                "{stream}"
            );
            decoder.push(b"data: y\n\n");
            assert_eq!(decoder.next(), None);
            assert!(decoder.input.is_empty());
        }
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_makes_no_difference(
            stream in "(data|event|id|:|x|\u{feff})?(: ?)?[a-c]{0,3}(\n|\r|\r\n|)((data|data:|event|id)(: ?)?[a-c]{0,3}(\n|\r|\r\n)){0,8}(\n|\r\n){0,2}",
            cuts in proptest::collection::vec(0usize..80, 0..12),
        ) {
            let whole = decode(stream.as_bytes());
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.push(stream.len());
            cuts.sort_unstable();
            let mut decoder = SseDecoder::new(1 << 20);
            let (mut pieces, mut start) = (Vec::new(), 0);
            for cut in cuts {
                decoder.push(&stream.as_bytes()[start..cut]);
                pieces.extend(decoder.by_ref().map(Result::unwrap));
                start = cut;
            }
            prop_assert_eq!(pieces, whole);
        }

        #[test]
        fn what_is_encoded_is_decoded(messages in proptest::collection::vec("[ -~\u{e9}\n]{0,30}", 0..6)) {
            let mut stream = BytesMut::new();
            for message in &messages {
                encode_event(message.as_bytes(), &mut stream);
            }
            prop_assert_eq!(texts(&stream), messages);
        }
    }
}
