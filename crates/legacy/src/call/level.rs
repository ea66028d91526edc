//! The level from which on the server of a session logs.

use super::session::{HOUSEKEEPING, Session};
use carryall_proto::Outcome;
use carryall_types::LoggingLevel;
use serde_json::json;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How long a call waits for the level to be set before it is sent. Log messages are not worth more.
const WAIT: Duration = Duration::from_secs(1);

/// The level of a session, and the attempt to set it. There is one attempt at a time, and nobody holds a lock meanwhile.
#[derive(Default)]
pub(crate) struct Level(Mutex<State>);

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

impl Level {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Has the server log at least from `level` on. Waits for it for a second at most, and not at all where the server has
    /// let others wait that long.
    pub(crate) async fn ensure_level(self: &Arc<Self>, level: LoggingLevel) {
        if self.capabilities().logging.is_none() {
            return;
        }
        let deadline = Instant::now() + WAIT;
        loop {
            let mut attempt = {
                let mut state = self.level.state();
                if state.is_useless || state.set.is_some_and(|set| set <= level) || state.is_slow {
                    return;
                }
                state.attempt.get_or_insert_with(|| self.attempt(level)).clone()
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
            let answered = session.ask("logging/setLevel", &json!({"level": level})).await;
            let mut state = session.level.state();
            (state.attempt, state.is_slow) = (None, false);
            match answered {
                Ok(Outcome::Result(_)) => state.set = Some(level),
                refused => {
                    // A connection that broke says nothing about the server.
                    state.is_useless = refused.is_ok() || started.elapsed() >= HOUSEKEEPING;
                    tracing::debug!(?refused, "the server does not set the level of its log messages");
                }
            }
            drop(state);
            drop(over);
        });
        attempt
    }
}
