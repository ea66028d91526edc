//! The task that reads a channel.

use super::ChannelInner;
use crate::lines::io::poll_read;
use carryall_proto::CallError;
use carryall_proto::frame::LineDecoder;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use tokio::io::AsyncRead;

/// Reads until the channel fails. Also writes what calls could not write at once.
pub(super) async fn run<R: AsyncRead>(channel: Arc<ChannelInner>, reader: R, max_message: usize) {
    let guard = FailOnDrop(Arc::clone(&channel));
    let mut reader = pin!(reader);
    let mut decoder = LineDecoder::new(max_message);
    let failure = poll_fn(|cx| {
        if let Poll::Ready(failure) = channel.lock().poll_write(cx) {
            return Poll::Ready(failure);
        }
        loop {
            match ready!(poll_read(&mut decoder, cx, reader.as_mut())) {
                Ok(0) => return Poll::Ready(CallError::broken("the server closed the channel")),
                Ok(_) => {}
                Err(error) => return Poll::Ready(CallError::broken(error)),
            }
            let mut state = channel.lock();
            for line in decoder.by_ref() {
                match line {
                    Ok(line) => state.on_line(&line),
                    Err(too_long) => state.on_long_line(too_long),
                }
            }
        }
    })
    .await;
    channel.lock().fail(failure);
    drop(guard);
}

/// Fails the channel when the task ends in any way, such as with its runtime: calls must not wait
/// for replies that nobody reads.
struct FailOnDrop(Arc<ChannelInner>);

impl Drop for FailOnDrop {
    fn drop(&mut self) {
        let error = CallError::broken("the channel is no longer read");
        self.0.lock().fail(error);
    }
}
