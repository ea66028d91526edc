//! A stream written as a function: no task, no channel.

use carryall_proto::sync::Mutex;
use futures_core::Stream;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// What [`stream`] makes.
pub(crate) type Generated<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// A stream of what the function emits. It runs when the stream is polled, and not between an item
/// and the next.
pub(crate) fn stream<T, F, Fut>(function: F) -> Generated<T>
where
    T: Send + 'static,
    F: FnOnce(Emitter<T>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let slot = Arc::new(Mutex::new(None));
    let future = Box::pin(function(Emitter {
        slot: Arc::clone(&slot),
    }));
    Box::pin(Generator {
        future: Some(future),
        slot,
    })
}

/// Where the function puts its items.
pub(crate) struct Emitter<T> {
    slot: Arc<Mutex<Option<T>>>,
}

impl<T> Emitter<T> {
    /// Hands over an item, and waits until it was taken.
    pub(crate) async fn emit(&self, item: T) {
        *lock(&self.slot) = Some(item);
        // Whoever takes the item polls again for the next one, so nobody needs to be woken.
        poll_fn(|_| {
            if lock(&self.slot).is_none() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

struct Generator<T, Fut> {
    future: Option<Pin<Box<Fut>>>,
    slot: Arc<Mutex<Option<T>>>,
}

impl<T, Fut: Future<Output = ()>> Stream for Generator<T, Fut> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let done = match &mut self.future {
            Some(future) => future.as_mut().poll(cx).is_ready(),
            None => return Poll::Ready(None),
        };
        if done {
            self.future = None;
        }
        match lock(&self.slot).take() {
            Some(item) => Poll::Ready(Some(item)),
            None if done => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<T, Fut> Unpin for Generator<T, Fut> {}

fn lock<T>(slot: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    slot.lock()
}

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
