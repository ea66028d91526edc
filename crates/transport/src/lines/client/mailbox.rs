//! Holds the messages received for one call until its caller polls them.

use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, Notification, Printable, Response};
use carryall_types::{Method, ProgressToken, RequestId};
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

/// Maximum number of notifications that wait in one mailbox.
const MAX_NOTIFICATIONS: usize = 1024;
/// Maximum total size of these notifications in bytes. An empty mailbox accepts a larger one.
const MAX_BYTES: usize = 16 * 1024 * 1024;

pub(super) struct ReplyMailbox {
    /// The request id that the caller chose. The channel replaces it with one of its own.
    id: RequestId,
    is_listen: bool,
    state: Mutex<MailboxState>,
}

#[derive(Default)]
struct MailboxState {
    notifications: VecDeque<Notification>,
    /// Total size of `notifications`.
    bytes: usize,
    /// The outcome, until the caller takes it.
    outcome: Option<Result<Response, CallError>>,
    /// Whether the outcome was received, even if the caller has taken it since.
    finished: bool,
    waker: Option<Waker>,
    /// The caller's progress token, if the channel replaced it.
    original_token: Option<ProgressToken>,
}

impl MailboxState {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// One message taken from a mailbox. The outcome is the last one.
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

    /// Sets the progress token to put back into progress notifications.
    pub(super) fn set_original_token(&self, token: Option<ProgressToken>) {
        self.state.lock().original_token = token;
    }

    /// Adds a notification. Returns `false` if it was dropped because the mailbox is full.
    pub(super) fn deliver(&self, notification: Notification) -> bool {
        let mut state = self.state.lock();
        let total = state.bytes + byte_size(&notification);
        if state.notifications.len() >= MAX_NOTIFICATIONS || (state.bytes > 0 && total > MAX_BYTES)
        {
            let method = Printable(&notification.method);
            tracing::warn!(id = %self.id, %method, "notification dropped: the caller reads too slowly");
            return false;
        }
        state.bytes = total;
        state.notifications.push_back(notification);
        state.wake();
        true
    }

    /// Sets the outcome. Later outcomes are ignored.
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

    /// Takes the next message, with the caller's own id and progress token. Returns pending forever
    /// once the outcome was taken.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Mail> {
        let mut state = self.state.lock();
        if let Some(notification) = state.notifications.pop_front() {
            state.bytes -= byte_size(&notification);
            let token = state.original_token.clone();
            drop(state);
            return Poll::Ready(Mail::Notification(
                self.restore_notification(notification, token),
            ));
        }
        if let Some(outcome) = state.outcome.take() {
            drop(state);
            return Poll::Ready(Mail::Outcome(
                outcome.map(|response| self.restore_response(response)),
            ));
        }
        let waker = cx.waker();
        if !state
            .waker
            .as_ref()
            .is_some_and(|stored| stored.will_wake(waker))
        {
            state.waker = Some(waker.clone());
        }
        Poll::Pending
    }

    fn restore_notification(
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
        // The id of a subscription is the id of its listen request.
        if self.is_listen {
            response.replace_subscription_id(&self.id);
        }
        response.id = self.id.clone();
        response
    }
}

fn byte_size(notification: &Notification) -> usize {
    let params = notification.params.as_ref();
    notification.method.len() + params.map_or(0, |params| params.as_bytes().len())
}
