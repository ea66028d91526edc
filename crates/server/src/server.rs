//! The handle of a server.

mod builder;
mod change;
mod limits;

pub use builder::ServerBuilder;
pub use change::{BuildError, CatalogueChange};

use crate::dispatch::Dispatcher;
use crate::dispatch::handler_future::ServerFuture;
use crate::environment::ChangePublisher as _;
use carryall_proto::listen::Change;
use carryall_proto::seal::Keyring;
use carryall_proto::{Call, Reply, SharedService};
use carryall_store::Store;
use carryall_types::Implementation;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// An MCP server: a `tower` service from [`Call`] to [`Reply`].
///
/// Cheap to clone; all clones are the same server. Dropping the last one ends its subscriptions.
#[derive(Clone)]
pub struct Server {
    inner: Arc<ServerInner>,
    layered: Option<SharedService>,
}

struct ServerInner {
    dispatcher: Arc<Dispatcher>,
    /// Held by the one future that does the background work.
    maintenance: tokio::sync::Mutex<()>,
}

impl Server {
    /// Returns a builder for a server with this name and version.
    // Servers are made by their builder alone.
    #[allow(clippy::new_ret_no_self)]
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> ServerBuilder {
        ServerBuilder::new(Implementation::new(name, version))
    }

    /// Adds, replaces and removes tools, prompts and resources while the server runs.
    ///
    /// All changes of one call become visible at once, and the subscribers of each list that
    /// differs are notified. Changes wait for each other, so `change` must not be called from
    /// within `change`.
    ///
    /// # Errors
    /// When an entry is not valid. Nothing has changed then.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut CatalogueChange<'_>) -> T,
    ) -> Result<T, BuildError> {
        let dispatcher = self.dispatcher();
        let changed = dispatcher.catalogue.change(|catalogue| {
            let mut edit = CatalogueChange {
                catalogue,
                has_tasks: dispatcher.tasks.is_some(),
                problems: Vec::new(),
            };
            let value = change(&mut edit);
            let mut problems = edit.problems;
            problems.extend(catalogue.unmet_requirements(&dispatcher.environment.states));
            if problems.is_empty() {
                Ok(value)
            } else {
                Err(problems.join("; "))
            }
        });
        changed.map_err(BuildError)
    }

    /// Notifies the subscribers of this resource, or of one above it, that its content has changed,
    /// except those who may not read it.
    ///
    /// Subscribers on other replicas are notified through the server's
    /// [store](ServerBuilder::store), by its background work ([`maintain`](Self::maintain)).
    pub fn resource_updated(&self, uri: &str) {
        self.dispatcher()
            .catalogue
            .publish(&Change::Resource(uri.into()));
    }

    /// Notifies subscribers that the list of resources has changed, for example the instances that a
    /// template lists ([`Resource::list`](crate::Resource::list)). Changes of the catalogue notify
    /// them without it.
    pub fn resource_list_changed(&self) {
        self.dispatcher().catalogue.publish(&Change::Resources);
    }

    /// Does the server's background work for as long as it is polled. It never completes: whoever
    /// serves the server polls it beside, and drops it to stop.
    ///
    /// The background work removes expired rows from the store, exchanges change notifications with
    /// other replicas, and takes over tasks whose process has gone. Where several futures of one
    /// server exist, one of them works and the others wait for its end.
    ///
    /// `carryall::serve` and `carryall::serve_stdio` do this themselves. With a server of your own,
    /// spawn it:
    ///
    /// ```
    /// # async fn run() -> Result<(), carryall_server::BuildError> {
    /// let server = carryall_server::Server::new("greeter", "1.0.0").build()?;
    /// let maintenance = tokio::spawn(server.maintain());
    /// // Serve `server` here.
    /// maintenance.abort();
    /// # Ok(()) }
    /// ```
    ///
    /// A server without it answers calls correctly, and works on the tasks that it creates. Expired
    /// state is treated as absent; writes remove expired rows now and then. Changes reach the
    /// subscribers of this process. But changes do not reach or come from other replicas, and tasks
    /// of a process that has gone are not taken over. So a server with replicas, and one whose
    /// tasks are to survive a restart, needs it.
    ///
    /// Cancel safe. Call and poll it within a tokio runtime that has time enabled.
    pub fn maintain(&self) -> impl Future<Output = ()> + Send + use<> {
        let inner = Arc::clone(&self.inner);
        // Subscribed now and not at the first poll, so that no change is missed in between.
        let changes = inner.dispatcher.catalogue.subscribe_to_replicas();
        let tasks = inner.dispatcher.tasks.clone();
        let tasks = tasks.map(|tasks| (tasks.subscribe(), tasks));
        async move {
            let _guard = inner.maintenance.lock().await;
            let dispatcher = &inner.dispatcher;
            let tasks = async {
                match tasks {
                    Some((changes, tasks)) => tasks.maintain(changes).await,
                    None => pending().await,
                }
            };
            tokio::join!(
                dispatcher.environment.store.sweep_at_intervals(),
                dispatcher.catalogue.replicate(changes),
                tasks,
            );
        }
    }

    /// Returns the server as a service that transports call with one indirection less.
    #[must_use]
    pub fn into_shared(self) -> SharedService {
        match self.layered {
            Some(_) => SharedService::new(self),
            // `ServerFuture` catches panics of author code itself.
            None => {
                let dispatcher = Arc::clone(self.dispatcher());
                SharedService::from_fn(move |call| {
                    let mut answer = dispatcher.answer(call);
                    Box::pin(poll_fn(move |cx| {
                        Pin::new(&mut answer)
                            .poll(cx)
                            .map_err(|never| match never {})
                    }))
                })
            }
        }
    }

    /// Returns the name of the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.dispatcher().environment.info.name
    }

    /// Returns the keys that the server seals with now; `None` if it was not given any.
    #[must_use]
    pub fn keyring(&self) -> Option<Arc<Keyring>> {
        let keys = self.dispatcher().environment.sealer.keys();
        if keys.is_ephemeral() {
            None
        } else {
            keys.now()
        }
    }

    /// Returns the store that the server shares with its replicas; `None` unless it is
    /// [`replicated`](ServerBuilder::replicated).
    #[must_use]
    pub fn shared_store(&self) -> Option<Arc<dyn Store>> {
        self.dispatcher().environment.store.shared().cloned()
    }

    /// Ends all subscriptions with their closing result, and refuses new ones. Other calls are
    /// still answered.
    pub fn close_subscriptions(&self) {
        self.dispatcher().catalogue.subscriptions().close();
    }

    /// Returns the number of open subscriptions.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.dispatcher().catalogue.subscriptions().len()
    }

    fn dispatcher(&self) -> &Arc<Dispatcher> {
        &self.inner.dispatcher
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
            None => self.dispatcher().answer(call),
            Some(service) => {
                let id = call.id().clone();
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
