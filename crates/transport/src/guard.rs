//! A panic in a service is that call's failure, not the connection's.

use carryall_proto::{BoxFuture, CallError, Message, MessageStream, Reply};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

/// Polls a call; a panic becomes an error. The future must not be polled again after that, as after
/// any other result.
pub(crate) fn poll_call(
    future: &mut BoxFuture<Result<Reply, CallError>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Reply, CallError>> {
    catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)))
        .unwrap_or_else(|panic| Poll::Ready(Err(failure(&*panic))))
}

/// Polls a stream; a panic becomes an error, after which the stream must be dropped.
pub(crate) fn poll_message(
    stream: &mut MessageStream,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Message, CallError>>> {
    catch_unwind(AssertUnwindSafe(|| stream.as_mut().poll_next(cx)))
        .unwrap_or_else(|panic| Poll::Ready(Some(Err(failure(&*panic)))))
}

fn failure(panic: &(dyn Any + Send)) -> CallError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)");
    carryall_proto::BoxError::from(format!("the service panicked: {text}")).into()
}
