//! Listening for changes (`basic/patterns/subscriptions`).

mod open;
mod watch;

use crate::ClientError;
use crate::client::Client;
use crate::random;
use carryall_proto::backoff::Backoff;
use carryall_proto::freshness::Invalidation;
use carryall_proto::listen::{Change, PendingChanges};
use carryall_proto::{BoxFuture, CallError, Message, MessageStream, Notification, Outcome};
use carryall_types::{RequestId, SubscriptionFilter, notification, task_method};
use futures_core::Stream;
use open::{Opened, missing, open};
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
pub use watch::BackgroundListener;

/// Changes that may wait to be read before several of one kind become one.
const MAX_PENDING: usize = 1024;
/// Messages taken in one go before others get their turn.
const MESSAGES_PER_POLL: usize = 256;
/// A subscription that held this long was a good one: counting failures starts anew.
const HELD_WELL: Duration = Duration::from_secs(10);

/// A subscription to be opened.
#[must_use = "a subscription is opened when it is awaited"]
#[derive(Debug)]
pub struct ListenRequest {
    client: Client,
    filter: SubscriptionFilter,
    settings: Settings,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    backoff: Backoff,
    max_failures: u32,
    reopen_after_close: bool,
    timeout: Duration,
}

impl ListenRequest {
    pub(crate) fn new(client: &Client, filter: SubscriptionFilter) -> Self {
        let settings = Settings {
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
            max_failures: 20,
            reopen_after_close: false,
            timeout: client.inner.config.timeout,
        };
        Self {
            client: client.clone(),
            filter,
            settings,
        }
    }

    /// Opens a new subscription also when the server has ended one in good order. Without it the
    /// listener ends then.
    pub fn reopen_after_close(mut self) -> Self {
        self.settings.reopen_after_close = true;
        self
    }

    /// How often in a row opening may fail before the listener gives up; 20 unless set. 0 means
    /// that a break is final.
    pub fn max_failures(mut self, failures: u32) -> Self {
        self.settings.max_failures = failures;
        self
    }

    /// The delays before opening again: from half of `base`, doubling up to `max`, with jitter.
    pub fn backoff(mut self, base: Duration, max: Duration) -> Self {
        self.settings.backoff = Backoff::new(base, max);
        self
    }

    /// How long the server may take to acknowledge.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }
}

impl IntoFuture for ListenRequest {
    type Output = Result<ChangeStream, ClientError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self {
                client,
                filter,
                settings,
            } = self;
            let opened = open(client.clone(), filter.clone(), settings.timeout).await?;
            let mut listener = ChangeStream {
                pending: PendingChanges::new(filter.clone(), MAX_PENDING),
                client,
                filter,
                acknowledged: SubscriptionFilter::default(),
                settings,
                state: State::Ended,
                failures: 0,
                failed: None,
            };
            listener.opened(opened);
            Ok(listener)
        })
    }
}

/// An open subscription: a stream of changes.
///
/// It does all its work while it is polled, so that nothing runs that nobody waits for;
/// [`spawn`](Self::spawn) hands it to a task. When the connection breaks it opens the subscription
/// again, with growing delays; as nobody can tell what was missed meanwhile, everything listened
/// for is then reported as changed once. It ends when the server ends the subscription in good
/// order, or with an error when it gives up. Dropping it cancels the subscription.
///
/// A change that is reported while an equal one waits to be read is not reported twice.
pub struct ChangeStream {
    client: Client,
    filter: SubscriptionFilter,
    acknowledged: SubscriptionFilter,
    settings: Settings,
    state: State,
    pending: PendingChanges,
    failures: u32,
    failed: Option<ClientError>,
}

enum State {
    Open {
        id: RequestId,
        stream: MessageStream,
        since: Instant,
    },
    Waiting(Pin<Box<Sleep>>),
    Opening(BoxFuture<Result<Opened, ClientError>>),
    Ended,
}

impl ChangeStream {
    /// What the server has agreed to send.
    #[must_use]
    pub fn acknowledged(&self) -> &SubscriptionFilter {
        &self.acknowledged
    }

    /// What was asked for and the server does not send: changes of these are only found by asking.
    #[must_use]
    pub fn missing(&self) -> SubscriptionFilter {
        missing(&self.filter, &self.acknowledged)
    }

    /// The next change. `None` when the subscription has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Change, ClientError>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Listens in a task of its own, so that the cache is kept up to date without anybody reading.
    /// `on_change` gets each change, and the error with which it ended if it did.
    pub fn spawn(
        mut self,
        mut on_change: impl FnMut(Result<Change, ClientError>) + Send + 'static,
    ) -> BackgroundListener {
        BackgroundListener::new(async move {
            while let Some(change) = self.next().await {
                on_change(change);
            }
        })
    }

    fn opened(&mut self, opened: Opened) {
        match opened {
            Opened::Open {
                id,
                stream,
                acknowledged,
            } => {
                let missing = missing(&self.filter, &acknowledged);
                if missing != SubscriptionFilter::default() {
                    tracing::warn!(missing = ?carryall_proto::PrintableFmt(&missing), "the server does not send all the notifications asked for");
                }
                self.acknowledged = acknowledged;
                self.state = State::Open {
                    id,
                    stream,
                    since: Instant::now(),
                };
            }
            Opened::Closed => self.closed(),
        }
    }

    /// The server has ended the subscription in good order.
    fn closed(&mut self) {
        if self.settings.reopen_after_close {
            self.reopen(None);
        } else {
            self.state = State::Ended;
        }
    }

    /// Opens again later, unless that has failed too often.
    fn reopen(&mut self, cause: Option<ClientError>) {
        if let State::Open { since, .. } = &self.state
            && since.elapsed() >= HELD_WELL
        {
            self.failures = 0;
        }
        if self.failures >= self.settings.max_failures {
            let gave_up = || CallError::broken("the subscription ended again and again").into();
            self.failed = Some(cause.unwrap_or_else(gave_up));
            self.state = State::Ended;
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
        self.state = State::Waiting(Box::pin(tokio::time::sleep(delay)));
    }

    fn fail(&mut self, error: ClientError) {
        self.failed = Some(error);
        self.state = State::Ended;
    }

    /// Whatever happened while nobody listened: all of it may have changed.
    fn note_gap(&mut self) {
        let lists = [Change::Tools, Change::Prompts, Change::Resources];
        let resources = self
            .filter
            .resource_uris()
            .iter()
            .map(|uri| Change::Resource(uri.as_str().into()));
        for change in lists.into_iter().chain(resources.collect::<Vec<_>>()) {
            self.note(&change);
        }
    }

    fn note(&mut self, change: &Change) {
        let uri = match change {
            Change::Resource(uri) => Some(&**uri),
            _ => None,
        };
        if let (Some(view), Some(stale)) = (
            self.client.cache_view(),
            Invalidation::of(change.method(), uri),
        ) {
            view.invalidate(&stale);
        }
        self.pending.insert(change);
    }

    /// Takes one notification; tells whether it ends the subscription.
    fn take(&mut self, message: &Notification, id: &RequestId) -> bool {
        if open::subscription_of(message).is_some_and(|other| other != *id) {
            tracing::debug!(method = %carryall_proto::Printable(&message.method), "notification of another subscription ignored");
            return false;
        }
        match message.method.as_ref() {
            notification::TOOLS_LIST_CHANGED => self.note(&Change::Tools),
            notification::PROMPTS_LIST_CHANGED => self.note(&Change::Prompts),
            notification::RESOURCES_LIST_CHANGED => self.note(&Change::Resources),
            notification::RESOURCE_UPDATED => {
                if let Some(uri) = open::updated_uri(message) {
                    self.note(&Change::Resource(uri.into()));
                }
            }
            task_method::CHANGED => {
                if let Some(change) = open::task_of(message) {
                    self.note(&Change::Task(change));
                }
            }
            // A server that tears a subscription down may say so before, after or instead of its
            // result.
            notification::CANCELLED => return open::cancels(message, id),
            method => {
                tracing::debug!(method = %carryall_proto::Printable(method), "notification ignored")
            }
        }
        false
    }

    /// Works off what has arrived. `Pending` when nothing more is there for now.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..MESSAGES_PER_POLL {
            match &mut self.state {
                State::Open { id, stream, .. } => {
                    let id = id.clone();
                    match ready!(stream.as_mut().poll_next(cx)) {
                        Some(Ok(Message::Notification(message))) => {
                            if self.take(&message, &id) {
                                self.closed();
                            }
                        }
                        Some(Ok(Message::Response(response))) => match response.outcome {
                            Outcome::Result(_) => self.closed(),
                            Outcome::Error(error) => self.fail(ClientError::Server(error)),
                        },
                        Some(Err(error)) => self.reopen(Some(error.into())),
                        None => self.reopen(Some(
                            CallError::broken("the stream ended without a result").into(),
                        )),
                    }
                }
                State::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.state = State::Opening(Box::pin(open(
                        self.client.clone(),
                        self.filter.clone(),
                        self.settings.timeout,
                    )));
                }
                State::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(opened) => {
                        self.opened(opened);
                        self.note_gap();
                    }
                    Err(error) if open::may_pass(&error) => self.reopen(Some(error)),
                    Err(error) => self.fail(error),
                },
                State::Ended => return Poll::Ready(()),
            }
        }
        // More may be there, but others want to run too.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Stream for ChangeStream {
    type Item = Result<Change, ClientError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let ended = this.advance(cx).is_ready();
        if let Some(change) = this.pending.pop() {
            return Poll::Ready(Some(Ok(change)));
        }
        match this.failed.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None if ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for ChangeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Open { .. } => "open",
            State::Waiting(_) | State::Opening(_) => "opening again",
            State::Ended => "ended",
        };
        f.debug_struct("ChangeStream")
            .field("filter", &self.filter)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
