//! The log level of a session.

use super::requests::{REQUEST_TIMEOUT, SessionRequests};
use carryall_proto::sync::Mutex;
use carryall_proto::{Outcome, PrintableFmt};
use carryall_types::LoggingLevel;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// How long a call waits for the level to be set before it is sent. Log messages are not worth
/// more.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Sets the level from which on the server sends log messages.
#[derive(Default)]
pub(crate) struct SessionLogLevel {
    state: Arc<Mutex<LogLevelState>>,
    /// The attempt in progress, in a task so that others can wait for it when the call that started
    /// it is dropped. There is one at a time.
    task: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct LogLevelState {
    current: Option<LoggingLevel>,
    /// Closes when the attempt in progress has ended.
    attempt: Option<watch::Receiver<()>>,
    /// A call has waited for the attempt in progress until its time was up.
    is_slow: bool,
    /// The server refuses to set the level or does not respond. It is not asked again.
    is_unsupported: bool,
}

impl SessionLogLevel {
    /// Makes the server log at least from `level` on.
    ///
    /// Waits for at most a second, and not at all if another call has waited for the same attempt
    /// that long.
    pub(crate) async fn ensure(&self, level: LoggingLevel, requests: &SessionRequests) {
        let deadline = Instant::now() + MAX_WAIT;
        // The attempt in progress may be for a higher level. The second one is for this one.
        for _ in 0..2 {
            let mut attempt = {
                let mut state = self.state.lock();
                let is_set = state.current.is_some_and(|current| current <= level);
                if is_set || state.is_unsupported || state.is_slow {
                    return;
                }
                state
                    .attempt
                    .get_or_insert_with(|| self.start_attempt(level, requests.clone()))
                    .clone()
            };
            if timeout_at(deadline, attempt.changed()).await.is_err() {
                let mut state = self.state.lock();
                state.is_slow = state.attempt.is_some();
                return;
            }
        }
    }

    fn start_attempt(&self, level: LoggingLevel, requests: SessionRequests) -> watch::Receiver<()> {
        let (ended, attempt) = watch::channel(());
        let state = Arc::clone(&self.state);
        let mut task = self.task.lock();
        while task.try_join_next().is_some() {}
        task.spawn(async move {
            let started = Instant::now();
            let outcome = requests
                .call("logging/setLevel", &json!({"level": level}))
                .await;
            let mut state = state.lock();
            (state.attempt, state.is_slow) = (None, false);
            match outcome {
                Ok(Outcome::Result(_)) => state.current = Some(level),
                refused => {
                    // A connection that broke says nothing about the server.
                    state.is_unsupported = refused.is_ok() || started.elapsed() >= REQUEST_TIMEOUT;
                    tracing::debug!(refused = ?PrintableFmt(&refused), "the server did not set its log level");
                }
            }
            drop(state);
            drop(ended);
        });
        attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::fake_transport::{FakeTransport, empty_result, one};
    use crate::message::{Incoming, LegacyRequest};
    use carryall_proto::{CallError, Response};
    use carryall_types::{ErrorObject, RawJson};
    use futures_util::StreamExt as _;

    struct Fixture {
        log_level: SessionLogLevel,
        transport: Arc<FakeTransport>,
        requests: SessionRequests,
    }

    impl Fixture {
        fn new(transport: FakeTransport) -> Self {
            let transport = Arc::new(transport);
            Self {
                log_level: SessionLogLevel::default(),
                requests: SessionRequests::new(Arc::clone(&transport) as _),
                transport,
            }
        }

        /// Ensures the level and returns how long that took.
        async fn ensure(&self, level: LoggingLevel) -> Duration {
            let start = Instant::now();
            self.log_level.ensure(level, &self.requests).await;
            start.elapsed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_respond_is_waited_for_once_and_briefly() {
        let fixture = Fixture::new(FakeTransport::new(|_| Box::pin(std::future::pending())));
        let both = || async {
            tokio::join!(
                fixture.ensure(LoggingLevel::Debug),
                fixture.ensure(LoggingLevel::Error)
            )
        };
        assert_eq!(both().await, (MAX_WAIT, MAX_WAIT), "both at a time");
        assert_eq!(both().await, (Duration::ZERO, Duration::ZERO));
        tokio::time::sleep(REQUEST_TIMEOUT).await;
        assert_eq!(both().await, (Duration::ZERO, Duration::ZERO));
        assert_eq!(fixture.transport.requests(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_of_the_server_is_answered_meanwhile() {
        let fixture = Fixture::new(FakeTransport::new(|request| {
            let question = Incoming::Request(LegacyRequest {
                id: "q1".into(),
                method: "roots/list".into(),
                params: RawJson::EMPTY_OBJECT,
            });
            let incoming = one(question).chain(empty_result(request)).boxed();
            Box::pin(std::future::ready(Ok(incoming)))
        }));
        fixture.ensure(LoggingLevel::Error).await;
        let sent = fixture.transport.take_sent();
        assert!(
            sent.iter()
                .any(|text| text.contains(r#""id":"q1""#) && text.contains("-32600")),
            "{sent:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_refuses_is_not_asked_again() {
        let fixture = Fixture::new(FakeTransport::new(|request| {
            let error = ErrorObject::method_not_found("logging/setLevel");
            let response = Response::error(request.id, error);
            Box::pin(std::future::ready(Ok(one(Incoming::Response(response)))))
        }));
        for level in [
            LoggingLevel::Error,
            LoggingLevel::Debug,
            LoggingLevel::Error,
        ] {
            assert_eq!(fixture.ensure(level).await, Duration::ZERO);
        }
        assert_eq!(fixture.transport.requests(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn later_calls_retry_after_a_broken_connection_but_not_in_a_loop() {
        let fixture = Fixture::new(FakeTransport::new(|_| {
            Box::pin(std::future::ready(Err(CallError::broken("reset").into())))
        }));
        for calls in 1..4 {
            assert_eq!(fixture.ensure(LoggingLevel::Error).await, Duration::ZERO);
            assert!((calls..=2 * calls).contains(&fixture.transport.requests()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_attempt_continues_when_the_call_that_started_it_is_dropped() {
        let delay = MAX_WAIT / 4;
        let fixture = Fixture::new(FakeTransport::new(move |request| {
            Box::pin(async move {
                tokio::time::sleep(delay).await;
                Ok(empty_result(request))
            })
        }));
        let dropped = tokio::time::timeout(delay / 2, fixture.ensure(LoggingLevel::Error));
        assert!(dropped.await.is_err());
        assert_eq!(fixture.ensure(LoggingLevel::Error).await, delay / 2);
        assert_eq!(fixture.ensure(LoggingLevel::Error).await, Duration::ZERO);
        assert_eq!(
            fixture.ensure(LoggingLevel::Debug).await,
            delay,
            "more than is set"
        );
        assert_eq!(fixture.transport.requests(), 2);
    }
}
