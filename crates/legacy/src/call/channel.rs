//! A session on a channel of lines: stdio and its like.

use super::mailbox::PendingResponses;
use super::wire::{IncomingStream, MessageSink, OneWayMessage, SessionError, SessionTransport};
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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How many bytes may wait to be written, unless they are one message; calls wait before they add
/// to that.
const MAX_UNWRITTEN: u32 = 1024 * 1024;
/// A message counts as at least so many bytes.
const MIN_COST: u32 = 1024;
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
        Self {
            reader,
            decoder: LineDecoder::new(max_message),
        }
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
pub(crate) struct LineTransport {
    mailbox: Arc<PendingResponses>,
    /// Written by a task of its own, so that giving up a call never leaves half a line behind.
    out: Out,
    /// Set when the session ends from this side.
    released: Arc<AtomicBool>,
}

/// What waits to be written.
#[derive(Clone)]
struct Out {
    queue: mpsc::UnboundedSender<QueuedLine>,
    /// In bytes.
    room: Arc<Semaphore>,
}

struct QueuedLine {
    text: Bytes,
    /// Given back once it is written.
    room: OwnedSemaphorePermit,
}

impl LineTransport {
    /// Reads and writes until either end is closed. `released` is set when the session ends while
    /// the channel is fine.
    pub(crate) fn open<R, W>(
        lines: LineReader<R>,
        writer: W,
        released: Arc<AtomicBool>,
    ) -> Arc<Self>
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Send + 'static,
    {
        let mailbox = PendingResponses::in_order();
        let (queue, waiting) = mpsc::unbounded_channel();
        let out = Out {
            queue,
            room: Arc::new(Semaphore::new(MAX_UNWRITTEN as usize)),
        };
        let room = Arc::clone(&out.room);
        tokio::spawn(read(lines, Arc::clone(&mailbox)));
        let writing = write(writer, waiting, Arc::clone(&mailbox));
        tokio::spawn(async move {
            writing.await;
            // Nobody is to wait for room any more.
            room.close();
        });
        Arc::new(Self {
            mailbox,
            out,
            released,
        })
    }

    pub(crate) fn lost(&self) -> Option<CallError> {
        self.mailbox.lost()
    }
}

async fn put(mailbox: &PendingResponses, out: &Out, text: Bytes) -> Result<(), SessionError> {
    let closed = || {
        SessionError::Call(
            mailbox
                .lost()
                .unwrap_or_else(|| CallError::broken("the channel is closed")),
        )
    };
    let cost = u32::try_from(text.len())
        .unwrap_or(u32::MAX)
        .clamp(MIN_COST, MAX_UNWRITTEN);
    let room = Arc::clone(&out.room)
        .acquire_many_owned(cost)
        .await
        .map_err(|_| closed())?;
    out.queue
        .send(QueuedLine { text, room })
        .map_err(|_| closed())
}

async fn read<R: AsyncRead + Unpin>(mut lines: LineReader<R>, mailbox: Arc<PendingResponses>) {
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

async fn write<W: AsyncWrite>(
    writer: W,
    mut waiting: mpsc::UnboundedReceiver<QueuedLine>,
    mailbox: Arc<PendingResponses>,
) {
    let mut writer = pin!(writer);
    let mut out = BytesMut::new();
    while let Some(QueuedLine { text, mut room }) = waiting.recv().await {
        encode_line(&text, &mut out);
        while let Ok(next) = waiting.try_recv() {
            encode_line(&next.text, &mut out);
            room.merge(next.room);
        }
        let written = async { writer.write_all(&out).await.and(writer.flush().await) };
        if let Err(error) = written.await {
            return mailbox.lose(CallError::broken(error));
        }
        drop(room);
        // The room that a large message took is not kept.
        if out.capacity() > MAX_UNWRITTEN as usize {
            out = BytesMut::new();
        }
        out.clear();
    }
}

impl fmt::Debug for LineTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineTransport")
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

impl SessionTransport for LineTransport {
    fn is_shared(&self) -> bool {
        true
    }

    fn request(&self, request: Request) -> BoxFuture<Result<IncomingStream, SessionError>> {
        let (mailbox, out) = (Arc::clone(&self.mailbox), self.out.clone());
        Box::pin(async move {
            let expected = mailbox.expect(request.id.clone())?;
            put(&mailbox, &out, request.encode().into_bytes()).await?;
            Ok(expected.into_stream())
        })
    }

    fn send(&self, message: OneWayMessage) -> BoxFuture<Result<(), SessionError>> {
        let (mailbox, out) = (Arc::clone(&self.mailbox), self.out.clone());
        Box::pin(async move {
            put(&mailbox, &out, message.encode()).await?;
            mailbox.sent();
            Ok(())
        })
    }

    fn hear(&self, sink: MessageSink) {
        self.mailbox.hear(sink);
    }

    fn negotiated(&self, _: ProtocolVersion) {}

    fn end(&self) -> BoxFuture<()> {
        // Closing the channel is how a session ends here, and that is up to whoever has the
        // process.
        if self.lost().is_none() {
            self.released.store(true, Ordering::Relaxed);
        }
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_proto::Notification;
    use futures_util::FutureExt as _;
    use tokio::io::duplex;

    #[tokio::test]
    async fn what_waits_to_be_written_is_bounded_in_bytes() {
        let ((near, far), (_unused, input)) = (duplex(64), duplex(64));
        let wire = LineTransport::open(LineReader::new(input, 1024), near, Arc::default());
        let send = || {
            let text = "x".repeat(400 * 1024);
            let params = carryall_types::RawJson::from(&serde_json::json!({"text": text}));
            wire.send(OneWayMessage::Notification(Notification::new("n", params)))
        };
        let mut sending: Vec<_> = (0..8).map(|_| send()).collect();
        let sent = sending
            .iter_mut()
            .filter_map(|one| one.now_or_never())
            .count();
        assert_eq!(sent, 2, "1 MiB is full");
        // They are sent when the server reads, and fail when it has gone.
        drop(far);
        let ends = futures_util::future::join_all(sending.into_iter().skip(2));
        let ends = tokio::time::timeout(std::time::Duration::from_secs(30), ends)
            .await
            .expect("they wait for ever");
        assert!(ends.iter().all(Result::is_err), "{ends:?}");
    }

    #[tokio::test]
    async fn a_message_larger_than_the_room_is_sent_alone() {
        let ((near, far), (_unused, input)) = (duplex(64), duplex(64));
        let wire = LineTransport::open(LineReader::new(input, 1024), near, Arc::default());
        let params =
            carryall_types::RawJson::from(&serde_json::json!({"text": "x".repeat(3 << 20)}));
        let send = || {
            wire.send(OneWayMessage::Notification(Notification::new(
                "n",
                params.clone(),
            )))
        };
        let mut lines = LineReader::new(far, 4 << 20);
        let both = async { (send().await, send().await) };
        let read = async { [lines.next().await.unwrap(), lines.next().await.unwrap()] };
        let (sent, read) = tokio::join!(both, read);
        assert!(sent.0.is_ok() && sent.1.is_ok());
        assert!(
            read.iter()
                .all(|line| matches!(line, Some(Line::Message(text)) if text.len() > 3 << 20))
        );
    }
}
