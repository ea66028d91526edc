//! Limits the calls in flight, in number and time, and logs each of them.
//!
//! The upstream's future, and later its stream, is kept in a table and taken out while it is
//! polled; the client only holds a handle to the table. So the deadline of a call does not depend
//! on the client polling it: if the client does not, such as the body of a response on an HTTP/2
//! stream without flow-control window, [`CallLimits::reap`] drops the upstream's part.

use crate::caller_quota::{CallerQuota, QuotaCounters};
use crate::error::GatewayError;
use carryall_proto::sync::Mutex;
use carryall_proto::{
    BoxFuture, Call, CallError, Message, MessageStream, Outcome, Printable, Reply, Response,
};
use carryall_types::{Method, RequestId};
use futures_core::Stream;
use futures_util::StreamExt as _;
use slab::Slab;
use std::borrow::Cow;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// The interval at which the deadlines of unpolled calls are checked. Such a call may exceed its
/// deadline by this much.
const REAP_INTERVAL: Duration = Duration::from_secs(1);
/// The shards of the table, so that connections on different threads rarely contend.
const SHARDS: usize = 16;

/// The limits of calls in flight, and the table of these calls.
pub(crate) struct CallLimits {
    shards: [Mutex<Slab<CallEntry>>; SHARDS],
    next_shard: AtomicUsize,
    count: AtomicUsize,
    max: usize,
    quota: CallerQuota,
    timeout: Duration,
}

struct CallEntry {
    /// `None` for subscriptions, which last until either side ends them.
    deadline: Option<Instant>,
    counters: QuotaCounters,
    work: UpstreamWork,
}

/// The upstream's part of a call.
enum UpstreamWork {
    /// Not there yet, or taken out to be polled.
    Absent,
    Future(BoxFuture<Reply>),
    Stream(MessageStream),
    /// Dropped at the deadline; the call is not counted any more.
    Expired,
}

impl CallLimits {
    pub(crate) fn new(max: usize, max_per_caller: usize, timeout: Duration) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            next_shard: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            max,
            quota: CallerQuota::new(max_per_caller),
            timeout,
        }
    }

    /// Admits a call, if the limits of all callers together and of its caller allow.
    pub(crate) fn admit(self: &Arc<Self>, call: &Call) -> Result<CallGuard, GatewayError> {
        let counters = self
            .quota
            .acquire(call)
            .ok_or_else(|| GatewayError::CallerBusy(self.quota.max()))?;
        let has_room = |count| (count < self.max).then_some(count + 1);
        if self
            .count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room)
            .is_err()
        {
            self.quota.release(counters);
            return Err(GatewayError::Busy);
        }
        let (id, method) = (call.id().clone(), call.method().clone());
        let name = if tracing::enabled!(tracing::Level::DEBUG) {
            call.log_name().map(Cow::into_owned)
        } else {
            None
        };
        let started = Instant::now();
        let deadline = (method != Method::SubscriptionsListen).then(|| started + self.timeout);
        let shard = self.next_shard.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let key = lock(&self.shards[shard]).insert(CallEntry {
            deadline,
            counters,
            work: UpstreamWork::Absent,
        });
        Ok(CallGuard {
            limits: Arc::clone(self),
            shard,
            key,
            id,
            method,
            name,
            started,
            deadline,
        })
    }

    /// Ends unpolled calls at their deadline. Never completes.
    pub(crate) async fn reap(&self) {
        loop {
            sleep(REAP_INTERVAL).await;
            let now = Instant::now();
            let mut expired = 0;
            for shard in &self.shards {
                let ended: Vec<(QuotaCounters, UpstreamWork)> = lock(shard)
                    .iter_mut()
                    .filter_map(|(_, entry)| entry.expire(now))
                    .collect();
                for (counters, _) in &ended {
                    self.release(*counters);
                }
                expired += ended.len();
                // Dropping runs code of other crates, so not under the lock.
                drop(ended);
            }
            if expired > 0 {
                tracing::debug!(expired, "ended calls whose replies were not read");
            }
        }
    }

    fn release(&self, counters: QuotaCounters) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.quota.release(counters);
    }
}

impl CallEntry {
    /// Expires the entry if its deadline has passed. Returns the counters to release and the work to
    /// drop.
    fn expire(&mut self, now: Instant) -> Option<(QuotaCounters, UpstreamWork)> {
        let is_due = self.deadline.is_some_and(|deadline| deadline <= now)
            && !matches!(self.work, UpstreamWork::Expired);
        is_due.then(|| {
            (
                self.counters,
                std::mem::replace(&mut self.work, UpstreamWork::Expired),
            )
        })
    }
}

/// A call in flight. Dropping it cancels the call upstream.
pub(crate) struct CallGuard {
    limits: Arc<CallLimits>,
    shard: usize,
    key: usize,
    id: RequestId,
    method: Method,
    name: Option<String>,
    started: Instant,
    deadline: Option<Instant>,
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        let entry = self.shard().try_remove(self.key);
        if let Some(entry) = entry.filter(|entry| !matches!(entry.work, UpstreamWork::Expired)) {
            self.limits.release(entry.counters);
        }
    }
}

impl CallGuard {
    /// Returns a future that runs `reply`, and later its stream, within the limits.
    pub(crate) fn run(self, reply: BoxFuture<Reply>) -> GatewayFuture {
        self.put(UpstreamWork::Future(reply));
        GatewayFuture {
            guard: Some(self),
            refusal: None,
            sleep: None,
        }
    }

    /// Takes the work out of the table to poll it; `None` if the deadline has passed.
    fn take(&self) -> Option<UpstreamWork> {
        let mut shard = self.shard();
        let work = &mut shard.get_mut(self.key)?.work;
        match std::mem::replace(work, UpstreamWork::Absent) {
            UpstreamWork::Expired => {
                *work = UpstreamWork::Expired;
                None
            }
            work => Some(work),
        }
    }

    /// Returns the work to the table. If the deadline has passed meanwhile, drops it and returns
    /// false.
    fn put(&self, work: UpstreamWork) -> bool {
        let mut shard = self.shard();
        match shard.get_mut(self.key) {
            Some(entry) if !matches!(entry.work, UpstreamWork::Expired) => {
                entry.work = work;
                true
            }
            _ => {
                drop(shard);
                drop(work);
                false
            }
        }
    }

    fn shard(&self) -> MutexGuard<'_, Slab<CallEntry>> {
        lock(&self.limits.shards[self.shard])
    }

    /// Returns the response to a call that exceeded its deadline.
    fn timed_out(&self) -> Response {
        Response::error(
            self.id.clone(),
            GatewayError::Timeout(self.limits.timeout).to_error(),
        )
    }

    fn log(&self, outcome: &Outcome) {
        let code = match outcome {
            Outcome::Result(_) => 0,
            Outcome::Error(error) => error.code,
        };
        let (name, took) = (
            self.name.as_deref().unwrap_or_default(),
            self.started.elapsed(),
        );
        tracing::debug!(method = %self.method, name = %Printable(name), code, ?took, "request");
    }

    /// Waits for the deadline.
    fn poll_deadline(&self, mut sleep: Pin<&mut Option<Sleep>>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        if sleep.is_none() {
            sleep.set(Some(sleep_until(deadline)));
        }
        match sleep.as_pin_mut() {
            Some(sleep) => sleep.poll(cx),
            None => Poll::Pending,
        }
    }
}

pin_project_lite::pin_project! {
    /// The future of a reply of a [`Gateway`](crate::Gateway). Dropping it cancels the call
    /// upstream.
    pub struct GatewayFuture {
        guard: Option<CallGuard>,
        // The response to a call that was not admitted.
        refusal: Option<Response>,
        // Created when the call is first pending. Wakes a client that polls at the deadline.
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl GatewayFuture {
    /// Returns a future that is ready with a response.
    pub(crate) fn ready(response: Response) -> Self {
        Self {
            guard: None,
            refusal: Some(response),
            sleep: None,
        }
    }

    fn finish(guard: &mut Option<CallGuard>, response: Response) -> Poll<Result<Reply, CallError>> {
        if let Some(guard) = guard.take() {
            guard.log(&response.outcome);
        }
        Poll::Ready(Ok(Reply::Once(response)))
    }
}

impl Future for GatewayFuture {
    type Output = Result<Reply, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(guard) = this.guard else {
            let refusal = this.refusal.take().expect("polled after completion");
            return Poll::Ready(Ok(Reply::Once(refusal)));
        };
        let Some(UpstreamWork::Future(mut future)) = guard.take() else {
            let response = guard.timed_out();
            return Self::finish(this.guard, response);
        };
        match future.as_mut().poll(cx) {
            Poll::Ready(Reply::Once(response)) => Self::finish(this.guard, response),
            Poll::Ready(Reply::Stream(stream)) => {
                guard.put(UpstreamWork::Stream(stream));
                Poll::Ready(Ok(Reply::Stream(Box::pin(LimitedStream {
                    guard: this.guard.take(),
                    sleep: None,
                }))))
            }
            Poll::Pending => {
                if guard.put(UpstreamWork::Future(future)) {
                    ready!(guard.poll_deadline(this.sleep, cx));
                }
                let response = guard.timed_out();
                Self::finish(this.guard, response)
            }
        }
    }
}

pin_project_lite::pin_project! {
    /// The messages of a streamed reply.
    struct LimitedStream {
        // `None` after the response.
        guard: Option<CallGuard>,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl Stream for LimitedStream {
    type Item = Result<Message, CallError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let Some(guard) = this.guard else {
            return Poll::Ready(None);
        };
        let response = match guard.take() {
            Some(UpstreamWork::Stream(mut stream)) => match stream.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(Message::Response(response)))) => response,
                Poll::Ready(Some(Ok(notification))) => {
                    guard.put(UpstreamWork::Stream(stream));
                    return Poll::Ready(Some(Ok(notification)));
                }
                Poll::Ready(broken) => {
                    *this.guard = None;
                    return Poll::Ready(broken);
                }
                Poll::Pending => {
                    if guard.put(UpstreamWork::Stream(stream)) {
                        ready!(guard.poll_deadline(this.sleep, cx));
                    }
                    guard.timed_out()
                }
            },
            _ => guard.timed_out(),
        };
        guard.log(&response.outcome);
        *this.guard = None;
        Poll::Ready(Some(Ok(Message::Response(response))))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}
