//! Where the messages for one call are put down.

use super::Shared;
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, Message, Notification, Response};
use carryall_types::{Method, ProgressToken, RequestId};
use futures_core::Stream;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Waker};

/// How many notifications may wait for one call.
const MAX_WAITING: usize = 1024;
/// How many bytes they may have together, unless it is a single one.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

/// One call's messages.
pub(super) struct Slot {
    /// The id that the caller knows; on the channel the call has another.
    id: RequestId,
    listen: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    notifications: VecDeque<Notification>,
    /// The size of those.
    bytes: usize,
    outcome: Option<Result<Response, CallError>>,
    /// No message will be put down any more.
    finished: bool,
    waker: Option<Waker>,
    /// The caller's own progress token, when the channel uses another for it.
    token: Option<ProgressToken>,
}

/// What a call gets.
pub(super) enum Offer {
    Notification(Notification),
    Finished(Result<Response, CallError>),
}

impl Slot {
    pub(super) fn new(call: &Call) -> Self {
        let listen = *call.method() == Method::SubscriptionsListen;
        Self {
            id: call.id().clone(),
            listen,
            state: Mutex::default(),
        }
    }

    pub(super) fn translate_token(&self, token: Option<ProgressToken>) {
        self.lock().token = token;
    }

    /// Puts a notification down. `true` when there was no room for it.
    pub(super) fn offer(&self, notification: Notification) -> bool {
        let mut state = self.lock();
        let bytes = state.bytes + size_of(&notification);
        if state.notifications.len() >= MAX_WAITING
            || (state.bytes > 0 && bytes > MAX_WAITING_BYTES)
        {
            tracing::warn!(id = %self.id, method = %carryall_proto::Printable(&notification.method), "notification dropped: nobody takes them");
            return true;
        }
        state.bytes = bytes;
        state.notifications.push_back(notification);
        state.wake();
        false
    }

    pub(super) fn finish(&self, outcome: Result<Response, CallError>) {
        let mut state = self.lock();
        if !state.finished {
            state.finished = true;
            state.outcome = Some(outcome);
            state.wake();
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.lock().finished
    }

    /// The next message, as the caller would see it on a channel of its own.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Offer> {
        let mut state = self.lock();
        if let Some(notification) = state.notifications.pop_front() {
            state.bytes -= size_of(&notification);
            let token = state.token.clone();
            drop(state);
            return Poll::Ready(Offer::Notification(self.translate(notification, token)));
        }
        if let Some(outcome) = state.outcome.take() {
            drop(state);
            return Poll::Ready(Offer::Finished(
                outcome.map(|response| self.translate_response(response)),
            ));
        }
        if !state
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn translate(
        &self,
        mut notification: Notification,
        token: Option<ProgressToken>,
    ) -> Notification {
        if self.listen {
            notification.replace_subscription_id(&self.id);
        } else if let Some(token) = token
            && notification.method == "notifications/progress"
        {
            notification.set_progress_token(&token);
        }
        notification
    }

    fn translate_response(&self, mut response: Response) -> Response {
        if self.listen {
            // A subscription is named after the id of the listen request, which is translated here.
            response.replace_subscription_id(&self.id);
        }
        response.id = self.id.clone();
        response
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

fn size_of(notification: &Notification) -> usize {
    notification.method.len()
        + notification
            .params
            .as_ref()
            .map_or(0, |params| params.as_bytes().len())
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Somebody waits for the messages of a call. Dropping it before the response cancels the call.
pub(super) struct Waiting {
    pub(super) shared: Arc<Shared>,
    pub(super) id: RequestId,
    pub(super) slot: Arc<Slot>,
}

impl Waiting {
    pub(super) fn new(shared: Arc<Shared>, id: RequestId, slot: Arc<Slot>) -> Self {
        Self { shared, id, slot }
    }

    pub(super) fn into_stream(self, first: Notification) -> Messages {
        Messages {
            waiting: Some(self),
            first: Some(first),
        }
    }
}

/// The messages of a reply.
pub(super) struct Messages {
    waiting: Option<Waiting>,
    first: Option<Notification>,
}

impl Stream for Messages {
    type Item = Result<Message, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Message::Notification(first))));
        }
        let Some(waiting) = &self.waiting else {
            return Poll::Ready(None);
        };
        let offer = std::task::ready!(waiting.slot.poll(cx));
        Poll::Ready(Some(match offer {
            Offer::Notification(notification) => Ok(Message::Notification(notification)),
            Offer::Finished(outcome) => {
                self.waiting = None;
                outcome.map(Message::Response)
            }
        }))
    }
}
