//! The bounds that hold for every call through the gateway, how many and for how long, and its line
//! in the log.
//!
//! The upstream's future, and after that its stream, is kept in a table and taken out while it is
//! polled. What the client holds is a handle to the table. So the deadline of a call does not
//! depend on the client: where nobody polls the handle, such as the body of a response on an HTTP/2
//! stream without window, [`Limits::reap`] drops the upstream's part.

use crate::fault::GatewayError;
use crate::share::{CallerQuota, QuotaCounters};
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

/// How often deadlines of calls that nobody polls are looked at. Those calls may outlast their
/// deadline by this much.
const REAP_INTERVAL: Duration = Duration::from_secs(1);
/// The table is split, so that connections on different threads seldom wait for each other.
const SHARDS: usize = 16;

/// The calls in flight.
pub(crate) struct Limits {
    shards: [Mutex<Slab<Entry>>; SHARDS],
    next_shard: AtomicUsize,
    count: AtomicUsize,
    max: usize,
    shares: CallerQuota,
    timeout: Duration,
}

struct Entry {
    /// `None` for subscriptions, which last until either side ends them.
    deadline: Option<Instant>,
    counted: QuotaCounters,
    work: Work,
}

enum Work {
    /// There is none yet, or it is being polled.
    Absent,
    Future(BoxFuture<Reply>),
    Stream(MessageStream),
    /// The deadline has passed. The entry does not count any more.
    Expired,
}

impl Limits {
    pub(crate) fn new(max: usize, max_per_caller: usize, timeout: Duration) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            next_shard: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            max,
            shares: CallerQuota::new(max_per_caller),
            timeout,
        }
    }

    /// A place for one more call, if there is room for all callers together and for this one.
    pub(crate) fn admit(self: &Arc<Self>, call: &Call) -> Result<CallGuard, GatewayError> {
        let counted = self
            .shares
            .add(call)
            .ok_or_else(|| GatewayError::CallerBusy(self.shares.max()))?;
        let has_room = |count| (count < self.max).then_some(count + 1);
        if self
            .count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room)
            .is_err()
        {
            self.shares.remove(counted);
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
        let key = lock(&self.shards[shard]).insert(Entry {
            deadline,
            counted,
            work: Work::Absent,
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

    /// Ends calls whose deadline has passed while nobody polled them. Never completes.
    pub(crate) async fn reap(&self) {
        loop {
            sleep(REAP_INTERVAL).await;
            let now = Instant::now();
            let mut expired = 0;
            for shard in &self.shards {
                let ended: Vec<(QuotaCounters, Work)> = lock(shard)
                    .iter_mut()
                    .filter_map(|(_, entry)| entry.expire(now))
                    .collect();
                ended.iter().for_each(|(counted, _)| self.release(*counted));
                expired += ended.len();
                // Dropping cancels upstream, which runs code of others: not under the lock.
                drop(ended);
            }
            if expired > 0 {
                tracing::debug!(expired, "ended calls whose replies nobody read");
            }
        }
    }

    fn release(&self, counted: QuotaCounters) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.shares.remove(counted);
    }
}

impl Entry {
    /// What does not count any more and is to be dropped.
    fn expire(&mut self, now: Instant) -> Option<(QuotaCounters, Work)> {
        let is_due = self.deadline.is_some_and(|deadline| deadline <= now)
            && !matches!(self.work, Work::Expired);
        is_due.then(|| {
            (
                self.counted,
                std::mem::replace(&mut self.work, Work::Expired),
            )
        })
    }
}

/// One call within its bounds. Dropping it drops what is in work upstream.
pub(crate) struct CallGuard {
    limits: Arc<Limits>,
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
        if let Some(entry) = entry.filter(|entry| !matches!(entry.work, Work::Expired)) {
            self.limits.release(entry.counted);
        }
    }
}

impl CallGuard {
    /// The future of the reply: `answer` within the call's bounds, and its stream as well.
    pub(crate) fn bound(self, answer: BoxFuture<Reply>) -> GatewayFuture {
        self.put(Work::Future(answer));
        GatewayFuture {
            guard: Some(self),
            refusal: None,
            sleep: None,
        }
    }

    /// Takes the work out to poll it; `None` when the deadline has passed.
    fn take(&self) -> Option<Work> {
        let mut shard = self.shard();
        let work = &mut shard.get_mut(self.key)?.work;
        match std::mem::replace(work, Work::Absent) {
            Work::Expired => {
                *work = Work::Expired;
                None
            }
            work => Some(work),
        }
    }

    /// Puts the work back, unless the deadline has passed meanwhile, which the result says.
    fn put(&self, work: Work) -> bool {
        let mut shard = self.shard();
        match shard.get_mut(self.key) {
            Some(entry) if !matches!(entry.work, Work::Expired) => {
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

    fn shard(&self) -> MutexGuard<'_, Slab<Entry>> {
        lock(&self.limits.shards[self.shard])
    }

    fn too_late(&self) -> Response {
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
    /// The future of a reply through the gateway. Dropping it cancels upstream.
    pub struct GatewayFuture {
        guard: Option<CallGuard>,
        // For a call that was refused admission.
        refusal: Option<Response>,
        // Made when the call turns out not to be immediate. A client that polls gets its error on
        // time by this.
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl GatewayFuture {
    /// A call that is answered without being sent anywhere.
    pub(crate) fn done(response: Response) -> Self {
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
        let Some(Work::Future(mut future)) = guard.take() else {
            let late = guard.too_late();
            return Self::finish(this.guard, late);
        };
        match future.as_mut().poll(cx) {
            Poll::Ready(Reply::Once(response)) => Self::finish(this.guard, response),
            Poll::Ready(Reply::Stream(stream)) => {
                guard.put(Work::Stream(stream));
                Poll::Ready(Ok(Reply::Stream(Box::pin(Messages {
                    guard: this.guard.take(),
                    sleep: None,
                }))))
            }
            Poll::Pending => {
                if guard.put(Work::Future(future)) {
                    ready!(guard.poll_deadline(this.sleep, cx));
                }
                let late = guard.too_late();
                Self::finish(this.guard, late)
            }
        }
    }
}

pin_project_lite::pin_project! {
    /// The messages of a reply through the gateway.
    struct Messages {
        // `None` after the response.
        guard: Option<CallGuard>,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl Stream for Messages {
    type Item = Result<Message, CallError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let Some(guard) = this.guard else {
            return Poll::Ready(None);
        };
        let response = match guard.take() {
            Some(Work::Stream(mut stream)) => match stream.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(Message::Response(response)))) => response,
                Poll::Ready(Some(Ok(notification))) => {
                    guard.put(Work::Stream(stream));
                    return Poll::Ready(Some(Ok(notification)));
                }
                Poll::Ready(broken) => {
                    *this.guard = None;
                    return Poll::Ready(broken);
                }
                Poll::Pending => {
                    if guard.put(Work::Stream(stream)) {
                        ready!(guard.poll_deadline(this.sleep, cx));
                    }
                    guard.too_late()
                }
            },
            _ => guard.too_late(),
        };
        guard.log(&response.outcome);
        *this.guard = None;
        Poll::Ready(Some(Ok(Message::Response(response))))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}
