//! Encodes messages to bytes.
//!
//! A large result is never copied into its envelope: the encoded message is a chain of a head, the
//! result's own buffer and a tail, which a socket writes in one vectored call.

use crate::json;
use crate::{Call, Message, Notification, Outcome, Response};
use bytes::{Buf, Bytes};
use carryall_types::{ErrorObject, RequestId};
use std::io::IoSlice;

/// Results up to this size are copied behind their head: one small write beats three slices.
const COPY_UP_TO: usize = 8 * 1024;

/// One encoded message, in up to three pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    head: Bytes,
    body: Bytes,
    tail: &'static [u8],
}

impl Encoded {
    /// All of it in one buffer.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        if self.body.is_empty() && self.tail.is_empty() {
            return self.head;
        }
        self.copy_to_bytes(self.remaining())
    }

    /// The pieces in order, some of them possibly empty, for a body that hands out one buffer after
    /// the other.
    #[must_use]
    pub fn into_pieces(self) -> [Bytes; 3] {
        [self.head, self.body, Bytes::from_static(self.tail)]
    }
}

impl From<Vec<u8>> for Encoded {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            head: bytes.into(),
            ..Self::default()
        }
    }
}

impl From<Bytes> for Encoded {
    fn from(head: Bytes) -> Self {
        Self {
            head,
            ..Self::default()
        }
    }
}

impl Buf for Encoded {
    fn remaining(&self) -> usize {
        self.head.len() + self.body.len() + self.tail.len()
    }

    fn chunk(&self) -> &[u8] {
        if !self.head.is_empty() {
            &self.head
        } else if !self.body.is_empty() {
            &self.body
        } else {
            self.tail
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        for piece in [&self.head[..], &self.body[..], self.tail] {
            if piece.is_empty() {
                continue;
            }
            let Some(slot) = slices.get_mut(used) else {
                break;
            };
            *slot = IoSlice::new(piece);
            used += 1;
        }
        used
    }

    fn advance(&mut self, count: usize) {
        let from_head = count.min(self.head.len());
        self.head.advance(from_head);
        let from_body = (count - from_head).min(self.body.len());
        self.body.advance(from_body);
        self.tail = &self.tail[count - from_head - from_body..];
    }
}

impl Response {
    /// The response as one JSON-RPC message.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        match &self.outcome {
            Outcome::Result(result) => {
                const BEFORE: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":";
                const BETWEEN: &[u8] = b",\"result\":";
                let small = result.as_bytes().len() <= COPY_UP_TO;
                let behind = if small {
                    result.as_bytes().len() + 1
                } else {
                    0
                };
                // A buffer without room to spare becomes `Bytes` without another allocation.
                let mut head = Vec::with_capacity(
                    BEFORE.len() + written_len(&self.id) + BETWEEN.len() + behind,
                );
                head.extend_from_slice(BEFORE);
                write_id(&mut head, &self.id);
                head.extend_from_slice(BETWEEN);
                if small {
                    head.extend_from_slice(result.as_bytes());
                    head.push(b'}');
                    return head.into();
                }
                Encoded {
                    head: head.into(),
                    body: result.clone().into_bytes(),
                    tail: b"}",
                }
            }
            Outcome::Error(error) => encode_error(Some(&self.id), error),
        }
    }
}

impl Notification {
    /// The notification as one JSON-RPC message.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        let params = self
            .params
            .as_ref()
            .map_or(&b""[..], |params| params.as_bytes());
        let mut out = Vec::with_capacity(64 + self.method.len() + params.len());
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"method\":");
        json::write_str(&mut out, &self.method);
        if !params.is_empty() {
            out.extend_from_slice(b",\"params\":");
            out.extend_from_slice(params);
        }
        out.push(b'}');
        out.into()
    }
}

impl Message {
    /// The message as JSON-RPC.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        match self {
            Self::Notification(notification) => notification.encode(),
            Self::Response(response) => response.encode(),
        }
    }
}

impl Call {
    /// The request as one JSON-RPC message.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        let params = self.params().raw().as_bytes();
        let mut out = Vec::with_capacity(64 + params.len());
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        write_id(&mut out, self.id());
        out.extend_from_slice(b",\"method\":");
        json::write_str(&mut out, self.method().as_str());
        out.extend_from_slice(b",\"params\":");
        out.extend_from_slice(params);
        out.push(b'}');
        out.into()
    }
}

/// An error response. Without an `id` when none could be read from the request
/// (`basic/index#error-responses`).
#[must_use]
pub fn encode_error(id: Option<&RequestId>, error: &ErrorObject) -> Encoded {
    let mut out = Vec::with_capacity(96 + error.message.len());
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",");
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        write_id(&mut out, id);
        out.push(b',');
    }
    out.extend_from_slice(b"\"error\":{\"code\":");
    out.extend_from_slice(itoa::Buffer::new().format(error.code).as_bytes());
    out.extend_from_slice(b",\"message\":");
    json::write_str(&mut out, &error.message);
    if let Some(data) = &error.data {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data.as_bytes());
    }
    out.extend_from_slice(b"}}");
    out.into()
}

/// How long an id gets, unless it needs escapes.
fn written_len(id: &RequestId) -> usize {
    match id {
        RequestId::Number(number) => itoa::Buffer::new().format(*number).len(),
        RequestId::String(text) => text.len() + 2,
    }
}

fn write_id(out: &mut Vec<u8>, id: &RequestId) {
    match id {
        RequestId::Number(n) => out.extend_from_slice(itoa::Buffer::new().format(*n).as_bytes()),
        RequestId::String(s) => json::write_str(out, s),
    }
}
