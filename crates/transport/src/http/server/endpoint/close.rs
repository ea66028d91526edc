//! Ends the streams that have no end of their own, before connections are drained.

use super::Endpoint;
use std::fmt;
use std::sync::Arc;

/// What [`Endpoint::close`] calls.
#[derive(Clone, Default)]
pub(super) struct CloseHooks(Vec<Arc<dyn Fn() + Send + Sync>>);

impl fmt::Debug for CloseHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseHooks({})", self.0.len())
    }
}

impl Endpoint {
    /// Adds a hook that [`close`](Self::close) calls, possibly more than once. It ends what the
    /// service would otherwise continue for as long as its clients stay, such as subscriptions.
    #[must_use]
    pub fn on_close(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.inner_mut().close_hooks.0.push(Arc::new(hook));
        self
    }

    /// Ends the streams that have no end of their own, so that a graceful shutdown does not wait
    /// for their clients: subscriptions, as far as an [`on_close`](Self::on_close) hook ends them,
    /// and the streams of the [fallback protocol](Self::fallback). Other calls go on. This affects
    /// all clones of the endpoint and cannot be undone.
    ///
    /// [`HttpServer::run_endpoint`](super::super::HttpServer::run_endpoint) does this when its
    /// shutdown begins.
    pub fn close(&self) {
        let inner = &self.connection.inner;
        inner.close_hooks.0.iter().for_each(|hook| hook());
        if let Some(fallback) = &inner.fallback {
            fallback.close();
        }
    }

    /// Waits for `signal`, then [closes](Self::close) the endpoint. For the graceful shutdown of
    /// another HTTP server:
    ///
    /// ```
    /// # use carryall_transport::http::Endpoint;
    /// # async fn example(endpoint: Endpoint, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    /// let shutdown = endpoint.close_on(async { drop(tokio::signal::ctrl_c().await) });
    /// let app = axum::Router::new().route_service("/mcp", endpoint);
    /// axum::serve(listener, app).with_graceful_shutdown(shutdown).await
    /// # }
    /// ```
    pub fn close_on<F: Future>(&self, signal: F) -> impl Future<Output = ()> + use<F> {
        let endpoint = self.clone();
        async move {
            signal.await;
            endpoint.close();
        }
    }
}
