//! Answers modern calls with a legacy server.

use super::budgets::SessionBudgets;
use super::identity::ClientIdentity;
use super::legacy_call::LegacyCall;
use super::listen;
use super::options::DualEraOptions;
use super::pool::{OpenResult, SessionPool, SessionPurpose};
use super::session::LegacySession;
use super::suspended::SuspendedCalls;
use super::translate::VisibleCapabilities;
use super::transport::SessionError;
use carryall_proto::{BoxFuture, Call, CallError, Reply, Response};
use carryall_types::{ErrorObject, Implementation, Method};
use futures_util::future::join_all;
use std::fmt;
use std::sync::Arc;

/// Opens a session. The returned future must have a timeout of its own.
pub(crate) type SessionOpener =
    Arc<dyn Fn(ClientIdentity, Arc<SessionBudgets>) -> BoxFuture<OpenResult> + Send + Sync>;

/// Sends modern calls to a legacy server. Cheap to clone; clones share the sessions.
///
/// [`SessionScope`](super::SessionScope) decides which callers share a session. Callers with
/// different capabilities never share one, because a legacy client declares its capabilities once,
/// in the handshake.
#[derive(Clone)]
pub(crate) struct LegacyAdapter {
    inner: Arc<AdapterInner>,
}

struct AdapterInner {
    options: DualEraOptions,
    budgets: Arc<SessionBudgets>,
    /// Calls that wait for their caller to answer a question of the server.
    suspended: Arc<SuspendedCalls>,
    open: SessionOpener,
    pool: SessionPool,
}

impl LegacyAdapter {
    pub(crate) fn new(options: DualEraOptions, open: SessionOpener) -> Self {
        Self {
            inner: Arc::new(AdapterInner {
                budgets: Arc::default(),
                suspended: SuspendedCalls::new(&options),
                pool: SessionPool::new(&options),
                options,
                open,
            }),
        }
    }

    pub(crate) async fn call(&self, call: Call) -> Result<Reply, CallError> {
        // A further round: the call carries the `requestState` of a suspended call.
        if let Some(state) = SuspendedCalls::state_of(&call) {
            return self.inner.suspended.resume(&state, call).await;
        }
        // Handshakes are made by the session pool, never by callers.
        if call.method().as_str() == "initialize" {
            let error = ErrorObject::method_not_found("initialize");
            return Ok(Reply::Once(Response::error(call.id().clone(), error)));
        }
        let purpose = match call.method() {
            Method::ServerDiscover => SessionPurpose::Handshake,
            Method::SubscriptionsListen => SessionPurpose::Subscription,
            _ => SessionPurpose::Call,
        };
        let reply = match self.try_call(&call, purpose).await {
            // The server did not know the session and so has not executed the call, which is safe
            // to repeat in a new session.
            Err(SessionError::SessionEnded) => {
                tracing::debug!(
                    "the server has ended the session; repeating the call in a new one"
                );
                self.try_call(&call, purpose).await
            }
            reply => reply,
        };
        reply.map_err(SessionError::into_call_error)
    }

    /// Closes all sessions and drops the suspended calls.
    pub(crate) async fn close(&self) {
        let sessions = self.inner.pool.drain();
        join_all(sessions.iter().map(|session| session.close())).await;
        self.inner.suspended.clear();
    }

    /// Opens the session that `call` would use, unless it is open already. Does not make the call.
    pub(crate) async fn prepare(&self, call: &Call) -> OpenResult {
        self.acquire_session(call, SessionPurpose::Handshake).await
    }

    /// Makes the call in a session from the pool. A session that the server has ended is marked as
    /// failed, so that the pool does not return it again.
    async fn try_call(&self, call: &Call, purpose: SessionPurpose) -> Result<Reply, SessionError> {
        let session = self.acquire_session(call, purpose).await?;
        let reply = self.call_in(&session, call.clone()).await;
        if let Err(SessionError::SessionEnded) = reply {
            session.fail(CallError::broken("the server has ended the session"));
        }
        reply
    }

    async fn call_in(
        &self,
        session: &Arc<LegacySession>,
        call: Call,
    ) -> Result<Reply, SessionError> {
        match call.method() {
            Method::ServerDiscover => {
                let result = session.discover_result();
                Ok(Reply::Once(Response::result(call.id().clone(), result)))
            }
            Method::SubscriptionsListen => Ok(listen::open(session, &call).await?),
            _ => {
                let call = LegacyCall::start(session, call).await?;
                Ok(self.inner.suspended.reply(call).await?)
            }
        }
    }

    async fn acquire_session(&self, call: &Call, purpose: SessionPurpose) -> OpenResult {
        let inner = &self.inner;
        let open = |capabilities: VisibleCapabilities| {
            let default = &inner.options.client_identity;
            let info: Option<Implementation> = call.meta().client_info();
            let identity = ClientIdentity {
                capabilities: capabilities.to_capabilities(&default.capabilities),
                info: info.unwrap_or_else(|| default.info.clone()),
            };
            (inner.open)(identity, Arc::clone(&inner.budgets))
        };
        inner.pool.acquire(call, purpose, open).await
    }
}

impl fmt::Debug for LegacyAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacyAdapter")
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::fake_transport::FakeTransport;
    use crate::message::{Incoming, LegacyRequest};
    use carryall_testkit as testkit;
    use carryall_types::RawJson;
    use futures_util::{FutureExt as _, StreamExt as _, future, stream};
    use serde_json::json;
    use std::sync::{Mutex, Weak};
    use std::time::Duration;

    /// A server that requests form elicitation during each call.
    fn asking_server() -> FakeTransport {
        let asking = FakeTransport::new(|_| {
            let schema = json!({"type": "object", "properties": {}});
            let question = Incoming::Request(LegacyRequest {
                id: "q".into(),
                method: "elicitation/create".into(),
                params: RawJson::from(&json!({"message": "?", "requestedSchema": schema})),
            });
            let incoming = stream::iter([Ok(question)]).chain(stream::pending());
            future::ready(Ok(incoming.boxed())).boxed()
        });
        asking.per_request()
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_adapter_drops_suspended_calls_and_their_sessions() {
        let opened: Arc<Mutex<Vec<Weak<FakeTransport>>>> = Arc::default();
        let transports = Arc::clone(&opened);
        let open: SessionOpener = Arc::new(move |_, budgets| {
            let transport = Arc::new(asking_server());
            transports.lock().unwrap().push(Arc::downgrade(&transport));
            Box::pin(async move {
                let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
                let (options, result) = (DualEraOptions::default(), RawJson::from(&result));
                LegacySession::establish(transport, &options, &result, &budgets).await
            })
        });
        let adapter = LegacyAdapter::new(DualEraOptions::default(), open);
        let capabilities = "io.modelcontextprotocol/clientCapabilities";
        let meta = testkit::meta_with(&json!({capabilities: {"elicitation": {}}}));
        let call = testkit::call("tools/call", json!({"name": "x", "_meta": meta}));
        let Ok(Reply::Once(response)) = adapter.call(call).await else {
            panic!("the call has no response")
        };
        assert!(format!("{response:?}").contains("input_required"));
        let transport = opened.lock().unwrap()[0].clone();
        assert!(transport.upgrade().is_some());
        drop(adapter);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(transport.upgrade().is_none());
    }
}
