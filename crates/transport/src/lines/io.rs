//! Buffered input and output of a channel.

use bytes::{Buf as _, BytesMut};
use carryall_proto::frame::{LineDecoder, encode_line};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

/// Unwritten bytes from which on no more output is produced until the other side reads.
const HIGH_WATER: usize = 1024 * 1024;
/// Minimum room for a read.
const MIN_READ: usize = 16 * 1024;
/// A buffer that a large message has grown beyond this is freed when it is empty.
const MAX_KEPT: usize = 256 * 1024;

/// Reads more input into the decoder. Returns 0 at the end of the input.
pub(super) fn poll_read<R: AsyncRead>(
    decoder: &mut LineDecoder,
    cx: &mut Context<'_>,
    mut reader: Pin<&mut R>,
) -> Poll<io::Result<usize>> {
    let buffer = decoder.buffer();
    if buffer.capacity() - buffer.len() < MIN_READ {
        buffer.reserve(MIN_READ);
    }
    // The future has no state, so it need not be kept when it is pending.
    pin!(reader.read_buf(buffer)).poll(cx)
}

/// Lines that have not been written yet.
pub(super) struct OutputBuffer {
    buffer: BytesMut,
    is_flushed: bool,
    written: u64,
}

impl OutputBuffer {
    pub(super) fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            is_flushed: true,
            written: 0,
        }
    }

    /// Appends a JSON text as a line.
    pub(super) fn push(&mut self, json: &[u8]) {
        encode_line(json, &mut self.buffer);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.buffer.len() >= HIGH_WATER
    }

    /// Returns the number of bytes that the other side has accepted.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn clear(&mut self) {
        self.buffer = BytesMut::new();
    }

    /// Writes and flushes all lines.
    pub(super) fn poll_flush<W: AsyncWrite + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        mut writer: Pin<&mut W>,
    ) -> Poll<io::Result<()>> {
        while !self.buffer.is_empty() {
            match ready!(writer.as_mut().poll_write(cx, &self.buffer))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => {
                    self.buffer.advance(count);
                    self.written += count as u64;
                    self.is_flushed = false;
                }
            }
        }
        if self.buffer.capacity() > MAX_KEPT {
            self.buffer = BytesMut::new();
        }
        if !self.is_flushed {
            ready!(writer.poll_flush(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}
