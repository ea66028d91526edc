//! Building a server.

use super::{BuildError, Server, ServerInner};
use crate::call::error_policy::ErrorPolicy;
use crate::call::handler::{ErasedHandler, Handler};
use crate::call::requirements::States;
use crate::call::result_writer::{CachePolicy, ResultWriter};
use crate::catalogue::Catalogue;
use crate::catalogue::completion::{
    CompletionKey, CompletionQuery, CompletionTarget, IntoSuggestions,
};
use crate::catalogue::list::ListSettings;
use crate::catalogue::prompt::IntoPrompt;
use crate::catalogue::rate_limit::RateLimit;
use crate::catalogue::resource::IntoResource;
use crate::catalogue::tool::IntoTool;
use crate::discovery::{DiscoverySettings, Features};
use crate::dispatch::concurrency::ConcurrencyLimit;
use crate::dispatch::{DispatchLimits, Dispatcher};
use crate::environment::{ChangePublisher, Environment};
use crate::live_catalogue::{CatalogueSettings, LiveCatalogue};
use crate::replication::Replication;
use crate::state::keys::Keys;
use crate::state::quota::StorageQuota;
use crate::state::sealer::Sealer;
use crate::state::store::StateStore;
use crate::subscriptions::Subscriptions;
use crate::tasks::engine::TaskEngine;
use crate::tasks::options::TaskOptions;
use carryall_proto::budget::Amount;
use carryall_proto::seal::Keyring;
use carryall_proto::{Call, CallError, Reply, SharedService};
use carryall_store::Store;
use carryall_types::{
    CacheScope, Icon, Implementation, JsonObject, JsonValue, TASKS_EXTENSION, meta_key,
};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

/// The default of [`ServerBuilder::round_lifetime`].
const ROUND_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Builds a [`Server`].
#[must_use]
pub struct ServerBuilder {
    info: Implementation,
    show_info: bool,
    lists: ListSettings,
    discovery: DiscoverySettings,
    features: Features,
    states: States,
    catalogue: Catalogue,
    layers: Vec<Box<dyn FnOnce(SharedService) -> SharedService + Send>>,
    keys: Keys,
    round_lifetime: Duration,
    is_replicated: bool,
    tasks: Option<TaskOptions>,
    store: Option<Arc<dyn Store>>,
    pub(super) limits: ServerLimits,
    pub(super) errors: ErrorPolicy,
    problems: Vec<String>,
}

/// The limits of a server, as its author has set them.
pub(super) struct ServerLimits {
    pub(super) handler_timeout: Option<Duration>,
    pub(super) max_running: usize,
    pub(super) max_subscriptions: usize,
    pub(super) max_subscriptions_per_caller: usize,
    pub(super) max_resource_subscriptions: usize,
    pub(super) completion_rate: RateLimit,
    pub(super) handles: Amount,
    pub(super) handles_per_caller: Amount,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            handler_timeout: Some(Duration::from_secs(300)),
            max_running: 10_000,
            max_subscriptions: 20_000,
            max_subscriptions_per_caller: 5_000,
            max_resource_subscriptions: 1_000,
            completion_rate: RateLimit::new(1_000, Duration::from_secs(1)),
            handles: Amount::new(100_000, 256 << 20),
            handles_per_caller: Amount::new(25_000, 64 << 20),
        }
    }
}

impl ServerBuilder {
    pub(super) fn new(info: Implementation) -> Self {
        Self {
            info,
            show_info: true,
            lists: ListSettings {
                page_size: 100,
                cache: CachePolicy::default(),
            },
            discovery: DiscoverySettings::default(),
            features: Features::default(),
            states: States::default(),
            catalogue: Catalogue::default(),
            layers: Vec::new(),
            keys: Keys::ephemeral(),
            round_lifetime: ROUND_LIFETIME,
            is_replicated: false,
            tasks: None,
            store: None,
            limits: ServerLimits::default(),
            errors: ErrorPolicy::default(),
            problems: Vec::new(),
        }
    }

    /// Adds a tool.
    pub fn tool(mut self, tool: impl IntoTool) -> Self {
        let tool = tool.into_tool();
        let name = format!("tool {:?}", tool.name());
        let added = self.catalogue.add_tool(tool);
        self.note(&name, added)
    }

    /// Adds a prompt.
    pub fn prompt(mut self, prompt: impl IntoPrompt) -> Self {
        let prompt = prompt.into_prompt();
        let name = format!("prompt {:?}", prompt.name());
        let added = self.catalogue.add_prompt(prompt);
        self.note(&name, added)
    }

    /// Adds a resource or resource template.
    pub fn resource(mut self, resource: impl IntoResource) -> Self {
        let resource = resource.into_resource();
        let name = format!("{resource:?}");
        let added = self.catalogue.add_resource(resource);
        self.note(&name, added)
    }

    /// Completes an argument of a prompt. The last parameter of the handler may be the
    /// [`CompletionQuery`]; see [`matching`](crate::matching) for an example. A prompt that is not
    /// there, or has no such argument, is an error of [`build`](Self::build).
    pub fn complete_prompt<H, M>(
        self,
        prompt: impl Into<String>,
        argument: impl Into<String>,
        handler: H,
    ) -> Self
    where
        H: Handler<CompletionQuery, M>,
        H::Output: IntoSuggestions,
    {
        self.complete(CompletionTarget::Prompt(prompt.into()), argument, handler)
    }

    /// Completes a variable of a resource template; see
    /// [`complete_prompt`](Self::complete_prompt).
    pub fn complete_template<H, M>(
        self,
        uri_template: impl Into<String>,
        variable: impl Into<String>,
        handler: H,
    ) -> Self
    where
        H: Handler<CompletionQuery, M>,
        H::Output: IntoSuggestions,
    {
        let target = CompletionTarget::Template(uri_template.into());
        self.complete(target, variable, handler)
    }

    fn complete<H, M>(
        mut self,
        target: CompletionTarget,
        argument: impl Into<String>,
        handler: H,
    ) -> Self
    where
        H: Handler<CompletionQuery, M>,
        H::Output: IntoSuggestions,
    {
        let argument = argument.into();
        let handler = ErasedHandler::new(handler, IntoSuggestions::into_suggestions);
        self.catalogue
            .completions
            .insert(CompletionKey { target, argument }, handler);
        self
    }

    /// Gives handlers a value, which they take as [`State<T>`](crate::State) or read with
    /// [`Ctx::state`](crate::Ctx::state). A second value of the same type replaces the first.
    ///
    /// `State<T>` gives each call a clone: wrap what must not be cloned in an [`Arc`].
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.insert(state);
        self
    }

    /// Sets the name that people see.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.info.title = Some(title.into());
        self
    }

    /// Sets what the server is for, for people.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.info.description = Some(description.into());
        self
    }

    /// Sets the URL of a page about the server.
    pub fn website(mut self, url: impl Into<String>) -> Self {
        self.info.website_url = Some(url.into());
        self
    }

    /// Adds an icon.
    pub fn icon(mut self, icon: Icon) -> Self {
        self.info.icons.get_or_insert_default().push(icon);
        self
    }

    /// Sets the instructions for models on how to use the server (`server/discover`).
    pub fn instructions(mut self, instructions: impl Into<String>) -> Self {
        self.discovery.instructions = Some(instructions.into());
        self
    }

    /// Leaves `serverInfo` out of results; it is in all of them by default.
    pub fn without_server_info(mut self) -> Self {
        self.show_info = false;
        self
    }

    /// Advertises tools even if there are none yet.
    pub fn with_tools(mut self) -> Self {
        self.features.tools = true;
        self
    }

    /// Advertises prompts even if there are none yet.
    pub fn with_prompts(mut self) -> Self {
        self.features.prompts = true;
        self
    }

    /// Advertises resources even if there are none yet.
    pub fn with_resources(mut self) -> Self {
        self.features.resources = true;
        self
    }

    /// Declares that handlers send log messages to clients that ask for them.
    #[deprecated(
        note = "SEP-2577: logging is deprecated since 2026-07-28, removal from 2027-07-28 at the earliest; \
                         log to stderr or OpenTelemetry instead"
    )]
    pub fn with_logging(mut self) -> Self {
        self.features.logging = true;
        self
    }

    /// Advertises an extension with its settings. The identifier needs a prefix, as in
    /// `com.example/thing`.
    pub fn extension(mut self, identifier: impl Into<String>, settings: JsonObject) -> Self {
        let identifier = identifier.into();
        if !meta_key::extension_id_is_valid(&identifier) {
            self.problems.push(format!(
                "extension {identifier:?}: an identifier has the form com.example/name"
            ));
        }
        self.discovery
            .extensions
            .insert(identifier, JsonValue::Object(settings));
        self
    }

    /// Advertises an experimental capability.
    pub fn experimental(mut self, name: impl Into<String>, settings: JsonObject) -> Self {
        self.discovery
            .experimental
            .insert(name.into(), JsonValue::Object(settings));
        self
    }

    /// Sets how long clients may treat lists and the discovery result as fresh; zero by default,
    /// with a resolution of one millisecond.
    pub fn list_ttl(mut self, ttl: Duration) -> Self {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self.lists.cache.ttl_ms = ttl_ms;
        self.discovery.cache.ttl_ms = ttl_ms;
        self
    }

    /// Promises that lists and the discovery result are the same for every caller, so that shared
    /// caches may store them; they are private by default. Lists with restricted entries stay
    /// private.
    pub fn public_lists(mut self) -> Self {
        self.lists.cache.scope = CacheScope::Public;
        self.discovery.cache.scope = CacheScope::Public;
        self
    }

    /// Sets the number of entries on a page of a list; 100 by default.
    pub fn page_size(mut self, entries: usize) -> Self {
        self.lists.page_size = entries.max(1);
        self
    }

    /// Sets how long the handler of one call may take; five minutes by default, `None` for no limit.
    /// Time in layers does not count, and subscriptions have no limit.
    pub fn timeout(mut self, limit: Option<Duration>) -> Self {
        self.limits.handler_timeout = limit;
        self
    }

    /// Sets how many completions are answered in each `period`, for all callers of this replica
    /// together; 1,000 per second by default. Further ones are refused with the time to wait.
    pub fn completion_rate_limit(mut self, calls: u32, period: Duration) -> Self {
        self.limits.completion_rate = RateLimit::new(calls, period);
        self
    }

    /// Sets how many handlers may run at once; 10,000 by default. Further calls are refused.
    pub fn max_running(mut self, calls: usize) -> Self {
        self.limits.max_running = calls;
        self
    }

    /// Sets the keys that seal what travels through clients, such as `requestState`
    /// ([`Ctx::ask`](crate::Ctx::ask)). Replicas need the same keys. By default the server has a random key of its
    /// own, which is lost with it.
    ///
    /// The name of the server is bound to everything that is sealed: of two servers with one
    /// keyring neither accepts what the other has sealed, unless they have the same name.
    pub fn keyring(mut self, keyring: Keyring) -> Self {
        self.keys = Keys::Fixed(Arc::new(keyring));
        self
    }

    /// As [`keyring`](Self::keyring), for keys that change while the server runs. The source is
    /// called whenever something is sealed or opened, so it should be fast.
    pub fn keyring_source(
        mut self,
        source: impl Fn() -> Arc<Keyring> + Send + Sync + 'static,
    ) -> Self {
        self.keys = Keys::Source(Arc::new(source));
        self
    }

    /// Sets the store of tasks and [handles](crate::Ctx::handle), and of change notifications, which reach
    /// the subscribers of all replicas that share it. By default state is in the memory of this
    /// process.
    ///
    /// A store belongs to one server: give another one a schema, prefix or file of its own. Whoever
    /// serves the server drives the exchange with other replicas, see [`Server::maintain`].
    pub fn store(self, store: impl Store + 'static) -> Self {
        self.shared_store(Arc::new(store))
    }

    /// As [`store`](Self::store), for a store that is shared with others in this process.
    pub fn shared_store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Enables tasks, with these options. A server with a tool that may run as a task has tasks
    /// with the default options.
    ///
    /// Each task runs on a tokio task of its own, beyond the call that it came from. To take over
    /// tasks of a process that has gone, the server needs [`Server::maintain`].
    pub fn tasks(mut self, tasks: TaskOptions) -> Self {
        self.tasks = Some(tasks);
        self
    }

    /// Declares that other processes serve the same clients. [`build`](Self::build) then requires
    /// what they have to share, such as a [`keyring`](Self::keyring).
    pub fn replicated(mut self) -> Self {
        self.is_replicated = true;
        self
    }

    /// Sets how long the questions of [`Ctx::ask`](crate::Ctx::ask) may stay unanswered; an hour by default, with a
    /// resolution of one second. A later answer is refused, and the client has to start again.
    pub fn round_lifetime(mut self, limit: Duration) -> Self {
        self.round_lifetime = limit;
        self
    }

    /// Adds a `tower` layer in front of the whole server. The first one added is the innermost.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<SharedService> + Send + 'static,
        L::Service: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        <L::Service as Service<Call>>::Error: Into<CallError>,
        <L::Service as Service<Call>>::Future: Send,
    {
        self.layers.push(Box::new(move |inner| {
            SharedService::new(layer.layer(inner))
        }));
        self
    }

    /// Checks the whole configuration, and makes the server.
    ///
    /// # Errors
    /// All problems at once: invalid names, schemas, URIs and header annotations; duplicates; state
    /// that handlers take and the server does not have; forms that cannot be asked for; completions
    /// of what is not there; what a [`replicated`](Self::replicated) server lacks.
    pub fn build(mut self) -> Result<Server, BuildError> {
        if self.is_replicated && self.keys.is_ephemeral() {
            let problem = "`replicated()` requires a shared keyring (`ServerBuilder::keyring`)";
            self.problems.push(problem.to_owned());
        }
        if self.tasks.is_none() && self.catalogue.has_task_tools() {
            self.tasks = Some(TaskOptions::default());
        }
        let store = StateStore::new(self.store, self.is_replicated);
        if store.lacks_shared_store() && self.tasks.is_some() {
            let problem =
                "`replicated()` requires a shared store for tasks (`ServerBuilder::store`)";
            self.problems.push(problem.to_owned());
        }
        if self.tasks.is_some() {
            let settings = JsonValue::Object(JsonObject::new());
            self.discovery
                .extensions
                .insert(TASKS_EXTENSION.into(), settings);
        }
        self.problems
            .extend(self.catalogue.unmet_requirements(&self.states));
        self.problems.extend(self.catalogue.unknown_completions());
        if !self.problems.is_empty() {
            return Err(BuildError(self.problems.join("; ")));
        }
        let results = Arc::new(ResultWriter::new(self.show_info.then(|| self.info.clone())));
        let subscriptions = Subscriptions::new(
            Arc::clone(&results),
            self.limits.max_subscriptions,
            self.limits.max_subscriptions_per_caller,
        );
        let replication = store
            .is_configured()
            .then(|| Replication::new(Arc::clone(store.get())));
        let catalogue = Arc::new(LiveCatalogue::new(
            self.catalogue,
            self.features,
            CatalogueSettings {
                lists: self.lists,
                discovery: self.discovery,
            },
            Arc::clone(&results),
            Arc::new(subscriptions),
            replication,
        ));
        let environment = Arc::new(Environment {
            sealer: Sealer::new(self.keys, self.info.name.clone(), self.round_lifetime),
            info: self.info,
            states: self.states,
            results,
            store,
            handle_quota: StorageQuota::new(self.limits.handles, self.limits.handles_per_caller),
            changes: Arc::clone(&catalogue) as Arc<dyn ChangePublisher>,
            errors: self.errors,
            logging: self.features.logging,
        });
        let tasks = self.tasks.map(|options| {
            let (environment, catalogue) = (Arc::clone(&environment), Arc::clone(&catalogue));
            Arc::new(TaskEngine::new(options, environment, catalogue))
        });
        let limits = DispatchLimits {
            concurrency: ConcurrencyLimit::new(self.limits.max_running),
            handler_timeout: self.limits.handler_timeout,
            max_resource_subscriptions: self.limits.max_resource_subscriptions,
            completion_rate: self.limits.completion_rate,
        };
        let dispatcher = Dispatcher::new(environment, catalogue, tasks, limits);
        let mut server = Server {
            inner: Arc::new(ServerInner {
                dispatcher: Arc::new(dispatcher),
                maintenance: tokio::sync::Mutex::default(),
            }),
            layered: None,
        };
        if !self.layers.is_empty() {
            let innermost = SharedService::new(server.clone());
            let layers = self.layers.into_iter();
            server.layered = Some(layers.fold(innermost, |inner, layer| layer(inner)));
        }
        Ok(server)
    }

    fn note(mut self, what: &str, added: Result<bool, String>) -> Self {
        match added {
            Ok(true) => {}
            Ok(false) => self.problems.push(format!("duplicate {what}")),
            Err(problem) => self.problems.push(problem),
        }
        self
    }
}

impl TryFrom<ServerBuilder> for Server {
    type Error = BuildError;

    fn try_from(builder: ServerBuilder) -> Result<Self, BuildError> {
        builder.build()
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}
