//! The messages that were received for one call.

use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, Notification, Printable, Response};
use carryall_types::{Method, ProgressToken, RequestId};
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

/// Limit on notifications that wait for one call.
const MAX_NOTIFICATIONS: usize = 1024;
/// Limit on their size together in bytes. A single notification may exceed it.
const MAX_BYTES: usize = 16 * 1024 * 1024;

pub(super) struct ReplyMailbox {
    /// The caller's id. On the channel the call has another.
    id: RequestId,
    is_listen: bool,
    state: Mutex<MailboxState>,
}

#[derive(Default)]
struct MailboxState {
    notifications: VecDeque<Notification>,
    /// The size of the notifications.
    bytes: usize,
    outcome: Option<Result<Response, CallError>>,
    /// The outcome was received.
    finished: bool,
    waker: Option<Waker>,
    /// The caller's progress token, when the channel uses another.
    original_token: Option<ProgressToken>,
}

/// What a mailbox holds.
pub(super) enum Mail {
    Notification(Notification),
    Outcome(Result<Response, CallError>),
}

impl ReplyMailbox {
    pub(super) fn new(call: &Call) -> Self {
        Self {
            id: call.id().clone(),
            is_listen: *call.method() == Method::SubscriptionsListen,
            state: Mutex::default(),
        }
    }

    /// Restores the caller's progress token in notifications.
    pub(super) fn set_original_token(&self, token: Option<ProgressToken>) {
        self.state.lock().original_token = token;
    }

    /// Adds a notification. Returns `false` when the mailbox is full and it was dropped.
    pub(super) fn deliver(&self, notification: Notification) -> bool {
        let mut state = self.state.lock();
        let bytes = state.bytes + size_of(&notification);
        if state.notifications.len() >= MAX_NOTIFICATIONS || (state.bytes > 0 && bytes > MAX_BYTES)
        {
            let method = Printable(&notification.method);
            tracing::warn!(id = %self.id, %method, "notification dropped: the caller does not keep up");
            return false;
        }
        state.bytes = bytes;
        state.notifications.push_back(notification);
        state.wake();
        true
    }

    /// Sets the outcome, unless there is one.
    pub(super) fn finish(&self, outcome: Result<Response, CallError>) {
        let mut state = self.state.lock();
        if !state.finished {
            state.finished = true;
            state.outcome = Some(outcome);
            state.wake();
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.state.lock().finished
    }

    /// Takes the next message, with id and progress token as the caller knows them.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Mail> {
        let mut state = self.state.lock();
        if let Some(notification) = state.notifications.pop_front() {
            state.bytes -= size_of(&notification);
            let token = state.original_token.clone();
            drop(state);
            return Poll::Ready(Mail::Notification(self.restore(notification, token)));
        }
        if let Some(outcome) = state.outcome.take() {
            drop(state);
            return Poll::Ready(Mail::Outcome(
                outcome.map(|response| self.restore_response(response)),
            ));
        }
        let waker = cx.waker();
        if !state.waker.as_ref().is_some_and(|own| own.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        Poll::Pending
    }

    fn restore(
        &self,
        mut notification: Notification,
        token: Option<ProgressToken>,
    ) -> Notification {
        if self.is_listen {
            notification.replace_subscription_id(&self.id);
        } else if let Some(token) = token
            && notification.method == "notifications/progress"
        {
            notification.set_progress_token(&token);
        }
        notification
    }

    fn restore_response(&self, mut response: Response) -> Response {
        // A subscription has the id of its listen request.
        if self.is_listen {
            response.replace_subscription_id(&self.id);
        }
        response.id = self.id.clone();
        response
    }
}

fn size_of(notification: &Notification) -> usize {
    let params = notification.params.as_ref();
    notification.method.len() + params.map_or(0, |params| params.as_bytes().len())
}

impl MailboxState {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
