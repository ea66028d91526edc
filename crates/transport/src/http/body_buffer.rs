//! Collects the data of a body in one buffer, without a copy when it arrives in one piece.

use bytes::{Buf, Bytes, BytesMut};

/// Limit on what is reserved because of an announced length. Beyond it, the buffer grows with the
/// data that arrives.
const MAX_RESERVED: u64 = 256 * 1024;

#[derive(Debug, Default)]
pub(super) struct BodyBuffer {
    first: Bytes,
    more: BytesMut,
}

impl BodyBuffer {
    /// Appends data, with at least `remaining` more bytes announced to follow.
    pub(super) fn push(&mut self, mut data: impl Buf, remaining: u64) {
        if self.len() == 0 {
            self.first = data.copy_to_bytes(data.remaining());
            return;
        }
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            let expected = remaining.min(MAX_RESERVED) as usize;
            self.more.reserve(first.len() + data.remaining() + expected);
            self.more.extend_from_slice(&first);
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            self.more.extend_from_slice(chunk);
            let count = chunk.len();
            data.advance(count);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.first.len() + self.more.len()
    }

    pub(super) fn take(&mut self) -> Bytes {
        if self.more.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            std::mem::take(&mut self.more).freeze()
        }
    }
}
