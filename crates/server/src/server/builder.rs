//! Building a server.

use super::{BuildError, Server};
use crate::call::ctx::Ctx;
use crate::call::error_policy::ErrorPolicy;
use crate::call::result_writer::{Cache, ResultWriter};
use crate::catalogue::completion::{
    self, CompletionKey, CompletionQuery, CompletionTarget, IntoSuggestions,
};
use crate::catalogue::prompt::IntoPrompt;
use crate::catalogue::rate_limit::RateLimit;
use crate::catalogue::resource::IntoResource;
use crate::catalogue::tool::IntoTool;
use crate::catalogue::{Catalogue, ListSettings};
use crate::core::{Core, Features, Settings};
use crate::replication::Shared;
use crate::state::keys::Keys;
use crate::state::rounds::Sealer;
use crate::tasks::{TaskEngine, Tasks};
use carryall_proto::budget::Amount;
use carryall_proto::seal::Keyring;
use carryall_proto::{Call, CallError, Reply, SharedService};
use carryall_store::Store;
use carryall_types::{
    CacheScope, Icon, Implementation, JsonObject, JsonValue, TASKS_EXTENSION, meta_key,
};
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

/// How long a round may take unless the builder says otherwise.
const ROUND_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// A server being built.
#[must_use]
pub struct ServerBuilder {
    info: Implementation,
    show_info: bool,
    pub(crate) settings: Settings,
    features: Features,
    states: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    catalogue: Catalogue,
    layers: Vec<Box<dyn FnOnce(SharedService) -> SharedService + Send>>,
    keys: Keys,
    round_lifetime: Duration,
    replicated: bool,
    tasks: Option<Tasks>,
    store: Option<Arc<dyn Store>>,
    problems: Vec<String>,
}

impl ServerBuilder {
    pub(super) fn new(info: Implementation) -> Self {
        let settings = Settings {
            lists: ListSettings {
                page_size: 100,
                cache: Cache::default(),
            },
            discover_cache: Cache::default(),
            instructions: None,
            extensions: JsonObject::new(),
            experimental: JsonObject::new(),
            timeout: Some(Duration::from_secs(300)),
            max_running: 10_000,
            max_listeners: 20_000,
            max_listeners_per_caller: 5_000,
            handle_limits: (
                Amount::new(100_000, 256 << 20),
                Amount::new(25_000, 64 << 20),
            ),
            errors: ErrorPolicy::default(),
            max_resource_subscriptions: 1_000,
            completion_rate: RateLimit::new(1_000, Duration::from_secs(1)),
        };
        Self {
            info,
            show_info: true,
            settings,
            features: Features::default(),
            states: HashMap::new(),
            catalogue: Catalogue::default(),
            layers: Vec::new(),
            keys: Keys::ephemeral(),
            round_lifetime: ROUND_LIFETIME,
            replicated: false,
            tasks: None,
            store: None,
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

    /// Completes an argument of a prompt.
    pub fn complete_prompt<F, Fut, R>(
        self,
        prompt: impl Into<String>,
        argument: impl Into<String>,
        handler: F,
    ) -> Self
    where
        F: Fn(Ctx, CompletionQuery) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: IntoSuggestions + 'static,
    {
        self.complete(
            CompletionTarget::Prompt(prompt.into()),
            argument.into(),
            handler,
        )
    }

    /// Completes a variable of a resource template.
    pub fn complete_template<F, Fut, R>(
        self,
        uri_template: impl Into<String>,
        variable: impl Into<String>,
        handler: F,
    ) -> Self
    where
        F: Fn(Ctx, CompletionQuery) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: IntoSuggestions + 'static,
    {
        self.complete(
            CompletionTarget::Template(uri_template.into()),
            variable.into(),
            handler,
        )
    }

    fn complete<F, Fut, R>(mut self, of: CompletionTarget, argument: String, handler: F) -> Self
    where
        F: Fn(Ctx, CompletionQuery) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: IntoSuggestions + 'static,
    {
        self.catalogue
            .completions
            .insert(CompletionKey { of, argument }, completion::handler(handler));
        self
    }

    /// Gives handlers a value; they take it as [`State<T>`](crate::State) or with [`Ctx::state`].
    pub fn state<T: Send + Sync + 'static>(self, state: T) -> Self {
        self.shared_state(Arc::new(state))
    }

    /// As [`ServerBuilder::state`], for a value that is shared with others.
    pub fn shared_state<T: Send + Sync + 'static>(mut self, state: Arc<T>) -> Self {
        self.states.insert(TypeId::of::<T>(), state);
        self
    }

    /// What people see as the server's name.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.info.title = Some(title.into());
        self
    }

    /// What the server is.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.info.description = Some(description.into());
        self
    }

    /// Where to read more.
    pub fn website(mut self, url: impl Into<String>) -> Self {
        self.info.website_url = Some(url.into());
        self
    }

    /// Adds an icon.
    pub fn icon(mut self, icon: Icon) -> Self {
        self.info.icons.get_or_insert_default().push(icon);
        self
    }

    /// Guidance for the model on how to use the server (`server/discover`).
    pub fn instructions(mut self, instructions: impl Into<String>) -> Self {
        self.settings.instructions = Some(instructions.into());
        self
    }

    /// Leaves `serverInfo` out of results.
    pub fn without_server_info(mut self) -> Self {
        self.show_info = false;
        self
    }

    /// Advertises tools even though there are none yet.
    pub fn with_tools(mut self) -> Self {
        self.features.tools = true;
        self
    }

    /// Advertises prompts even though there are none yet.
    pub fn with_prompts(mut self) -> Self {
        self.features.prompts = true;
        self
    }

    /// Advertises resources even though there are none yet.
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
                "extension {identifier:?}: an identifier looks like com.example/name"
            ));
        }
        self.settings
            .extensions
            .insert(identifier, JsonValue::Object(settings));
        self
    }

    /// Advertises an experimental capability.
    pub fn experimental(mut self, name: impl Into<String>, settings: JsonObject) -> Self {
        self.settings
            .experimental
            .insert(name.into(), JsonValue::Object(settings));
        self
    }

    /// How long clients may take lists and the discovery result as fresh; zero by default.
    pub fn list_ttl(mut self, ttl: Duration) -> Self {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self.settings.lists.cache.ttl_ms = ttl_ms;
        self.settings.discover_cache.ttl_ms = ttl_ms;
        self
    }

    /// Promises that lists and discovery are the same for every caller, so that shared caches may
    /// keep them. Lists with entries that only some may see stay private all the same.
    pub fn public_lists(mut self) -> Self {
        self.settings.lists.cache.scope = CacheScope::Public;
        self.settings.discover_cache.scope = CacheScope::Public;
        self
    }

    /// How many entries a page of a list has; 100 by default.
    pub fn page_size(mut self, entries: usize) -> Self {
        self.settings.lists.page_size = entries.max(1);
        self
    }

    /// How long the handler of one call may take; five minutes by default. Time in layers does not
    /// count, and subscriptions have no limit.
    pub fn timeout(mut self, limit: Option<Duration>) -> Self {
        self.settings.timeout = limit;
        self
    }

    /// How many completions are answered in each `period`, over all callers of this replica; 1,000
    /// a second by default. Further ones are refused with the time to wait.
    pub fn completion_rate_limit(mut self, calls: u32, period: Duration) -> Self {
        self.settings.completion_rate = RateLimit::new(calls, period);
        self
    }

    /// How many handlers may run at once; 10,000 by default. Further calls are refused.
    pub fn max_running(mut self, calls: usize) -> Self {
        self.settings.max_running = calls;
        self
    }

    /// The keys that seal what travels through clients, such as `requestState` ([`Ctx::ask`]).
    /// Replicas need the same ones. Without it the server has a key of its own that ends with it.
    ///
    /// The name of the server is bound to whatever is sealed: of two servers with one keyring
    /// neither accepts what the other has sealed, unless they have the same name.
    pub fn keyring(mut self, keyring: Keyring) -> Self {
        self.keys = Keys::Fixed(Arc::new(keyring));
        self
    }

    /// As [`keyring`](Self::keyring), for keys that change while the server runs: the source is
    /// asked whenever something is sealed or opened, so it should have them at hand.
    pub fn keyring_source(
        mut self,
        source: impl Fn() -> Arc<Keyring> + Send + Sync + 'static,
    ) -> Self {
        self.keys = Keys::Source(Arc::new(source));
        self
    }

    /// Where state lives that calls share: tasks, [handles](Ctx::handle), and the news of changes,
    /// which reach listeners on all replicas that share the store. Without it state lives in the
    /// memory of this process. A store belongs to one server: give another one a schema, prefix or
    /// file of its own.
    pub fn store(self, store: impl Store + 'static) -> Self {
        self.shared_store(Arc::new(store))
    }

    /// As [`store`](Self::store), for a store that is shared with others in this process.
    pub fn shared_store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// How tasks are kept. A server with a tool that may run as a task has some in any case.
    pub fn tasks(mut self, tasks: Tasks) -> Self {
        self.tasks = Some(tasks);
        self
    }

    /// Says that other processes serve the same clients: then [`build`](Self::build) refuses what
    /// only one process could use, such as the lack of a [`keyring`](Self::keyring).
    pub fn replicated(mut self) -> Self {
        self.replicated = true;
        self
    }

    /// How long the questions of [`Ctx::ask`] may stay unanswered, whole seconds; an answer that
    /// comes later is refused, and the client has to begin anew. An hour unless set, since people
    /// are slow.
    pub fn round_lifetime(mut self, limit: Duration) -> Self {
        self.round_lifetime = limit;
        self
    }

    /// Puts a `tower` layer in front of the whole server. The first one added is the innermost.
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

    /// Checks everything and makes the server.
    ///
    /// # Errors
    /// All problems at once: names, schemas, URIs and header annotations that are not valid, names
    /// used twice.
    pub fn build(mut self) -> Result<Server, BuildError> {
        if self.replicated && self.keys.is_ephemeral() {
            let why = "the server has replicas and no keyring: what one of them seals, the others could not open";
            self.problems
                .push(format!("{why} (ServerBuilder::keyring)"));
        }
        if self.tasks.is_none() && self.catalogue.has_task_tools() {
            self.tasks = Some(Tasks::default());
        }
        let shared = Shared::new(self.store, self.replicated);
        if shared.lacks_shared_store() && self.tasks.is_some() {
            let why = "the server has replicas and keeps its tasks to itself: the others would not know them";
            self.problems.push(format!("{why} (ServerBuilder::store)"));
        }
        if self.tasks.is_some() {
            let nothing = JsonValue::Object(JsonObject::new());
            self.settings
                .extensions
                .insert(TASKS_EXTENSION.into(), nothing);
        }
        if !self.problems.is_empty() {
            return Err(BuildError(self.problems.join("; ")));
        }
        let info = self.show_info.then(|| self.info.clone());
        let name = self.info.name;
        let tasks = self.tasks.map(|tasks| {
            Arc::new(TaskEngine::new(
                tasks,
                Arc::clone(shared.store()),
                name.clone(),
            ))
        });
        let sealer = Sealer::new(self.keys, name, self.round_lifetime);
        let parts = (sealer, shared, tasks);
        let core = Core::new(
            ResultWriter::new(info),
            self.settings,
            self.states,
            self.catalogue,
            self.features,
            parts,
        );
        let core = Arc::new(core);
        core.start();
        let plain = Server {
            core,
            layered: None,
        };
        let mut layers = self.layers.into_iter();
        let Some(first) = layers.next() else {
            return Ok(plain);
        };
        let innermost = first(SharedService::new(plain.clone()));
        let layered = layers.fold(innermost, |inner, layer| layer(inner));
        Ok(Server {
            core: plain.core,
            layered: Some(layered),
        })
    }

    fn note(mut self, what: &str, added: Result<bool, String>) -> Self {
        match added {
            Ok(true) => {}
            Ok(false) => self.problems.push(format!("{what} is there twice")),
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
