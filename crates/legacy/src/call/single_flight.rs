//! Shared work that continues when all callers stop waiting for it.

use carryall_proto::sync::Mutex;
use carryall_proto::{BoxFuture, CallError};
use futures_util::FutureExt as _;
use futures_util::future::Shared;
use std::sync::{Arc, Weak};
use tokio::task::JoinSet;

/// Runs one piece of work at a time, in a Tokio task, and returns its result to all callers that
/// asked for it in the meantime.
///
/// A handshake, for example, may take longer than the timeout of the request that caused it. If it
/// ended with that request, a slow server would be started again and again without ever becoming
/// ready. The work must therefore have a timeout of its own. It is aborted when the `SingleFlight`
/// and all waiting futures are dropped.
pub(crate) struct SingleFlight<T, E> {
    current: Arc<CurrentWork<T, E>>,
}

type CurrentWork<T, E> = Mutex<Option<SharedWork<T, E>>>;
type SharedWork<T, E> = Shared<BoxFuture<Result<T, E>>>;

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
    /// Waits for the work in progress. If there is none, starts `work` on the first poll.
    ///
    /// Dropping the future does not stop the work.
    pub(crate) fn run<W>(&self, work: W) -> impl Future<Output = Result<T, E>> + Send + use<T, E, W>
    where
        W: Future<Output = Result<T, E>> + Send + 'static,
    {
        let mut current = self.current.lock();
        if let Some(shared) = &*current {
            return shared.clone();
        }
        let clear = ClearOnDrop(Arc::downgrade(&self.current));
        let run: BoxFuture<_> = Box::pin(async move {
            // A `JoinSet` of one task, because it aborts the task on drop.
            let mut task = JoinSet::new();
            task.spawn(async move {
                let _clear = clear;
                work.await
            });
            match task.join_next().await {
                Some(Ok(result)) => result,
                Some(Err(error)) => Err(CallError::broken(error).into()),
                None => Err(CallError::broken("the work was not started").into()),
            }
        });
        let shared = run.shared();
        *current = Some(shared.clone());
        shared
    }
}

/// Clears the current work when it returns, panics or is aborted, so that the next
/// [`run`](SingleFlight::run) starts anew.
struct ClearOnDrop<T, E>(Weak<CurrentWork<T, E>>);

impl<T, E> Drop for ClearOnDrop<T, E> {
    fn drop(&mut self) {
        let Some(current) = self.0.upgrade() else {
            return;
        };
        let shared = current.lock().take();
        // This may be the last clone, whose destructor must not run while the mutex is locked.
        drop(shared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;
    use tokio::time::{sleep, timeout};

    #[tokio::test(start_paused = true)]
    async fn work_continues_without_waiters_and_runs_once_for_all_of_them() {
        let flight = SingleFlight::<u32, CallError>::default();
        let finished = Arc::new(AtomicU32::new(0));
        let work = || {
            let finished = Arc::clone(&finished);
            async move {
                sleep(Duration::from_secs(20)).await;
                Ok(finished.fetch_add(1, Ordering::Relaxed))
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
            "the next run starts anew"
        );
    }

    #[tokio::test]
    async fn work_that_panics_fails_and_does_not_block_the_next_run() {
        let flight = SingleFlight::<u32, CallError>::default();
        assert!(flight.run(async { panic!("a test") }).await.is_err());
        assert_eq!(flight.run(async { Ok(1) }).await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_owner_aborts_the_work() {
        let flight = SingleFlight::<u32, CallError>::default();
        let owned = Arc::new(());
        let observer = Arc::downgrade(&owned);
        let work = async move {
            let _owned = owned;
            std::future::pending().await
        };
        timeout(Duration::from_secs(1), flight.run(work))
            .await
            .unwrap_err();
        assert!(observer.upgrade().is_some(), "it continues without waiters");
        drop(flight);
        sleep(Duration::from_millis(1)).await;
        assert!(observer.upgrade().is_none());
    }
}
