//! The server, and how to build and change one.

mod builder;
mod change;
mod limits;

pub use builder::ServerBuilder;
pub use change::{BuildError, CatalogueChange};

use crate::core::Core;
use crate::dispatch;
use crate::dispatch::handler_future::{OnTheSeam, ServerFuture};
use carryall_proto::listen::Change;
use carryall_proto::seal::Keyring;
use carryall_proto::{Call, Reply, SharedService};
use carryall_store::Store;
use carryall_types::Implementation;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// An MCP server: a cheap handle, all clones of which are the same server.
#[derive(Clone)]
pub struct Server {
    pub(crate) core: Arc<Core>,
    layered: Option<SharedService>,
}

impl Server {
    /// Begins a server with this name and version.
    // The builder is what everybody wants next.
    #[allow(clippy::new_ret_no_self)]
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> ServerBuilder {
        ServerBuilder::new(Implementation::new(name, version))
    }

    /// Adds, replaces and removes tools, prompts and resources while the server runs. All changes
    /// of one call become visible at once, and the listeners of each list that differs are told.
    ///
    /// Changes wait for each other, so `change` must not be called from within `change`.
    ///
    /// # Errors
    /// When an entry is not valid; then nothing has changed.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut CatalogueChange<'_>) -> T,
    ) -> Result<T, BuildError> {
        let changed = self.core.change(|catalogue| {
            let mut edit = CatalogueChange {
                catalogue,
                has_tasks: self.core.tasks.is_some(),
                problems: Vec::new(),
            };
            let value = change(&mut edit);
            if edit.problems.is_empty() {
                Ok(value)
            } else {
                Err(edit.problems.join("; "))
            }
        });
        changed.map_err(BuildError)
    }

    /// Tells the listeners of this resource, or of one above it, that its content has changed;
    /// those of them who may read it. Listeners of other replicas are told through the server's
    /// [store](ServerBuilder::store).
    pub fn resource_updated(&self, uri: &str) {
        self.core.tell(&Change::Resource(uri.into()));
    }

    /// The server as a service that transports call without a detour.
    #[must_use]
    pub fn into_shared(self) -> SharedService {
        match self.layered {
            Some(_) => SharedService::new(self),
            // Whatever its author wrote is guarded in there.
            None => SharedService::from_fn(move |call| {
                Box::pin(OnTheSeam(dispatch::answer(&self.core, call)))
            }),
        }
    }

    /// The name of the server.
    #[must_use]
    pub fn name(&self) -> &str {
        self.core.sealer.server()
    }

    /// The keys that the server seals with now; `None` if it was given none.
    #[must_use]
    pub fn keyring(&self) -> Option<Arc<Keyring>> {
        let keys = self.core.sealer.keys();
        if keys.is_ephemeral() {
            None
        } else {
            keys.now()
        }
    }

    /// The store that this server shares with its replicas; `None` if it was not told that it has
    /// any.
    #[must_use]
    pub fn shared_store(&self) -> Option<Arc<dyn Store>> {
        let shared = &self.core.shared;
        (shared.is_replicated() && !shared.lacks_shared_store()).then(|| Arc::clone(shared.store()))
    }

    /// Ends all subscriptions with their closing result, and takes no new ones. Calls go on being
    /// answered.
    pub fn close_subscriptions(&self) {
        self.core.hub.close();
    }

    /// How many subscriptions are open.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.core.hub.len()
    }
}

impl Service<Call> for Server {
    type Response = Reply;
    type Error = Infallible;
    type Future = ServerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> ServerFuture {
        match &self.layered {
            None => dispatch::answer(&self.core, call),
            Some(service) => {
                let id = call.id.clone();
                ServerFuture::layered(service.answer(call), id)
            }
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}
