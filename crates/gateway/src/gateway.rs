//! The gateway: calls in, calls out.

use crate::fault::GatewayError;
use crate::federation::Federation;
use crate::hop::without_credentials;
use crate::limits::{GatewayFuture, Limits};
use crate::listen::{Listening, Part, listen};
use crate::upstream::Upstream;
use carryall_proto::{Call, CallError, Printable, Reply, Response};
use carryall_types::{ErrorObject, Implementation, Method};
use futures_util::future::{join, join_all};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tower_service::Service;

/// One endpoint in front of one or more [`Upstream`]s. A service on the seam, cheap to clone.
///
/// It always answers: what goes wrong upstream becomes a JSON-RPC error that says whether the
/// request may be repeated. Dropping the future, or the reply, cancels upstream.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

struct Shared {
    upstreams: Vec<Upstream>,
    /// `None` with a single upstream, for which everything passes as it stands.
    federation: Option<Federation>,
    limits: Arc<Limits>,
    options: Options,
    closing: watch::Sender<bool>,
}

#[derive(Clone, Debug)]
struct Options {
    info: Implementation,
    call_timeout: Duration,
    fan_out_timeout: Duration,
    max_calls: usize,
    max_calls_per_caller: Option<usize>,
}

impl Gateway {
    /// A gateway that calls itself `info` where it answers on its own behalf.
    #[must_use]
    pub fn builder(info: Implementation) -> GatewayBuilder {
        let options = Options {
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

    /// The upstreams, in order.
    #[must_use]
    pub fn upstreams(&self) -> &[Upstream] {
        &self.shared.upstreams
    }

    /// Probes the replicas of all upstreams, ends calls at their deadline whose replies nobody
    /// reads, and follows upstreams that were too slow for an answer, so that listeners are told
    /// when they have joined. For as long as it is polled; it never completes.
    pub async fn watch(&self) {
        let probing = join_all(self.shared.upstreams.iter().map(Upstream::watch));
        let background = join(probing, self.shared.limits.reap());
        match &self.shared.federation {
            Some(federation) => drop(join(background, federation.follow_late()).await),
            None => drop(background.await),
        }
    }

    /// Ends all subscriptions in good order (`basic/patterns/subscriptions#graceful-closure`), and
    /// each that is opened from now on. The first step of a shutdown.
    pub fn close_subscriptions(&self) {
        self.shared.closing.send_replace(true);
    }
}

impl Shared {
    async fn answer(&self, mut call: Call) -> Reply {
        without_credentials(&mut call);
        let id = call.id().clone();
        let answered = match (call.method(), &self.federation) {
            (Method::SubscriptionsListen, _) => self.listen(call).await,
            (_, None) => match self.upstreams.first() {
                Some(only) => only.exchange(call).await.map_err(|fault| fault.to_error()),
                None => Err(GatewayError::Unreachable {
                    upstream: "(none)".into(),
                    replicas: 0,
                }
                .to_error()),
            },
            (_, Some(federation)) => federation.answer(call).await,
        };
        answered.unwrap_or_else(|error| Reply::Once(Response::error(id, error)))
    }

    async fn listen(&self, call: Call) -> Result<Reply, ErrorObject> {
        let (parts, failure) = match &self.federation {
            Some(federation) => federation.split_subscription(call.clone()).await?,
            None => (
                self.upstreams
                    .iter()
                    .map(|upstream| Part {
                        upstream,
                        call: call.clone(),
                    })
                    .collect(),
                None,
            ),
        };
        let joined = self.federation.as_ref().map(Federation::joined);
        let listening = Listening {
            parts,
            failure,
            patience: self.options.fan_out_timeout,
            joined,
        };
        listen(listening, self.closing.subscribe(), call).await
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
        let shared = Arc::clone(&self.shared);
        match self.shared.limits.admit(&call) {
            Ok(guard) => guard.bound(Box::pin(async move { shared.answer(call).await })),
            Err(fault) => {
                let of_one_caller = matches!(fault, GatewayError::CallerBusy(_));
                tracing::warn!(method = %Printable(call.method().as_str()), of_one_caller, "too many calls in flight");
                GatewayFuture::done(Response::error(call.id().clone(), fault.to_error()))
            }
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("upstreams", &self.shared.upstreams)
            .finish_non_exhaustive()
    }
}

/// Options of a [`Gateway`].
#[derive(Debug)]
pub struct GatewayBuilder {
    upstreams: Vec<Upstream>,
    options: Options,
}

impl GatewayBuilder {
    /// One more server behind the gateway.
    #[must_use]
    pub fn upstream(mut self, upstream: Upstream) -> Self {
        self.upstreams.push(upstream);
        self
    }

    /// How long a call may take as a whole, subscriptions excepted. 10 min unless set. A call whose
    /// reply nobody reads ends up to 1 s later than that, and only while [`Gateway::watch`] is
    /// driven.
    #[must_use]
    pub fn call_timeout(mut self, limit: Duration) -> Self {
        self.options.call_timeout = limit;
        self
    }

    /// How long each upstream may take where several are asked for one answer; who takes longer is
    /// left out of it, and joins later (see [`Gateway::watch`]). 5 s unless set.
    #[must_use]
    pub fn fan_out_timeout(mut self, limit: Duration) -> Self {
        self.options.fan_out_timeout = limit;
        self
    }

    /// How many calls may be in flight, open subscriptions included. 16,384 unless set.
    #[must_use]
    pub fn max_calls(mut self, max: usize) -> Self {
        self.options.max_calls = max;
        self
    }

    /// How many of the [calls in flight](Self::max_calls) may be of one caller: of one principal,
    /// else of one network address (an IPv6 address stands for its /64 network), else of one
    /// connection. Three quarters of them unless set, since all clients without principals behind a
    /// proxy have its address; where clients come directly, a smaller share is fairer. Further
    /// calls of that caller are refused with [`code::BUSY`](crate::code::BUSY).
    #[must_use]
    pub fn max_calls_per_caller(mut self, max: usize) -> Self {
        self.options.max_calls_per_caller = Some(max);
        self
    }

    /// The gateway.
    ///
    /// # Errors
    /// When there is no upstream, or two have the same name.
    pub fn build(self) -> Result<Gateway, GatewayBuildError> {
        let Self { upstreams, options } = self;
        if upstreams.is_empty() {
            return Err(GatewayBuildError::NoUpstream);
        }
        let mut names = HashSet::new();
        if let Some(twice) = upstreams
            .iter()
            .find(|upstream| !names.insert(upstream.name()))
        {
            return Err(GatewayBuildError::NameTaken(twice.name().into()));
        }
        let federation = (upstreams.len() > 1).then(|| {
            Federation::new(
                upstreams.clone(),
                options.info.clone(),
                options.fan_out_timeout,
            )
        });
        let per_caller = options
            .max_calls_per_caller
            .unwrap_or(options.max_calls.saturating_mul(3).div_ceil(4));
        let shared = Shared {
            upstreams,
            federation,
            limits: Arc::new(Limits::new(
                options.max_calls,
                per_caller,
                options.call_timeout,
            )),
            options,
            closing: watch::Sender::new(false),
        };
        Ok(Gateway {
            shared: Arc::new(shared),
        })
    }
}

/// Why there is no gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayBuildError {
    /// There is nothing to stand in front of.
    NoUpstream,
    /// Two upstreams have this name.
    NameTaken(Box<str>),
}

impl fmt::Display for GatewayBuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUpstream => f.write_str("a gateway needs at least one upstream"),
            Self::NameTaken(name) => write!(
                f,
                "two upstreams are called {name:?}: give one of them another name"
            ),
        }
    }
}

impl std::error::Error for GatewayBuildError {}
