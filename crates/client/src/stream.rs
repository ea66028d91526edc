//! A request whose progress is read like a stream.

use crate::ClientError;
use crate::notices::{LogMessage, ProgressUpdate};
use crate::request::{FromResult, Request};
use carryall_proto::BoxFuture;
use carryall_proto::sync::Mutex;
use futures_core::Stream;
use std::collections::VecDeque;
use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Events that a slow reader may leave unread; older ones are dropped.
const MAX_UNREAD: usize = 256;

/// One thing that happens while a request is answered.
#[derive(Debug)]
pub enum CallEvent<T> {
    /// The server reports progress.
    Progress(ProgressUpdate),
    /// The server logs something; only with a log level, see
    /// [`CallOptions::on_log`](crate::CallOptions::on_log).
    Log(LogMessage),
    /// The result. Nothing comes after it.
    Done(Result<T, ClientError>),
}

type Unread = Arc<Mutex<VecDeque<Notice>>>;

enum Notice {
    Progress(ProgressUpdate),
    Log(LogMessage),
}

/// A request on its way: progress and log messages, then the result. Dropping it cancels the
/// request.
///
/// Nothing happens unless it is polled. Who does not read for long loses the oldest notices, never
/// the result.
pub struct CallStream<A: FromResult> {
    unread: Unread,
    answer: Option<BoxFuture<Result<A::Output, ClientError>>>,
    done: Option<Result<A::Output, ClientError>>,
}

impl<A: FromResult> CallStream<A> {
    pub(crate) fn new(request: Request<A>) -> Self {
        let unread = Unread::default();
        let (progress, logs) = (unread.clone(), unread.clone());
        let request = request.map_options(|mut options| {
            // Callbacks that were set before go on being called.
            let (on_progress, on_log) = (options.on_progress.take(), options.on_log.take());
            options.on_progress = Some(Arc::new(move |update: ProgressUpdate| {
                if let Some(callback) = &on_progress {
                    callback(update.clone());
                }
                push(&progress, Notice::Progress(update));
            }));
            options.on_log = Some(Arc::new(move |message: LogMessage| {
                if let Some(callback) = &on_log {
                    callback(message.clone());
                }
                push(&logs, Notice::Log(message));
            }));
            options
        });
        Self {
            unread,
            answer: Some(request.into_future()),
            done: None,
        }
    }

    fn next_unread(&self) -> Option<CallEvent<A::Output>> {
        let mut unread = self.unread.lock();
        unread.pop_front().map(|notice| match notice {
            Notice::Progress(update) => CallEvent::Progress(update),
            Notice::Log(message) => CallEvent::Log(message),
        })
    }
}

fn push(unread: &Unread, notice: Notice) {
    let mut unread = unread.lock();
    if unread.len() == MAX_UNREAD {
        unread.pop_front();
    }
    unread.push_back(notice);
}

// Nothing in it is ever pinned in place: the future has its own allocation.
impl<A: FromResult> Unpin for CallStream<A> {}

impl<A: FromResult> Stream for CallStream<A> {
    type Item = CallEvent<A::Output>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(answer) = &mut this.answer
            && let Poll::Ready(result) = answer.as_mut().poll(cx)
        {
            this.answer = None;
            this.done = Some(result);
        }
        if let Some(event) = this.next_unread() {
            return Poll::Ready(Some(event));
        }
        match this.done.take() {
            Some(result) => Poll::Ready(Some(CallEvent::Done(result))),
            None if this.answer.is_none() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<A: FromResult> fmt::Debug for CallStream<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallStream")
            .field("done", &self.answer.is_none())
            .finish_non_exhaustive()
    }
}
