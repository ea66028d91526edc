//! The gateway and its builder.

use crate::error::GatewayError;
use crate::federation::Federation;
use crate::limits::{CallLimits, GatewayFuture};
use crate::listen::{SubscriptionPart, SubscriptionPlan, listen};
use crate::upstream::Upstream;
use carryall_proto::{Call, CallError, Printable, Reply, Response};
use carryall_types::{ErrorObject, Implementation, Method};
use futures_util::future::{join, join_all};
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tower_service::Service;

/// One endpoint in front of one or more [`Upstream`]s: a service from [`Call`] to [`Reply`]. Cheap
/// to clone.
///
/// It never fails: an error of an upstream becomes a JSON-RPC error that says whether the request
/// may be repeated (see [`code`](crate::code)). Dropping the future or the reply cancels the call
/// upstream.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<GatewayInner>,
}

struct GatewayInner {
    upstreams: Vec<Upstream>,
    /// `None` with a single upstream, to which calls pass unchanged.
    federation: Option<Federation>,
    limits: Arc<CallLimits>,
    options: GatewayOptions,
    /// Becomes `true` when subscriptions are to be closed.
    closing: watch::Sender<bool>,
}

#[derive(Clone, Debug)]
struct GatewayOptions {
    info: Implementation,
    call_timeout: Duration,
    fan_out_timeout: Duration,
    max_calls: usize,
    max_calls_per_caller: Option<usize>,
}

impl Gateway {
    /// Returns a builder. `info` is the name and version of the gateway in the answers of its own,
    /// such as merged lists.
    #[must_use]
    pub fn builder(info: Implementation) -> GatewayBuilder {
        let options = GatewayOptions {
            info,
            call_timeout: Duration::from_secs(600),
            fan_out_timeout: Duration::from_secs(5),
            max_calls: 16 * 1024,
            max_calls_per_caller: None,
        };
        GatewayBuilder {
            upstreams: Vec::new(),
            options,
        }
    }

    /// Returns the upstreams, in order.
    #[must_use]
    pub fn upstreams(&self) -> &[Upstream] {
        &self.inner.upstreams
    }

    /// Runs the background work of the gateway. The future never completes; drop it to stop the
    /// work. Poll one such future per gateway for as long as the gateway serves.
    ///
    /// The background work is:
    /// - to probe replicas;
    /// - to end calls that reach their deadline while nobody polls them;
    /// - to wait for upstreams that answered too late to be part of a merged answer, and to notify
    ///   subscribers of the changed list.
    pub async fn watch(&self) {
        let probing = join_all(self.inner.upstreams.iter().map(Upstream::watch));
        let background = join(probing, self.inner.limits.reap());
        match &self.inner.federation {
            Some(federation) => {
                join(background, federation.follow_late_answers()).await;
            }
            None => {
                background.await;
            }
        }
    }

    /// Closes all open subscriptions gracefully (`basic/patterns/subscriptions#graceful-closure`).
    /// Subscriptions opened later are closed at once. Call this first when shutting down.
    pub fn close_subscriptions(&self) {
        self.inner.closing.send_replace(true);
    }
}

impl Service<Call> for Gateway {
    type Response = Reply;
    type Error = CallError;
    type Future = GatewayFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> GatewayFuture {
        let inner = Arc::clone(&self.inner);
        match self.inner.limits.admit(&call) {
            Ok(guard) => guard.run(Box::pin(async move { inner.answer(call).await })),
            Err(error) => {
                let per_caller = matches!(error, GatewayError::CallerBusy(_));
                tracing::warn!(method = %Printable(call.method().as_str()), per_caller, "too many calls in flight");
                GatewayFuture::ready(Response::error(call.id().clone(), error.to_error()))
            }
        }
    }
}

impl GatewayInner {
    async fn answer(&self, mut call: Call) -> Reply {
        remove_credentials(&mut call);
        let id = call.id().clone();
        let reply = match (call.method(), &self.federation) {
            (Method::SubscriptionsListen, _) => self.listen(call).await,
            (_, None) => match self.upstreams.first() {
                Some(only) => only.exchange(call).await.map_err(|error| error.to_error()),
                // Cannot happen: `build` requires an upstream.
                None => Err(GatewayError::Unreachable {
                    upstream: "(none)".into(),
                    replicas: 0,
                }
                .to_error()),
            },
            (_, Some(federation)) => federation.answer(call).await,
        };
        reply.unwrap_or_else(|error| Reply::Once(Response::error(id, error)))
    }

    async fn listen(&self, call: Call) -> Result<Reply, ErrorObject> {
        let (parts, failure) = match &self.federation {
            Some(federation) => federation.split_subscription(call.clone()).await?,
            None => {
                let parts = self.upstreams.iter().map(|upstream| SubscriptionPart {
                    upstream,
                    call: call.clone(),
                });
                (parts.collect(), None)
            }
        };
        let plan = SubscriptionPlan {
            parts,
            failure,
            open_timeout: self.options.fan_out_timeout,
            late_changes: self.federation.as_ref().map(Federation::late_changes),
        };
        listen(plan, self.closing.subscribe(), call).await
    }
}

/// Removes the client's credentials, because a token must not be passed on to another server
/// (`basic/authorization/index#token-handling`).
fn remove_credentials(call: &mut Call) {
    if let Some(headers) = call.headers_mut() {
        for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
            headers.remove(name);
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("upstreams", &self.inner.upstreams)
            .finish_non_exhaustive()
    }
}

/// Configures and builds a [`Gateway`].
#[derive(Debug)]
pub struct GatewayBuilder {
    upstreams: Vec<Upstream>,
    options: GatewayOptions,
}

impl GatewayBuilder {
    /// Adds an upstream.
    #[must_use]
    pub fn upstream(mut self, upstream: Upstream) -> Self {
        self.upstreams.push(upstream);
        self
    }

    /// Sets how long a call may take, including its streamed reply. Default: 10 min. Subscriptions
    /// have no timeout. A call whose reply is not read ends up to 1 s after the timeout, and only
    /// while [`Gateway::watch`] is polled.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.options.call_timeout = timeout;
        self
    }

    /// Sets how long each upstream may take to answer a call that goes to several upstreams.
    /// Default: 5 s. The merged answer omits slower upstreams, whose answers are awaited in the
    /// background (see [`Gateway::watch`]).
    #[must_use]
    pub fn fan_out_timeout(mut self, timeout: Duration) -> Self {
        self.options.fan_out_timeout = timeout;
        self
    }

    /// Sets how many calls may be in flight, open subscriptions included. Default: 16,384. Further
    /// calls are refused with [`code::BUSY`](crate::code::BUSY).
    #[must_use]
    pub fn max_calls(mut self, max: usize) -> Self {
        self.options.max_calls = max;
        self
    }

    /// Sets how many of the [calls in flight](Self::max_calls) may belong to one caller. Further
    /// calls of that caller are refused with [`code::BUSY`](crate::code::BUSY).
    ///
    /// A caller is a principal; without one, a network address (an IPv6 /64 network); without that,
    /// a connection. Default: three quarters of `max_calls`. The default is high because all
    /// clients behind a proxy share its address unless they have a principal. Choose less where
    /// clients connect directly.
    #[must_use]
    pub fn max_calls_per_caller(mut self, max: usize) -> Self {
        self.options.max_calls_per_caller = Some(max);
        self
    }

    /// Builds the gateway.
    ///
    /// # Errors
    /// If there is no upstream, or two upstreams have the same name.
    pub fn build(self) -> Result<Gateway, GatewayBuildError> {
        let Self { upstreams, options } = self;
        if upstreams.is_empty() {
            return Err(GatewayBuildError::NoUpstream);
        }
        let mut names = HashSet::new();
        if let Some(duplicate) = upstreams
            .iter()
            .find(|upstream| !names.insert(upstream.name()))
        {
            return Err(GatewayBuildError::DuplicateName(duplicate.name().into()));
        }
        let federation = (upstreams.len() > 1).then(|| {
            Federation::new(
                upstreams.clone(),
                options.info.clone(),
                options.fan_out_timeout,
            )
        });
        let max_per_caller = options
            .max_calls_per_caller
            .unwrap_or(options.max_calls.saturating_mul(3).div_ceil(4));
        let limits = CallLimits::new(options.max_calls, max_per_caller, options.call_timeout);
        let inner = GatewayInner {
            upstreams,
            federation,
            limits: Arc::new(limits),
            options,
            closing: watch::Sender::new(false),
        };
        Ok(Gateway {
            inner: Arc::new(inner),
        })
    }
}

/// Why a gateway cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GatewayBuildError {
    /// There is no upstream.
    NoUpstream,
    /// Two upstreams have this name.
    DuplicateName(Box<str>),
}

impl fmt::Display for GatewayBuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUpstream => f.write_str("a gateway needs at least one upstream"),
            Self::DuplicateName(name) => write!(f, "duplicate upstream name {name:?}"),
        }
    }
}

impl std::error::Error for GatewayBuildError {}
