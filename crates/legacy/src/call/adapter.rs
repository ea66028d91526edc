//! A legacy server as a service on the seam.

use super::listen;
use super::options::Options;
use super::parked::SuspendedCalls;
use super::pool::{Opened, SessionPool, SessionPurpose};
use super::running::LegacyCall;
use super::session::{ClientIdentity, LegacySession};
use super::translate::VisibleCapabilities;
use super::wire::SessionError;
use carryall_proto::{BoxFuture, Call, CallError, Reply, Response};
use carryall_types::{ErrorObject, Implementation, Method};
use futures_util::future::join_all;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// Idle sessions are looked for no more often than this.
const MIN_SWEEP: Duration = Duration::from_millis(20);

/// Opens sessions.
pub(crate) type Open =
    Arc<dyn Fn(ClientIdentity, Arc<SuspendedCalls>) -> BoxFuture<Opened> + Send + Sync>;

/// A legacy server. Which callers share a session is decided by
/// [`SessionScope`](super::SessionScope); callers with different capabilities never do, because a
/// session declares its capabilities once and for all.
#[derive(Clone)]
pub(crate) struct LegacyAdapter {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    parked: Arc<SuspendedCalls>,
    open: Open,
    pool: SessionPool,
    watched: AtomicBool,
}

impl LegacyAdapter {
    pub(crate) fn new(options: Options, open: Open) -> Self {
        let (parked, pool) = (SuspendedCalls::new(&options), SessionPool::new(&options));
        Self {
            inner: Arc::new(Inner {
                options,
                parked,
                open,
                pool,
                watched: AtomicBool::new(false),
            }),
        }
    }

    pub(crate) async fn call(&self, call: Call) -> Result<Reply, CallError> {
        if let Some(state) = SuspendedCalls::state_of(&call) {
            return self.inner.parked.go_on(&state, call).await;
        }
        let purpose = match call.method() {
            Method::ServerDiscover => SessionPurpose::Handshake,
            Method::SubscriptionsListen => SessionPurpose::Subscription,
            _ if call.method().as_str() == "initialize" => {
                let error = ErrorObject::method_not_found("initialize");
                return Ok(Reply::Once(Response::error(call.id().clone(), error)));
            }
            _ => SessionPurpose::Call,
        };
        let session = self
            .session(&call, purpose)
            .await
            .map_err(SessionError::into_call_error)?;
        match on_session(&session, call.clone()).await {
            // The server has done nothing, so that asking it again in a new session does not do it
            // twice.
            Err(SessionError::SessionEnded) => {
                tracing::debug!("the server has ended the session; a new one is opened");
                session.lose(CallError::broken("the server has ended the session"));
                let session = self
                    .session(&call, purpose)
                    .await
                    .map_err(SessionError::into_call_error)?;
                on_session(&session, call)
                    .await
                    .map_err(SessionError::into_call_error)
            }
            answered => answered.map_err(SessionError::into_call_error),
        }
    }

    /// ProcessPipes all sessions.
    pub(crate) async fn end(&self) {
        let sessions = self.inner.pool.drain();
        join_all(sessions.iter().map(|session| session.end())).await;
    }

    /// Opens a session as `call` would need it, if there is none, without making the call. It is
    /// nobody's yet.
    pub(crate) async fn prepare(&self, call: &Call) -> Opened {
        self.session(call, SessionPurpose::Handshake).await
    }

    async fn session(&self, call: &Call, purpose: SessionPurpose) -> Opened {
        let inner = &self.inner;
        let place = inner
            .pool
            .place(call, purpose, |declared| inner.open(call, declared))?;
        if !inner.watched.swap(true, Ordering::Relaxed) {
            tokio::spawn(end_idle(Arc::downgrade(inner)));
        }
        inner.pool.wait(place).await
    }
}

impl Inner {
    /// Opens a session in a task of its own: whoever waits for it shares what comes of it, and it
    /// is opened even if the first of them goes away. Bounded by the handshake timeout.
    fn open(&self, call: &Call, declared: VisibleCapabilities) -> watch::Receiver<Option<Opened>> {
        let info: Option<Implementation> = call.meta().client_info();
        let who = ClientIdentity {
            capabilities: declared.capabilities(&self.options.capabilities),
            info: info.unwrap_or_else(|| self.options.client_info.clone()),
        };
        let (done, opened) = watch::channel(None);
        let opening = (self.open)(who, Arc::clone(&self.parked));
        tokio::spawn(async move {
            let outcome = opening.await;
            done.send_replace(Some(outcome));
        });
        opened
    }
}

async fn end_idle(inner: Weak<Inner>) {
    loop {
        let Some(idle) = inner.upgrade().map(|inner| inner.options.idle) else {
            return;
        };
        sleep(idle / 4 + MIN_SWEEP).await;
        let Some(inner) = inner.upgrade() else { return };
        inner.pool.sweep();
    }
}

async fn on_session(session: &Arc<LegacySession>, call: Call) -> Result<Reply, SessionError> {
    match call.method() {
        Method::ServerDiscover => Ok(Reply::Once(Response::result(
            call.id().clone(),
            session.discovered(),
        ))),
        Method::SubscriptionsListen => Ok(listen::open(session, &call).await?),
        _ => Ok(LegacyCall::start(session, call).await?.reply().await?),
    }
}

impl fmt::Debug for LegacyAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacyAdapter")
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}
