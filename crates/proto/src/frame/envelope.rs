//! The envelope of a message that cannot be decoded, because it is too long or not valid JSON.

use carryall_types::RequestId;

/// Member names and ids longer than this are not read.
const MAX_TOKEN: usize = 256;
/// The most responses of one array whose ids are read.
const MAX_BATCH: usize = 4096;

/// Finds the id and the kind of a message in text that arrives in pieces. Stores a few bytes only,
/// and of an array (a batch of revision 2025-03-26) the ids of its responses until they are
/// [taken](Self::take_responses).
///
/// It does not validate: the message is known to be unusable, and only its request is of interest.
#[derive(Debug, Default)]
pub(super) struct EnvelopeScan {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Behind the colon of a member of a message.
    in_value: bool,
    /// The outermost value is neither an object nor an array, so that it has no members.
    is_other: bool,
    /// The outermost value is an array of messages.
    is_batch: bool,
    /// The ids of the responses in it that were not taken yet, and how many there were.
    responses: Vec<RequestId>,
    responses_seen: usize,
    /// The response at hand is one of these.
    is_listed: bool,
    /// The member name or scalar value at hand.
    token: Vec<u8>,
    is_id: bool,
    id: Option<RequestId>,
    has_method: bool,
    has_outcome: bool,
}

impl EnvelopeScan {
    /// Reads on.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, after)) = bytes.split_first() {
            if self.is_other {
                return;
            }
            if self.in_string {
                bytes = self.string(bytes);
            } else {
                self.structure(byte);
                bytes = after;
            }
        }
    }

    /// The id, if the message has one that can be read.
    pub(super) fn id(&self) -> Option<&RequestId> {
        self.id.as_ref()
    }

    /// Whether the message is a response: it has an outcome and no method.
    pub(super) fn is_response(&self) -> bool {
        self.has_outcome && !self.has_method
    }

    /// Whether both the id and the kind of message are known, of a message by itself.
    pub(super) fn is_complete(&self) -> bool {
        !self.is_batch && self.id.is_some() && (self.has_outcome || self.has_method)
    }

    /// Whether the text is an array of messages.
    pub(super) fn is_batch(&self) -> bool {
        self.is_batch
    }

    /// Whether any response of an array could be read.
    pub(super) fn has_responses(&self) -> bool {
        self.responses_seen > 0
    }

    /// The ids of those responses of an array that were read since the last time.
    pub(super) fn take_responses(&mut self) -> Vec<RequestId> {
        std::mem::take(&mut self.responses)
    }

    /// Whether the text at hand belongs to a message, and not to one of its values.
    fn is_in_message(&self) -> bool {
        self.depth == 1 + usize::from(self.is_batch)
    }

    /// Notes the response at hand, if it is one of an array.
    fn list(&mut self) {
        let is_new = self.is_batch
            && !self.is_listed
            && self.is_response()
            && self.responses_seen < MAX_BATCH;
        if let (true, Some(id)) = (is_new, &self.id) {
            self.responses.push(id.clone());
            self.responses_seen += 1;
            self.is_listed = true;
        }
    }

    /// Scans inside a string; returns the input behind it.
    fn string<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if std::mem::take(&mut self.escaped) {
            self.keep(&bytes[..1]);
            return &bytes[1..];
        }
        let end = memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
        let (inside, rest) = bytes.split_at(end);
        self.keep(inside);
        let Some((&byte, rest)) = rest.split_first() else {
            return rest;
        };
        self.keep(&[byte]);
        if byte == b'\\' {
            self.escaped = true;
        } else {
            self.in_string = false;
            if self.is_in_message() && !self.in_value {
                self.name();
            }
        }
        rest
    }

    fn structure(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.in_string = true;
                self.keep(b"\"");
            }
            b'{' | b'[' => {
                self.is_batch |= self.depth == 0 && byte == b'[';
                self.depth += 1;
                if self.is_batch && self.is_in_message() {
                    self.next_of_batch();
                }
            }
            b'}' | b']' => {
                self.end_of_value();
                self.depth = self.depth.saturating_sub(1);
            }
            b',' => self.end_of_value(),
            b':' if self.is_in_message() => {
                self.in_value = true;
                self.token.clear();
            }
            byte if byte.is_ascii_whitespace() => {}
            byte => {
                self.is_other |= self.depth == 0;
                self.keep(&[byte]);
            }
        }
    }

    /// Begins another message of an array.
    fn next_of_batch(&mut self) {
        (self.id, self.has_method, self.has_outcome, self.is_listed) = (None, false, false, false);
        (self.in_value, self.is_id) = (false, false);
        self.token.clear();
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.is_in_message() {
            // One byte more than is ever read, so that a longer token is not taken for its
            // beginning.
            let room = (MAX_TOKEN + 1).saturating_sub(self.token.len());
            self.token
                .extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn name(&mut self) {
        self.is_id = self.token == b"\"id\"";
        self.has_method |= self.token == b"\"method\"";
        self.has_outcome |= self.token == b"\"result\"" || self.token == b"\"error\"";
        self.list();
    }

    fn end_of_value(&mut self) {
        if !self.is_in_message() {
            return;
        }
        if self.in_value && self.is_id && self.token.len() <= MAX_TOKEN {
            self.id = std::str::from_utf8(&self.token)
                .ok()
                .and_then(crate::decode::read_lenient_id);
            self.list();
        }
        self.in_value = false;
        self.is_id = false;
        self.token.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(text: &str, cut: usize) -> (Option<RequestId>, bool) {
        let mut scan = EnvelopeScan::default();
        text.as_bytes()
            .chunks(cut)
            .for_each(|piece| scan.push(piece));
        (scan.id().cloned(), scan.is_response())
    }

    #[test]
    fn the_id_of_a_response_is_found_wherever_it_stands_and_wherever_the_text_is_cut() {
        let responses = [
            (
                r#"{"jsonrpc":"2.0","id":7,"result":{"id":8,"a":[{"id":9}],"x":"\"id\":1,\"method\":"}}"#,
                7.into(),
            ),
            (
                r#" {"result" : [1,2,{"method":"x"}] , "id" : "a\"b" }"#,
                "a\"b".into(),
            ),
            (r#"{"error":{"code":"x"},"id":7.0}"#, 7.into()),
            (r#"{"id":-1,"result":"#, (-1).into()),
            (r#"{"id":3,"result":"\ud83d"#, 3.into()),
        ];
        for (text, id) in responses {
            for cut in 1..text.len() {
                assert_eq!(
                    scanned(text, cut),
                    (Some(RequestId::clone(&id)), true),
                    "{text} by {cut}"
                );
            }
        }
    }

    #[test]
    fn requests_are_no_responses_and_what_has_no_id_has_none() {
        assert_eq!(
            scanned(r#"{"id":7,"method":"x","params":{"result":1}}"#, 3),
            (Some(7.into()), false)
        );
        let long = format!(r#"{{"id":"{}","result":1}}"#, "x".repeat(MAX_TOKEN));
        let without = [
            r#"{"id":null,"result":1}"#,
            r#"{"id":{"id":1},"result":1}"#,
            r#"{"result":{"id":1}}"#,
            long.as_str(),
        ];
        for text in without {
            assert_eq!(scanned(text, 2), (None, true), "{text}");
        }
        for other in [
            r#"["id",1,"result"]"#,
            r#""id":1,"result":1"#,
            "no message",
            "",
        ] {
            assert_eq!(scanned(other, 2).0, None, "{other}");
        }
    }

    #[test]
    fn the_responses_of_an_array_are_told_apart_wherever_the_text_is_cut() {
        let text = r#" [ {"id":1,"result":[{"id":8,"result":1}]},{"id":2,"method":"x"}, 7, [{"id":9,"result":1}],
            {"result":{"id":8},"id":"a"},{"error":{"code":1}}, {"id":4,"error":{}},{"id":5,"result":"#;
        for cut in 1..text.len() {
            let mut scan = EnvelopeScan::default();
            let mut ids = Vec::new();
            for piece in text.as_bytes().chunks(cut) {
                scan.push(piece);
                ids.append(&mut scan.take_responses());
            }
            assert_eq!(
                ids,
                [1.into(), "a".into(), 4.into(), RequestId::from(5)],
                "by {cut}"
            );
            assert!(scan.is_batch() && scan.has_responses() && !scan.is_complete());
        }
        let mut scan = EnvelopeScan::default();
        scan.push(format!("[{}]", r#"{"id":1,"result":1},"#.repeat(MAX_BATCH + 1)).as_bytes());
        assert_eq!(scan.take_responses().len(), MAX_BATCH);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut scan = EnvelopeScan::default();
        scan.push(b"{\"");
        for _ in 0..1000 {
            scan.push(&[b'x'; 1000]);
        }
        assert!(scan.token.len() <= MAX_TOKEN + 1);
    }
}
