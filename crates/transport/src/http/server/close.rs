//! Ending what only ends with the server, before the connections are drained.

use super::Endpoint;
use std::fmt;
use std::sync::Arc;

/// What is called when an endpoint closes.
#[derive(Clone, Default)]
pub(super) struct CloseHooks(Vec<Arc<dyn Fn() + Send + Sync>>);

impl fmt::Debug for CloseHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseHooks({})", self.0.len())
    }
}

impl Endpoint {
    /// Has `hook` called by [`close`](Self::close): it ends what the service would otherwise go on
    /// with for as long as its clients stay, such as subscriptions. It may be called more than
    /// once.
    #[must_use]
    pub fn on_close(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.shared)
            .on_close
            .0
            .push(Arc::new(hook));
        self
    }

    /// Ends the streams that have no end of their own, so that a graceful shutdown does not wait
    /// for their clients: subscriptions, as far as an [`on_close`](Self::on_close) hook ends them,
    /// and the streams of the [alternate](Self::alternate). Other calls go on. For all clones of
    /// the endpoint, and for good.
    ///
    /// [`HttpServer::run_endpoint`](super::HttpServer::run_endpoint) does this when its shutdown
    /// begins.
    pub fn close(&self) {
        self.shared.on_close.0.iter().for_each(|hook| hook());
        if let Some(alternate) = &self.shared.alternate {
            alternate.close();
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
