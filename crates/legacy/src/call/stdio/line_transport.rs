//! A session on the standard streams of a process.

use super::line_reader::{InputLine, LineReader};
use crate::call::pending::PendingResponses;
use crate::call::transport::{
    IncomingStream, MessageSink, OneWayMessage, SessionError, SessionTransport,
};
use crate::message::LegacyRequest;
use bytes::{Bytes, BytesMut};
use carryall_proto::frame::encode_line;
use carryall_proto::{BoxFuture, CallError};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How many bytes may wait to be written, unless a single message is larger. Senders wait for room.
const MAX_QUEUED_BYTES: u32 = 1024 * 1024;
/// The least that a message counts as, in bytes.
const MIN_MESSAGE_COST: u32 = 1024;

/// Both directions of one process.
pub(super) struct LineTransport {
    pending: Arc<PendingResponses>,
    queue: WriteQueue,
    /// Set when the session ends from this side.
    released: Arc<AtomicBool>,
}

/// Messages that wait to be written. A task writes them, so that dropping a call never leaves half
/// a line behind.
#[derive(Clone)]
struct WriteQueue {
    lines: mpsc::UnboundedSender<QueuedLine>,
    /// One permit per byte. Closed when nothing is written any more.
    room: Arc<Semaphore>,
}

struct QueuedLine {
    text: Bytes,
    /// Returned when the line is written.
    room: OwnedSemaphorePermit,
}

impl LineTransport {
    /// Starts to read and write. `released` is set when the session ends while the process works.
    ///
    /// Reading and writing end with the process, not with the transport: when that is dropped, the
    /// writer sends what is queued and closes the standard input, and the reader drains the output,
    /// so that the process can end cleanly. [`ProcessSupervisor`](super::process::ProcessSupervisor)
    /// kills one that does not.
    pub(super) fn open<R, W>(
        lines: LineReader<R>,
        writer: W,
        released: Arc<AtomicBool>,
    ) -> Arc<Self>
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Send + 'static,
    {
        let pending = PendingResponses::in_order();
        let (sender, queued) = mpsc::unbounded_channel();
        let queue = WriteQueue {
            lines: sender,
            room: Arc::new(Semaphore::new(MAX_QUEUED_BYTES as usize)),
        };
        tokio::spawn(read(lines, Arc::clone(&pending)));
        let (room, writing) = (
            Arc::clone(&queue.room),
            write(writer, queued, Arc::clone(&pending)),
        );
        tokio::spawn(async move {
            writing.await;
            room.close();
        });
        Arc::new(Self {
            pending,
            queue,
            released,
        })
    }
}

impl WriteQueue {
    /// Queues a message, after waiting for room.
    async fn push(&self, text: Bytes, pending: &PendingResponses) -> Result<(), SessionError> {
        let closed = || {
            let failure = pending.failure();
            failure.unwrap_or_else(|| CallError::broken("the channel is closed"))
        };
        let cost = u32::try_from(text.len())
            .unwrap_or(u32::MAX)
            .clamp(MIN_MESSAGE_COST, MAX_QUEUED_BYTES);
        let room = Arc::clone(&self.room)
            .acquire_many_owned(cost)
            .await
            .map_err(|_| closed())?;
        self.lines
            .send(QueuedLine { text, room })
            .map_err(|_| closed())?;
        Ok(())
    }
}

async fn read<R: AsyncRead + Unpin>(mut lines: LineReader<R>, pending: Arc<PendingResponses>) {
    let error = loop {
        match lines.next().await {
            Ok(Some(InputLine::Message(line))) => pending.receive(&line),
            Ok(Some(InputLine::TooLong(line))) => pending.receive_too_long(&line),
            Ok(None) => break CallError::broken("the server closed the channel"),
            Err(error) => break CallError::broken(error),
        }
        if let Some(failure) = pending.failure() {
            break failure;
        }
    };
    pending.fail(error);
}

async fn write<W: AsyncWrite>(
    writer: W,
    mut queued: mpsc::UnboundedReceiver<QueuedLine>,
    pending: Arc<PendingResponses>,
) {
    let mut writer = pin!(writer);
    let mut out = BytesMut::new();
    while let Some(QueuedLine { text, mut room }) = queued.recv().await {
        encode_line(&text, &mut out);
        while let Ok(next) = queued.try_recv() {
            encode_line(&next.text, &mut out);
            room.merge(next.room);
        }
        let written = async { writer.write_all(&out).await.and(writer.flush().await) };
        if let Err(error) = written.await {
            return pending.fail(CallError::broken(error));
        }
        drop(room);
        // The buffer of a large message is not kept.
        if out.capacity() > MAX_QUEUED_BYTES as usize {
            out = BytesMut::new();
        }
        out.clear();
    }
}

impl fmt::Debug for LineTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineTransport")
            .field("failure", &self.pending.failure())
            .finish_non_exhaustive()
    }
}

impl SessionTransport for LineTransport {
    fn is_multiplexed(&self) -> bool {
        true
    }

    fn request(&self, request: LegacyRequest) -> BoxFuture<Result<IncomingStream, SessionError>> {
        let (pending, queue) = (Arc::clone(&self.pending), self.queue.clone());
        Box::pin(async move {
            let expected = pending.register(request.id.clone())?;
            queue.push(request.encode().into_bytes(), &pending).await?;
            Ok(expected.into_stream())
        })
    }

    fn send(&self, message: OneWayMessage) -> BoxFuture<Result<(), SessionError>> {
        let (pending, queue) = (Arc::clone(&self.pending), self.queue.clone());
        Box::pin(async move {
            queue.push(message.encode(), &pending).await?;
            pending.count_one_way();
            Ok(())
        })
    }

    fn on_unsolicited(&self, sink: MessageSink) {
        self.pending.on_unsolicited(sink);
    }

    fn close(&self) -> BoxFuture<()> {
        // There is no message for this: the session ends when the process does.
        if self.pending.failure().is_none() {
            self.released.store(true, Ordering::Relaxed);
        }
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_proto::Notification;
    use carryall_types::RawJson;
    use futures_util::FutureExt as _;
    use serde_json::json;
    use std::time::Duration;
    use tokio::io::duplex;

    fn notification(text: &str) -> OneWayMessage {
        let params = RawJson::from(&json!({"text": text}));
        OneWayMessage::Notification(Notification::new("n", params))
    }

    #[tokio::test]
    async fn queued_messages_are_bounded_in_bytes() {
        let ((near, far), (_unused, input)) = (duplex(64), duplex(64));
        let transport = LineTransport::open(LineReader::new(input, 1024), near, Arc::default());
        let text = "x".repeat(400 * 1024);
        let mut sending: Vec<_> = (0..8)
            .map(|_| transport.send(notification(&text)))
            .collect();
        let sent = sending
            .iter_mut()
            .filter_map(|one| one.now_or_never())
            .count();
        assert_eq!(sent, 2, "1 MiB is full");
        // The others are sent when the server reads, and fail when it is gone.
        drop(far);
        let ends = futures_util::future::join_all(sending.into_iter().skip(2));
        let ends = tokio::time::timeout(Duration::from_secs(30), ends)
            .await
            .expect("they wait for ever");
        assert!(ends.iter().all(Result::is_err), "{ends:?}");
    }

    #[tokio::test]
    async fn a_message_larger_than_the_queue_is_sent_alone() {
        let ((near, far), (_unused, input)) = (duplex(64), duplex(64));
        let transport = LineTransport::open(LineReader::new(input, 1024), near, Arc::default());
        let text = "x".repeat(3 << 20);
        let send = || transport.send(notification(&text));
        let mut lines = LineReader::new(far, 4 << 20);
        let both = async { (send().await, send().await) };
        let read = async { [lines.next().await.unwrap(), lines.next().await.unwrap()] };
        let (sent, read) = tokio::join!(both, read);
        assert!(sent.0.is_ok() && sent.1.is_ok());
        assert!(
            read.iter()
                .all(|line| matches!(line, Some(InputLine::Message(text)) if text.len() > 3 << 20))
        );
    }
}
