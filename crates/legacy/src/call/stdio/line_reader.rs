//! Reads newline-framed messages.

use bytes::Bytes;
use carryall_proto::frame::{LineDecoder, LineTooLong};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How many bytes are read at a time.
const READ_BYTES: usize = 16 * 1024;

/// One line of the server.
pub(super) enum InputLine {
    Message(Bytes),
    /// A message over the limit, which was skipped.
    TooLong(LineTooLong),
}

/// The lines of a server.
pub(super) struct LineReader<R> {
    reader: R,
    decoder: LineDecoder,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads lines of up to `max_message` bytes.
    pub(super) fn new(reader: R, max_message: usize) -> Self {
        Self {
            reader,
            decoder: LineDecoder::new(max_message),
        }
    }

    /// Returns the next line, or `None` at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> io::Result<Option<InputLine>> {
        loop {
            match self.decoder.next() {
                Some(Ok(line)) => return Ok(Some(InputLine::Message(line))),
                Some(Err(too_long)) => return Ok(Some(InputLine::TooLong(too_long))),
                None => {}
            }
            let buffer = self.decoder.buffer();
            buffer.reserve(READ_BYTES);
            if self.reader.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The bytes that were read after the last line, and the reader.
    pub(super) fn into_parts(mut self) -> (Bytes, R) {
        (self.decoder.buffer().split().freeze(), self.reader)
    }
}
