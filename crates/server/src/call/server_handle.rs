//! The server, as its handlers see it.

use crate::call::ctx::Ctx;
use crate::call::extract::FromCtx;
use crate::call::handler_error::HandlerError;
use crate::environment::Environment;
use carryall_proto::listen::Change;
use std::fmt;
use std::sync::Arc;

/// The server that answers a call: its name, and a way to announce changes.
///
/// A handler takes it as a parameter, or from [`Ctx::server`]. It may outlive the call.
///
/// ```
/// use carryall_server::{Server, ServerHandle, State, Tool};
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
///
/// async fn bump(State(counter): State<Arc<AtomicU64>>, server: ServerHandle) -> u64 {
///     let value = counter.fetch_add(1, Ordering::Relaxed) + 1;
///     server.resource_updated("counter://value");
///     value
/// }
///
/// let server = Server::new("counter", "1.0.0").state(Arc::<AtomicU64>::default()).tool(Tool::new("bump", bump));
/// server.build().unwrap();
/// ```
#[derive(Clone)]
pub struct ServerHandle(Arc<Environment>);

impl ServerHandle {
    /// Returns the name of the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.info.name
    }

    /// Returns the version of the server.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.0.info.version
    }

    /// Announces that the content of a resource has changed; see
    /// [`Server::resource_updated`](crate::Server::resource_updated).
    pub fn resource_updated(&self, uri: &str) {
        self.0.changes.publish(&Change::Resource(uri.into()));
    }

    /// Announces that the list of resources has changed; see
    /// [`Server::resource_list_changed`](crate::Server::resource_list_changed).
    pub fn resource_list_changed(&self) {
        self.0.changes.publish(&Change::Resources);
    }
}

impl FromCtx for ServerHandle {
    async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        Ok(ctx.server())
    }
}

impl Ctx {
    /// Returns the server that answers the call.
    #[must_use]
    pub fn server(&self) -> ServerHandle {
        ServerHandle(Arc::clone(self.environment()))
    }

    /// Announces that the content of a resource has changed; see
    /// [`Server::resource_updated`](crate::Server::resource_updated).
    pub fn resource_updated(&self, uri: &str) {
        self.server().resource_updated(uri);
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle")
            .field("name", &self.name())
            .field("version", &self.version())
            .finish()
    }
}
