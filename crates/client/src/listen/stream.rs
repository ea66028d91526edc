//! An open subscription.

use super::background::BackgroundListener;
use super::missing::missing;
use super::notifications::{self, SubscriptionEvent};
use super::open::{OpenedSubscription, is_transient, open};
use crate::core::ScopedCore;
use crate::{ClientError, random};
use carryall_proto::backoff::Backoff;
use carryall_proto::freshness::Invalidation;
use carryall_proto::listen::{Change, PendingChanges};
use carryall_proto::{BoxFuture, CallError, Message, MessageStream, Outcome};
use carryall_types::{RequestId, SubscriptionFilter};
use futures_core::Stream;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// The most unread changes; beyond that, several of one kind are merged.
const MAX_PENDING: usize = 1024;
/// The messages processed in one poll before the task yields.
const MESSAGES_PER_POLL: usize = 256;
/// A subscription that lasted this long resets the count of failures.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// The settings of a subscription; see [`ListenRequest`](crate::ListenRequest).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenSettings {
    pub(crate) backoff: Backoff,
    pub(crate) max_failures: u32,
    pub(crate) reopen_after_close: bool,
    pub(crate) timeout: Duration,
}

/// An open subscription: a stream of changes (`basic/patterns/subscriptions`).
///
/// All work is done while it is polled; [`spawn`](Self::spawn) moves it to a background task. After
/// a broken connection it opens the subscription again, with growing delays, and reports everything
/// listened for as changed once, since changes may have been missed. It ends when the server closes
/// the subscription gracefully, or with an error after too many failures. Dropping it cancels the
/// subscription.
///
/// A change equal to one that is still unread is not reported again.
pub struct ChangeStream {
    core: ScopedCore,
    filter: SubscriptionFilter,
    acknowledged: SubscriptionFilter,
    settings: ListenSettings,
    state: StreamState,
    pending: PendingChanges,
    /// Consecutive failures.
    failures: u32,
    /// The final error, until it is returned.
    error: Option<ClientError>,
}

enum StreamState {
    Open {
        id: RequestId,
        stream: MessageStream,
        since: Instant,
    },
    Waiting(Pin<Box<Sleep>>),
    Opening(BoxFuture<Result<OpenedSubscription, ClientError>>),
    Ended,
}

impl ChangeStream {
    /// Opens a subscription.
    pub(super) async fn open(
        core: ScopedCore,
        filter: SubscriptionFilter,
        settings: ListenSettings,
    ) -> Result<Self, ClientError> {
        let opened = open(core.clone(), filter.clone(), settings.timeout).await?;
        let mut stream = Self {
            pending: PendingChanges::new(filter.clone(), MAX_PENDING),
            core,
            filter,
            acknowledged: SubscriptionFilter::default(),
            settings,
            state: StreamState::Ended,
            failures: 0,
            error: None,
        };
        stream.on_opened(opened);
        Ok(stream)
    }

    /// Returns the filter that the server acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> &SubscriptionFilter {
        &self.acknowledged
    }

    /// Returns what was requested and not acknowledged; the server sends no notifications for it.
    #[must_use]
    pub fn missing(&self) -> SubscriptionFilter {
        missing(&self.filter, &self.acknowledged)
    }

    /// Waits for the next change; `None` when the subscription has ended. Cancel safe.
    ///
    /// # Errors
    /// The error that ended the subscription.
    pub async fn next(&mut self) -> Option<Result<Change, ClientError>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Listens in a background task, which keeps the cache up to date even if nobody reads the
    /// changes. `on_change` is called for each change, and for the error that ends the
    /// subscription.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn(
        mut self,
        mut on_change: impl FnMut(Result<Change, ClientError>) + Send + 'static,
    ) -> BackgroundListener {
        BackgroundListener::spawn(async move {
            while let Some(change) = self.next().await {
                on_change(change);
            }
        })
    }

    fn on_opened(&mut self, opened: OpenedSubscription) {
        match opened {
            OpenedSubscription::Open {
                id,
                stream,
                acknowledged,
            } => {
                let missing = missing(&self.filter, &acknowledged);
                if missing != SubscriptionFilter::default() {
                    tracing::warn!(missing = ?carryall_proto::PrintableFmt(&missing), "the server does not send all notifications requested");
                }
                self.acknowledged = acknowledged;
                self.state = StreamState::Open {
                    id,
                    stream,
                    since: Instant::now(),
                };
            }
            OpenedSubscription::Closed => self.on_closed(),
        }
    }

    /// Handles a graceful close.
    fn on_closed(&mut self) {
        if self.settings.reopen_after_close {
            self.reopen(None);
        } else {
            self.state = StreamState::Ended;
        }
    }

    /// Schedules opening again, unless that has failed too often.
    fn reopen(&mut self, cause: Option<ClientError>) {
        if let StreamState::Open { since, .. } = &self.state
            && since.elapsed() >= STABLE_AFTER
        {
            self.failures = 0;
        }
        if self.failures >= self.settings.max_failures {
            let gave_up = || CallError::broken("the subscription ended repeatedly").into();
            self.fail(cause.unwrap_or_else(gave_up));
            return;
        }
        let delay = self.settings.backoff.delay(self.failures, random::bits());
        tracing::debug!(
            ?delay,
            cause = cause
                .as_ref()
                .map(|cause| tracing::field::display(carryall_proto::PrintableFmt(cause))),
            "opening the subscription again"
        );
        self.failures += 1;
        self.state = StreamState::Waiting(Box::pin(tokio::time::sleep(delay)));
    }

    fn fail(&mut self, error: ClientError) {
        self.error = Some(error);
        self.state = StreamState::Ended;
    }

    /// Reports everything listened for as changed, after a gap in the subscription.
    fn report_all(&mut self) {
        let lists = [Change::Tools, Change::Prompts, Change::Resources];
        let resources = self
            .filter
            .resource_uris()
            .iter()
            .map(|uri| Change::Resource(uri.as_str().into()));
        for change in lists.into_iter().chain(resources.collect::<Vec<_>>()) {
            self.report(&change);
        }
    }

    /// Queues a change and invalidates the cached responses that it makes stale.
    fn report(&mut self, change: &Change) {
        let uri = match change {
            Change::Resource(uri) => Some(&**uri),
            _ => None,
        };
        if let (Some(view), Some(invalidation)) = (
            self.core.cache_view(),
            Invalidation::of(change.method(), uri),
        ) {
            view.invalidate(&invalidation);
        }
        self.pending.insert(change);
    }

    fn on_message(&mut self, message: Message, id: &RequestId) {
        match message {
            Message::Notification(notification) => match notifications::read(&notification, id) {
                SubscriptionEvent::Change(change) => self.report(&change),
                SubscriptionEvent::Cancelled => self.on_closed(),
                SubscriptionEvent::Ignored => {}
            },
            Message::Response(response) => match response.outcome {
                Outcome::Result(_) => self.on_closed(),
                Outcome::Error(error) => self.fail(ClientError::Server(error)),
            },
        }
    }

    /// Processes what has arrived. Ready once the subscription has ended.
    fn poll_messages(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..MESSAGES_PER_POLL {
            match &mut self.state {
                StreamState::Open { id, stream, .. } => {
                    let id = id.clone();
                    match ready!(stream.as_mut().poll_next(cx)) {
                        Some(Ok(message)) => self.on_message(message, &id),
                        Some(Err(error)) => self.reopen(Some(error.into())),
                        None => self.reopen(Some(
                            CallError::broken("the stream ended without a result").into(),
                        )),
                    }
                }
                StreamState::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.state = StreamState::Opening(Box::pin(open(
                        self.core.clone(),
                        self.filter.clone(),
                        self.settings.timeout,
                    )));
                }
                StreamState::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(opened) => {
                        self.on_opened(opened);
                        self.report_all();
                    }
                    Err(error) if is_transient(&error) => self.reopen(Some(error)),
                    Err(error) => self.fail(error),
                },
                StreamState::Ended => return Poll::Ready(()),
            }
        }
        // There may be more, but the task has to yield.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Stream for ChangeStream {
    type Item = Result<Change, ClientError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let ended = this.poll_messages(cx).is_ready();
        if let Some(change) = this.pending.pop() {
            return Poll::Ready(Some(Ok(change)));
        }
        match this.error.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None if ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for ChangeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            StreamState::Open { .. } => "open",
            StreamState::Waiting(_) | StreamState::Opening(_) => "reopening",
            StreamState::Ended => "ended",
        };
        f.debug_struct("ChangeStream")
            .field("filter", &self.filter)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
