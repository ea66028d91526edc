//! The level from which on the server of a session logs.

use super::session::{HOUSEKEEPING, LegacySession};
use carryall_proto::Outcome;
use carryall_proto::sync::Mutex;
use carryall_types::LoggingLevel;
use serde_json::json;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How long a call waits for the level to be set before it is sent. Log messages are not worth
/// more.
const WAIT: Duration = Duration::from_secs(1);

/// The level of a session, and the attempt to set it. There is one attempt at a time, and nobody
/// holds a lock meanwhile.
#[derive(Default)]
pub(crate) struct SessionLogLevel(Mutex<State>);

#[derive(Default)]
struct State {
    set: Option<LoggingLevel>,
    /// The attempt under way. Closed when it is over.
    attempt: Option<watch::Receiver<()>>,
    /// The attempt under way was waited for in vain.
    is_slow: bool,
    /// The server refuses to set it, or does not answer. It is not asked again in this session.
    is_useless: bool,
}

impl SessionLogLevel {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl LegacySession {
    /// Has the server log at least from `level` on. Waits for it for a second at most, and not at
    /// all where the server has let others wait that long.
    pub(crate) async fn ensure_level(self: &Arc<Self>, level: LoggingLevel) {
        if self.capabilities().logging.is_none() {
            return;
        }
        let deadline = Instant::now() + WAIT;
        // One attempt of another call's may be under way, which does not ask for as much; then one
        // of this call's own.
        for _ in 0..2 {
            let mut attempt = {
                let mut state = self.level.state();
                if state.is_useless || state.set.is_some_and(|set| set <= level) || state.is_slow {
                    return;
                }
                state
                    .attempt
                    .get_or_insert_with(|| self.attempt(level))
                    .clone()
            };
            if timeout_at(deadline, attempt.changed()).await.is_err() {
                let mut state = self.level.state();
                state.is_slow = state.attempt.is_some();
                return;
            }
        }
    }

    /// Sets the level in a task of its own, because others wait for it even if this call goes away.
    fn attempt(self: &Arc<Self>, level: LoggingLevel) -> watch::Receiver<()> {
        let (over, attempt) = watch::channel(());
        let session = Arc::clone(self);
        tokio::spawn(async move {
            let started = Instant::now();
            let answered = session
                .ask("logging/setLevel", &json!({"level": level}))
                .await;
            let mut state = session.level.state();
            (state.attempt, state.is_slow) = (None, false);
            match answered {
                Ok(Outcome::Result(_)) => state.set = Some(level),
                refused => {
                    // A connection that broke says nothing about the server.
                    state.is_useless = refused.is_ok() || started.elapsed() >= HOUSEKEEPING;
                    tracing::debug!(refused = ?carryall_proto::PrintableFmt(&refused), "the server does not set the level of its log messages");
                }
            }
            drop(state);
            drop(over);
        });
        attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::options::Options;
    use crate::call::parked::SuspendedCalls;
    use crate::call::wire::{
        IncomingStream, MessageSink, OneWayMessage, SessionError, SessionTransport,
    };
    use crate::message::{Incoming, Request};
    use carryall_proto::{BoxFuture, Response};
    use carryall_types::{ErrorObject, ProtocolVersion, RawJson};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// What a server makes of `logging/setLevel`.
    #[derive(Clone, Copy, Debug)]
    enum Answer {
        Never,
        Error,
        After(Duration),
        /// The connection breaks each time.
        Broken,
        /// After a request of the server's own.
        AfterAsking,
    }

    #[derive(Debug)]
    struct Fake {
        answer: Answer,
        asked: Arc<AtomicUsize>,
        sent: Arc<Mutex<Vec<String>>>,
    }

    impl SessionTransport for Fake {
        fn request(&self, request: Request) -> BoxFuture<Result<IncomingStream, SessionError>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let answer = self.answer;
            Box::pin(async move {
                let response = match answer {
                    Answer::Broken => return Err(carryall_proto::CallError::broken("reset").into()),
                    Answer::AfterAsking => {
                        let own = Request {
                            id: "q1".into(),
                            method: "roots/list".into(),
                            params: RawJson::EMPTY_OBJECT,
                        };
                        let response = Response::result(request.id, RawJson::EMPTY_OBJECT);
                        let incomings =
                            [Ok(Incoming::Request(own)), Ok(Incoming::Response(response))];
                        let incomings: IncomingStream =
                            Box::pin(futures_util::stream::iter(incomings));
                        return Ok(incomings);
                    }
                    Answer::Never => std::future::pending().await,
                    Answer::Error => Response::error(
                        request.id,
                        ErrorObject::method_not_found("logging/setLevel"),
                    ),
                    Answer::After(delay) => {
                        tokio::time::sleep(delay).await;
                        Response::result(request.id, RawJson::EMPTY_OBJECT)
                    }
                };
                let incomings: IncomingStream = Box::pin(futures_util::stream::iter([Ok(
                    Incoming::Response(response),
                )]));
                Ok(incomings)
            })
        }

        fn send(&self, message: OneWayMessage) -> BoxFuture<Result<(), SessionError>> {
            self.sent
                .lock()
                .push(String::from_utf8(message.encode().to_vec()).unwrap());
            Box::pin(std::future::ready(Ok(())))
        }

        fn hear(&self, _: MessageSink) {}

        fn is_shared(&self) -> bool {
            true
        }

        fn negotiated(&self, _: ProtocolVersion) {}

        fn end(&self) -> BoxFuture<()> {
            Box::pin(std::future::ready(()))
        }
    }

    async fn session(answer: Answer) -> (Arc<LegacySession>, Arc<AtomicUsize>) {
        let (session, asked, _) = telling_session(answer).await;
        (session, asked)
    }

    async fn telling_session(
        answer: Answer,
    ) -> (
        Arc<LegacySession>,
        Arc<AtomicUsize>,
        Arc<Mutex<Vec<String>>>,
    ) {
        let (asked, sent, options) = (Arc::default(), Arc::default(), Options::default());
        let wire = Arc::new(Fake {
            answer,
            asked: Arc::clone(&asked),
            sent: Arc::clone(&sent),
        });
        let result = RawJson::from(
            &json!({"protocolVersion": "2025-11-25", "capabilities": {"logging": {}}}),
        );
        (
            LegacySession::established(wire, &options, &result, &SuspendedCalls::new(&options))
                .await
                .unwrap(),
            asked,
            sent,
        )
    }

    async fn waited(session: &Arc<LegacySession>, level: LoggingLevel) -> Duration {
        let start = Instant::now();
        session.ensure_level(level).await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_waited_for_once_and_briefly() {
        let (session, asked) = session(Answer::Never).await;
        let both = || async {
            tokio::join!(
                waited(&session, LoggingLevel::Debug),
                waited(&session, LoggingLevel::Error)
            )
        };
        assert_eq!(both().await, (WAIT, WAIT), "both at a time");
        assert_eq!(both().await, (Duration::ZERO, Duration::ZERO));
        tokio::time::sleep(HOUSEKEEPING).await;
        assert_eq!(both().await, (Duration::ZERO, Duration::ZERO));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_of_the_server_beside_one_of_the_session_is_answered() {
        let (session, _, sent) = telling_session(Answer::AfterAsking).await;
        session.ensure_level(LoggingLevel::Error).await;
        let sent = sent.lock().clone();
        assert!(
            sent.iter()
                .any(|text| text.contains(r#""id":"q1""#) && text.contains("-32600")),
            "{sent:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_refuses_is_not_asked_again() {
        let (session, asked) = session(Answer::Error).await;
        for level in [
            LoggingLevel::Error,
            LoggingLevel::Debug,
            LoggingLevel::Error,
        ] {
            assert_eq!(waited(&session, level).await, Duration::ZERO);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_breaks_is_tried_again_by_later_calls_and_not_in_a_loop() {
        let (session, asked) = session(Answer::Broken).await;
        for calls in 1..4 {
            assert_eq!(waited(&session, LoggingLevel::Error).await, Duration::ZERO);
            assert!((calls..=2 * calls).contains(&asked.load(Ordering::Relaxed)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_level_is_set_before_the_call_even_if_whoever_began_goes_away() {
        let delay = WAIT / 4;
        let (session, asked) = session(Answer::After(delay)).await;
        let gone = tokio::time::timeout(delay / 2, session.ensure_level(LoggingLevel::Error));
        assert!(gone.await.is_err());
        assert_eq!(waited(&session, LoggingLevel::Error).await, delay / 2);
        assert_eq!(waited(&session, LoggingLevel::Error).await, Duration::ZERO);
        assert_eq!(
            waited(&session, LoggingLevel::Debug).await,
            delay,
            "more than is set"
        );
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
