//! The data of a body in one buffer: not copied when it comes in one piece.

use bytes::{Buf, Bytes, BytesMut};

/// The most that is reserved on the sender's word; beyond that the buffer grows with what really
/// arrives.
const TRUSTED_LENGTH: u64 = 256 * 1024;

#[derive(Debug, Default)]
pub(super) struct BodyBuffer {
    first: Bytes,
    more: BytesMut,
}

impl BodyBuffer {
    /// Adds a piece, after which at least `to_come` bytes are announced.
    pub(super) fn add(&mut self, mut data: impl Buf, to_come: u64) {
        if self.len() == 0 {
            self.first = data.copy_to_bytes(data.remaining());
            return;
        }
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            let expected = to_come.min(TRUSTED_LENGTH) as usize;
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
