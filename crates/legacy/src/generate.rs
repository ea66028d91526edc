//! Streams written as an async function, without a task or a channel.
//!
//! In place of the `async-stream` crate, because this is a function and not a macro.

use carryall_proto::sync::Mutex;
use futures_core::Stream;
use futures_core::stream::BoxStream;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

// The name that this type had.
pub(crate) type Generated<T> = BoxStream<'static, T>;

/// Returns a stream of the items that `function` emits. The function runs while the stream is
/// polled, and only until its next item.
pub(crate) fn stream<T, F, Fut>(function: F) -> BoxStream<'static, T>
where
    T: Send + 'static,
    F: FnOnce(Emitter<T>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let item = Arc::new(Mutex::new(None));
    let future = Box::pin(function(Emitter {
        item: Arc::clone(&item),
    }));
    Box::pin(Generator {
        future: Some(future),
        item,
    })
}

/// Receives the items of a stream.
pub(crate) struct Emitter<T> {
    item: Arc<Mutex<Option<T>>>,
}

impl<T> Emitter<T> {
    /// Emits an item, and waits until the next one is asked for.
    pub(crate) async fn emit(&self, item: T) {
        *self.item.lock() = Some(item);
        // Needs no waker: whoever takes the item polls again for the next one.
        poll_fn(|_| {
            if self.item.lock().is_none() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

struct Generator<T, Fut> {
    /// `None` after the function has returned.
    future: Option<Pin<Box<Fut>>>,
    item: Arc<Mutex<Option<T>>>,
}

impl<T, Fut: Future<Output = ()>> Stream for Generator<T, Fut> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let has_returned = match &mut self.future {
            Some(future) => future.as_mut().poll(cx).is_ready(),
            None => return Poll::Ready(None),
        };
        if has_returned {
            self.future = None;
        }
        match self.item.lock().take() {
            Some(item) => Poll::Ready(Some(item)),
            None if has_returned => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<T, Fut> Unpin for Generator<T, Fut> {}

#[cfg(test)]
mod tests {
    use super::stream;
    use futures_util::StreamExt as _;

    #[tokio::test]
    async fn items_come_in_order_and_the_function_ends_the_stream() {
        let numbers = stream(|out| async move {
            for number in 0..3 {
                out.emit(number).await;
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(numbers.collect::<Vec<_>>().await, [0, 1, 2]);
    }
}
