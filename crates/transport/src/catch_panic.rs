//! Turns a panic in a service into an error of the call in which it happened, so that the
//! connection and its other calls go on.

use carryall_proto::{BoxError, BoxFuture, CallError, Message, MessageStream, Reply};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

/// Polls a call. After a panic, as after any other result, the future must not be polled again.
pub(crate) fn poll_call(
    future: &mut BoxFuture<Result<Reply, CallError>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Reply, CallError>> {
    catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)))
        .unwrap_or_else(|panic| Poll::Ready(Err(panicked(&*panic))))
}

/// Polls the stream of a reply. After a panic the stream must be dropped.
pub(crate) fn poll_message(
    stream: &mut MessageStream,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Message, CallError>>> {
    catch_unwind(AssertUnwindSafe(|| stream.as_mut().poll_next(cx)))
        .unwrap_or_else(|panic| Poll::Ready(Some(Err(panicked(&*panic)))))
}

fn panicked(panic: &(dyn Any + Send)) -> CallError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)");
    BoxError::from(format!("the service panicked: {text}")).into()
}
