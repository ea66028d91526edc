//! How a call ended and what its response was, for metrics, logs and other middleware.

use crate::json::Scanner;
use crate::{CallError, Message, MessageStream, Outcome, Reply, Response};
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};

/// How a call ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum CallEnd<'a> {
    /// With a response. It may be an error: see [`Outcome::status`].
    Response(&'a Response),
    /// The stream failed before the response.
    Failed(&'a CallError),
    /// The stream ended without a response.
    Incomplete,
    /// The reply was dropped before its end, which cancels the call.
    Dropped,
}

/// The kind of a response, for example as a label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutcomeStatus {
    /// A complete result.
    Complete,
    /// The result of a tool that failed (`isError`).
    ToolError,
    /// The server needs input from the client first (`resultType: input_required`).
    InputRequired,
    /// A task was created, which provides the result later (`resultType: task`).
    Task,
    /// A JSON-RPC error with this code.
    Error(i64),
}

impl Outcome {
    /// Returns the kind of the response.
    ///
    /// Scans the top-level members of the result without decoding them.
    #[must_use]
    pub fn status(&self) -> OutcomeStatus {
        let result = match self {
            Self::Error(error) => return OutcomeStatus::Error(error.code),
            Self::Result(result) => result.as_str(),
        };
        let mut status = OutcomeStatus::Complete;
        let mut scanner = Scanner::new(result);
        let Ok(mut object) = scanner.object() else {
            return status;
        };
        while let Ok(Some(name)) = object.next_key(&mut scanner) {
            let Ok(value) = scanner.skip_value() else {
                break;
            };
            match (&result[name], &result[value]) {
                ("resultType", "\"input_required\"") => return OutcomeStatus::InputRequired,
                ("resultType", "\"task\"") => return OutcomeStatus::Task,
                ("isError", "true") => status = OutcomeStatus::ToolError,
                _ => {}
            }
        }
        status
    }
}

impl Reply {
    /// Calls `observe` once, when the call has ended. If the reply is a single response, that is
    /// before this method returns.
    #[must_use]
    pub fn on_end(self, observe: impl FnOnce(CallEnd<'_>) + Send + 'static) -> Self {
        match self {
            Self::Once(response) => {
                observe(CallEnd::Response(&response));
                Self::Once(response)
            }
            Self::Stream(stream) => {
                let observe: Observer = Box::new(observe);
                Self::Stream(Box::pin(ObservedStream {
                    stream,
                    observe: Some(observe),
                }))
            }
        }
    }
}

type Observer = Box<dyn FnOnce(CallEnd<'_>) + Send>;

struct ObservedStream {
    stream: MessageStream,
    /// `None` once the end of the call has been observed.
    observe: Option<Observer>,
}

impl ObservedStream {
    fn end(&mut self, end: CallEnd<'_>) {
        if let Some(observe) = self.observe.take() {
            observe(end);
        }
    }
}

impl Stream for ObservedStream {
    type Item = Result<Message, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.stream.as_mut().poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(Message::Response(response)))) => {
                self.end(CallEnd::Response(response));
            }
            Poll::Ready(Some(Err(error))) => self.end(CallEnd::Failed(error)),
            Poll::Ready(None) => self.end(CallEnd::Incomplete),
            Poll::Ready(Some(Ok(Message::Notification(_)))) | Poll::Pending => {}
        }
        polled
    }
}

impl Drop for ObservedStream {
    fn drop(&mut self) {
        self.end(CallEnd::Dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Notification;
    use carryall_types::{ErrorObject, RawJson};
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    struct Items(VecDeque<Result<Message, CallError>>);

    impl Stream for Items {
        type Item = Result<Message, CallError>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    fn response() -> Response {
        Response::result(1.into(), RawJson::from_trusted("{}".into()))
    }

    fn observed(reply: Reply, polls: usize) -> Vec<String> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let reply = reply.on_end(move |end| {
            let name = format!("{end:?}");
            let name = name.split('(').next().unwrap_or_default().to_owned();
            sink.lock().unwrap().push(name);
        });
        if let Reply::Stream(mut stream) = reply {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            for _ in 0..polls {
                let _ = stream.as_mut().poll_next(&mut cx);
            }
        }
        let seen = seen.lock().unwrap();
        seen.clone()
    }

    #[test]
    fn the_end_of_a_call_is_observed_once_and_told_apart() {
        let notification = || {
            Ok(Message::Notification(Notification::new(
                "x",
                RawJson::EMPTY_OBJECT,
            )))
        };
        let stream = |items: Vec<_>| Reply::Stream(Box::pin(Items(items.into())));
        assert_eq!(observed(response().into(), 0), ["Response"]);
        let whole = || stream(vec![notification(), Ok(Message::Response(response()))]);
        assert_eq!(observed(whole(), 3), ["Response"]);
        assert_eq!(observed(whole(), 1), ["Dropped"]);
        assert_eq!(observed(stream(vec![notification()]), 2), ["Incomplete"]);
        let broken = stream(vec![Err(CallError::Malformed("x".into()))]);
        assert_eq!(observed(broken, 2), ["Failed"]);
    }

    #[test]
    fn the_status_is_that_of_the_members_at_the_top() {
        let status =
            |text: &'static str| Outcome::Result(RawJson::from_trusted(text.into())).status();
        for (text, expected) in [
            ("{}", OutcomeStatus::Complete),
            (
                r#"{"resultType":"complete","isError":false}"#,
                OutcomeStatus::Complete,
            ),
            (
                r#"{"structuredContent":{"isError":true}}"#,
                OutcomeStatus::Complete,
            ),
            (
                r#"{"resultType":"complete","content":[], "isError" : true}"#,
                OutcomeStatus::ToolError,
            ),
            (
                r#"{"resultType":"input_required"}"#,
                OutcomeStatus::InputRequired,
            ),
            (r#"{"resultType":"task","taskId":"1"}"#, OutcomeStatus::Task),
        ] {
            assert_eq!(status(text), expected, "{text}");
        }
        let error = Outcome::Error(ErrorObject::invalid_params("x"));
        assert_eq!(error.status(), OutcomeStatus::Error(-32602));
    }
}
