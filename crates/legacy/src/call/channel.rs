//! A session on a channel of lines: stdio and its like.

use super::mailbox::Mailbox;
use super::wire::{Incomings, Sink, Unanswered, Wire, WireError};
use crate::message::Request;
use bytes::{Bytes, BytesMut};
use carryall_proto::frame::{LineDecoder, LineTooLong, encode_line};
use carryall_proto::{BoxFuture, CallError};
use carryall_types::ProtocolVersion;
use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

/// How many messages may wait to be written.
const MAX_UNWRITTEN: usize = 256;
const READ: usize = 16 * 1024;

/// What a channel brings.
pub(crate) enum Line {
    Message(Bytes),
    /// A message was longer than is accepted, and was skipped.
    TooLong(LineTooLong),
}

/// Lines as they come.
pub(crate) struct LineReader<R> {
    reader: R,
    decoder: LineDecoder,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Lines of up to `max_message` bytes.
    pub(crate) fn new(reader: R, max_message: usize) -> Self {
        Self { reader, decoder: LineDecoder::new(max_message) }
    }

    /// The next line; `None` at the end. Cancel safe.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            match self.decoder.next() {
                Some(Ok(line)) => return Ok(Some(Line::Message(line))),
                Some(Err(too_long)) => return Ok(Some(Line::TooLong(too_long))),
                None => {}
            }
            let buffer = self.decoder.buffer();
            buffer.reserve(READ);
            if self.reader.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// What was read and is no line yet, and where the rest comes from.
    pub(crate) fn into_parts(mut self) -> (Bytes, R) {
        (self.decoder.buffer().split().freeze(), self.reader)
    }
}

/// Both directions of a channel.
pub(crate) struct ChannelWire {
    mailbox: Arc<Mailbox>,
    /// Written by a task of its own, so that giving up a call never leaves half a line behind.
    out: mpsc::Sender<Bytes>,
    /// Set when the session ends from this side.
    released: Arc<AtomicBool>,
}

impl ChannelWire {
    /// Reads and writes until either end is closed. `released` is set when the session ends while the channel is fine.
    pub(crate) fn open<R, W>(lines: LineReader<R>, writer: W, released: Arc<AtomicBool>) -> Arc<Self>
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Send + 'static,
    {
        let mailbox = Mailbox::in_order();
        let (out, waiting) = mpsc::channel(MAX_UNWRITTEN);
        tokio::spawn(read(lines, Arc::clone(&mailbox)));
        tokio::spawn(write(writer, waiting, Arc::clone(&mailbox)));
        Arc::new(Self { mailbox, out, released })
    }

    pub(crate) fn lost(&self) -> Option<CallError> {
        self.mailbox.lost()
    }
}

async fn put(mailbox: &Mailbox, out: &mpsc::Sender<Bytes>, text: Bytes) -> Result<(), WireError> {
    let closed = |_| WireError::Call(mailbox.lost().unwrap_or_else(|| CallError::broken("the channel is closed")));
    out.send(text).await.map_err(closed)
}

async fn read<R: AsyncRead + Unpin>(mut lines: LineReader<R>, mailbox: Arc<Mailbox>) {
    let error = loop {
        match lines.next().await {
            Ok(Some(Line::Message(line))) => mailbox.put(&line),
            Ok(Some(Line::TooLong(line))) => mailbox.too_long(&line),
            Ok(None) => break CallError::broken("the server closed the channel"),
            Err(error) => break CallError::broken(error),
        }
        if let Some(lost) = mailbox.lost() {
            break lost;
        }
    };
    mailbox.lose(error);
}

async fn write<W: AsyncWrite>(writer: W, mut waiting: mpsc::Receiver<Bytes>, mailbox: Arc<Mailbox>) {
    let mut writer = pin!(writer);
    let mut out = BytesMut::new();
    while let Some(text) = waiting.recv().await {
        encode_line(&text, &mut out);
        while let Ok(text) = waiting.try_recv() {
            encode_line(&text, &mut out);
        }
        let written = async { writer.write_all(&out).await.and(writer.flush().await) };
        if let Err(error) = written.await {
            return mailbox.lose(CallError::broken(error));
        }
        out.clear();
    }
}

impl fmt::Debug for ChannelWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelWire").field("lost", &self.lost()).finish_non_exhaustive()
    }
}

impl Wire for ChannelWire {
    fn is_shared(&self) -> bool {
        true
    }

    fn request(&self, request: Request) -> BoxFuture<Result<Incomings, WireError>> {
        let (mailbox, out) = (Arc::clone(&self.mailbox), self.out.clone());
        Box::pin(async move {
            let expected = mailbox.expect(request.id.clone())?;
            put(&mailbox, &out, request.encode().into_bytes()).await?;
            Ok(expected.into_stream())
        })
    }

    fn send(&self, message: Unanswered) -> BoxFuture<Result<(), WireError>> {
        let (mailbox, out) = (Arc::clone(&self.mailbox), self.out.clone());
        Box::pin(async move {
            put(&mailbox, &out, message.encode()).await?;
            mailbox.sent();
            Ok(())
        })
    }

    fn hear(&self, sink: Sink) {
        self.mailbox.hear(sink);
    }

    fn negotiated(&self, _: ProtocolVersion) {}

    fn end(&self) -> BoxFuture<()> {
        // Closing the channel is how a session ends here, and that is up to whoever has the process.
        if self.lost().is_none() {
            self.released.store(true, Ordering::Relaxed);
        }
        Box::pin(std::future::ready(()))
    }
}
