//! Work that several callers wait for, and that goes on when none of them does any more.

use carryall_proto::sync::Mutex;
use carryall_proto::{BoxFuture, CallError};
use futures_util::FutureExt as _;
use futures_util::future::Shared;
use std::sync::{Arc, MutexGuard};

/// At most one piece of work at a time, whose result goes to all who ask for it meanwhile.
///
/// A handshake may take longer than the request that caused it may: were it part of that request, a
/// server that starts slowly would be started again and again and never be ready. It runs in a task
/// of its own, so it has to be bounded by itself. Callers that give up leave nothing behind.
pub(crate) struct SingleFlight<T, E> {
    current: Arc<Mutex<Option<Work<T, E>>>>,
}

type Work<T, E> = Shared<BoxFuture<Result<T, E>>>;

impl<T, E> Default for SingleFlight<T, E> {
    fn default() -> Self {
        Self {
            current: Arc::default(),
        }
    }
}

impl<T, E> SingleFlight<T, E>
where
    T: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + From<CallError> + 'static,
{
    /// Waits for the work at hand; without any, begins `work`. Dropping the future does not stop
    /// the work.
    pub(crate) fn run<W>(&self, work: W) -> impl Future<Output = Result<T, E>> + Send + use<T, E, W>
    where
        W: Future<Output = Result<T, E>> + Send + 'static,
    {
        let mut current = lock(&self.current);
        if let Some(flight) = &*current {
            return flight.clone();
        }
        let landed = ClearOnDrop(Arc::clone(&self.current));
        // Spawned by the first poll, without the lock.
        let flight: BoxFuture<_> = Box::pin(async move {
            let task = tokio::spawn(async move {
                let _landed = landed;
                work.await
            });
            task.await
                .unwrap_or_else(|error| Err(CallError::broken(error).into()))
        });
        let flight = flight.shared();
        *current = Some(flight.clone());
        flight
    }
}

/// Makes room for the next piece of work, however this one ends.
struct ClearOnDrop<T, E>(Arc<Mutex<Option<Work<T, E>>>>);

impl<T, E> Drop for ClearOnDrop<T, E> {
    fn drop(&mut self) {
        let flight = lock(&self.0).take();
        // Outside of the lock.
        drop(flight);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;
    use tokio::time::{sleep, timeout};

    #[tokio::test(start_paused = true)]
    async fn work_goes_on_when_nobody_waits_and_is_done_once_for_all_who_do() {
        let (flight, begun) = (
            SingleFlight::<u32, CallError>::default(),
            Arc::new(AtomicU32::new(0)),
        );
        let work = || {
            let begun = Arc::clone(&begun);
            async move {
                sleep(Duration::from_secs(20)).await;
                Ok(begun.fetch_add(1, Ordering::Relaxed))
            }
        };
        for _ in 0..3 {
            timeout(Duration::from_secs(5), flight.run(work()))
                .await
                .unwrap_err();
        }
        let (one, other) = tokio::join!(flight.run(work()), flight.run(work()));
        assert_eq!((one.unwrap(), other.unwrap()), (0, 0));
        assert_eq!(
            flight.run(work()).await.unwrap(),
            1,
            "the next one begins anew"
        );
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error_and_bars_nobody() {
        let flight = SingleFlight::<u32, CallError>::default();
        assert!(flight.run(async { panic!("a test") }).await.is_err());
        assert_eq!(flight.run(async { Ok(1) }).await.unwrap(), 1);
    }
}
