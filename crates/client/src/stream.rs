//! Requests as streams of their events.

use crate::ClientError;
use crate::notification::{LogMessage, ProgressUpdate};
use crate::request::Request;
use crate::result::FromResult;
use carryall_proto::BoxFuture;
use carryall_proto::sync::Mutex;
use futures_core::Stream;
use std::collections::VecDeque;
use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The most unread events; the oldest are dropped beyond that.
const MAX_UNREAD: usize = 256;

/// An event of a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallEvent<T> {
    /// The server reports progress.
    Progress(ProgressUpdate),
    /// The server sends a log message; only if a level is set with
    /// [`CallOptions::on_log`](crate::CallOptions::on_log).
    Log(LogMessage),
    /// The result, which is the last event.
    Done(Result<T, ClientError>),
}

type UnreadEvents = Arc<Mutex<VecDeque<UnreadEvent>>>;

enum UnreadEvent {
    Progress(ProgressUpdate),
    Log(LogMessage),
}

/// A request in flight as a stream: progress and log messages, then the result. Dropping it cancels
/// the request.
///
/// The request makes progress only while the stream is polled. A slow reader loses the oldest of
/// more than 256 unread events, never the result.
///
/// ```no_run
/// # use carryall_client::{CallEvent, Client};
/// # use futures_util::StreamExt;
/// # use serde_json::json;
/// # async fn example(client: Client) {
/// let mut events = client.call("index", json!({"path": "/srv"})).stream();
/// while let Some(event) = events.next().await {
///     match event {
///         CallEvent::Progress(update) => println!("{:?}", update.fraction()),
///         CallEvent::Done(result) => println!("{result:?}"),
///         _ => {}
///     }
/// }
/// # }
/// ```
pub struct CallStream<R: FromResult> {
    unread: UnreadEvents,
    result: Option<BoxFuture<Result<R::Output, ClientError>>>,
    done: Option<Result<R::Output, ClientError>>,
}

impl<R: FromResult> Request<R> {
    /// Turns the request into a stream of its progress and log messages, followed by its result.
    pub fn stream(self) -> CallStream<R> {
        CallStream::new(self)
    }
}

impl<R: FromResult> CallStream<R> {
    fn new(request: Request<R>) -> Self {
        let unread = UnreadEvents::default();
        let (progress, logs) = (unread.clone(), unread.clone());
        let request = request.map_options(|mut options| {
            // Callbacks set before are still called.
            let (on_progress, on_log) = (options.on_progress.take(), options.on_log.take());
            options.on_progress = Some(Arc::new(move |update: ProgressUpdate| {
                if let Some(callback) = &on_progress {
                    callback(update.clone());
                }
                push(&progress, UnreadEvent::Progress(update));
            }));
            options.on_log = Some(Arc::new(move |message: LogMessage| {
                if let Some(callback) = &on_log {
                    callback(message.clone());
                }
                push(&logs, UnreadEvent::Log(message));
            }));
            options
        });
        Self {
            unread,
            result: Some(request.into_future()),
            done: None,
        }
    }

    fn next_unread(&self) -> Option<CallEvent<R::Output>> {
        let mut unread = self.unread.lock();
        unread.pop_front().map(|event| match event {
            UnreadEvent::Progress(update) => CallEvent::Progress(update),
            UnreadEvent::Log(message) => CallEvent::Log(message),
        })
    }
}

fn push(unread: &UnreadEvents, event: UnreadEvent) {
    let mut unread = unread.lock();
    if unread.len() == MAX_UNREAD {
        unread.pop_front();
    }
    unread.push_back(event);
}

// Nothing is pinned in place: the future is boxed.
impl<R: FromResult> Unpin for CallStream<R> {}

impl<R: FromResult> Stream for CallStream<R> {
    type Item = CallEvent<R::Output>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(result) = &mut this.result
            && let Poll::Ready(result) = result.as_mut().poll(cx)
        {
            this.result = None;
            this.done = Some(result);
        }
        if let Some(event) = this.next_unread() {
            return Poll::Ready(Some(event));
        }
        match this.done.take() {
            Some(result) => Poll::Ready(Some(CallEvent::Done(result))),
            None if this.result.is_none() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<R: FromResult> fmt::Debug for CallStream<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallStream")
            .field("done", &self.result.is_none())
            .finish_non_exhaustive()
    }
}
