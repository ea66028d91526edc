//! Setting up a client.

use crate::ClientError;
use crate::answers::InputResponder;
use crate::cache::ResponseCache;
use crate::client::{Client, Inner};
use crate::config::ClientConfig;
use crate::handlers::{IntoInput, handler};
use crate::options::is_extension_id;
use crate::template::MetaTemplate;
use crate::tools::ToolIndex;
use carryall_proto::{Call, CallError, EraDecision, Reply, SharedService};
use carryall_types::{
    ClientCapabilities, CreateMessageRequestParams, CreateMessageResult, ElicitRequestFormParams,
    ElicitRequestURLParams, ElicitResult, Implementation, JsonObject, ListRootsResult,
    ProtocolVersion, Root, TASKS_EXTENSION,
};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tower_service::Service;

/// Sets up a [`Client`].
#[must_use = "`build` makes the client"]
pub struct ClientBuilder {
    info: Option<Implementation>,
    versions: Vec<ProtocolVersion>,
    service: Option<Result<SharedService, ClientError>>,
    server: Option<Arc<str>>,
    context: Arc<str>,
    cache: Option<ResponseCache>,
    config: ClientConfig,
    wrong: Option<String>,
}

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            info: Some(Implementation::new(
                env!("CARGO_PKG_NAME"),
                env!("CARGO_PKG_VERSION"),
            )),
            versions: vec![ProtocolVersion::LATEST],
            service: None,
            server: None,
            context: "".into(),
            cache: Some(ResponseCache::default()),
            config: ClientConfig::default(),
            wrong: None,
        }
    }

    /// Notes the first setting that makes no sense, for `build` to report.
    pub(crate) fn wrong(mut self, why: String) -> Self {
        self.wrong.get_or_insert(why);
        self
    }

    /// The name under which the client introduces itself.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.info.get_or_insert_default().name = name.into();
        self
    }

    /// The version that the client says it has.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.info.get_or_insert_default().version = version.into();
        self
    }

    /// All that the client says about itself; `None` says nothing.
    pub fn info(mut self, info: impl Into<Option<Implementation>>) -> Self {
        self.info = info.into();
        self
    }

    /// Calls whatever answers calls: a server in the same process, a transport, a gateway, a stack
    /// of layers.
    pub fn service<S>(self, service: S) -> Self
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        self.shared_service(SharedService::new(service))
    }

    pub(crate) fn shared_service(mut self, service: SharedService) -> Self {
        self.service = Some(Ok(service));
        self
    }

    /// Where the service leads, for a cache that several clients share. Without it each client is a
    /// server of its own.
    pub fn server_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.server = Some(id.into());
        self
    }

    /// Whether calls mirror the arguments that a tool designates into `Mcp-Param-*` headers, and
    /// tools whose designations are invalid are left out of lists. On for [`http`](Self::http), off
    /// otherwise: turn it on for a service that ends in Streamable HTTP
    /// (`basic/transports/streamable-http#custom-headers-from-tool-parameters`).
    pub fn mirror_headers(mut self, yes: bool) -> Self {
        self.config.mirrors = yes;
        self
    }

    /// The versions to speak, the preferred first.
    pub fn versions(mut self, versions: impl IntoIterator<Item = ProtocolVersion>) -> Self {
        self.versions = versions.into_iter().collect();
        if !self.versions.iter().all(|version| version.is_modern()) || self.versions.is_empty() {
            self.wrong
                .get_or_insert_with(|| "a client needs versions that have no handshake".into());
        }
        self
    }

    /// Declares capabilities besides those that follow from the handlers: for answering rounds by
    /// hand ([`Request::once`](crate::Request::once)), for experiments.
    pub fn capabilities(mut self, capabilities: ClientCapabilities) -> Self {
        self.config.capabilities = capabilities;
        self
    }

    /// Declares an extension, with its settings. Only declare what the program really supports.
    pub fn extension(mut self, id: &str, settings: JsonObject) -> Self {
        if is_extension_id(id) {
            self.config
                .capabilities
                .extensions
                .get_or_insert_default()
                .insert(id.to_owned(), settings.into());
        } else {
            self.wrong.get_or_insert_with(|| {
                format!("{id:?} is not an extension identifier: prefix/name")
            });
        }
        self
    }

    /// Takes tasks (`io.modelcontextprotocol/tasks`): a server may then answer a call at once, and
    /// work on it for longer than a request should take. Awaiting the call waits for its result all
    /// the same; a call that is dropped cancels its task.
    pub fn tasks(self) -> Self {
        self.extension(TASKS_EXTENSION, JsonObject::new())
            .result_type("task")
    }

    /// A value of `resultType` that a declared extension adds. Such results come as text from
    /// [`Client::request`]; a typed request takes them for what they are there, an invalid response
    /// (`basic/index#resulttype`).
    pub fn result_type(mut self, kind: &str) -> Self {
        self.config.result_types.push(kind.into());
        self
    }

    /// Who fills in forms for servers (`client/elicitation#form-mode-elicitation-requests`);
    /// declares `elicitation.form`. The handler shows which server asks, lets the user review,
    /// decline and cancel. Its content is held against the requested schema before it is sent.
    pub fn on_elicit<F, Fut>(mut self, f: F) -> Self
    where
        F: Fn(ElicitRequestFormParams) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoInput<ElicitResult>> + Send + 'static,
    {
        self.config.handlers.form = Some(handler(f));
        self
    }

    /// Who opens pages for servers (`client/elicitation#url-mode-elicitation-requests`); declares
    /// `elicitation.url`. The handler shows the whole URL and asks before it opens it, outside of
    /// the client's and the model's reach. URLs that are not plain web addresses never get to it.
    pub fn on_elicit_url<F, Fut>(mut self, f: F) -> Self
    where
        F: Fn(ElicitRequestURLParams) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoInput<ElicitResult>> + Send + 'static,
    {
        self.config.handlers.url = Some(handler(f));
        self
    }

    /// Who asks the model for servers (`client/sampling`); declares `sampling`.
    #[deprecated(note = "SEP-2577 deprecates sampling; it may be removed from 2027-07-28 on")]
    pub fn on_sample<F, Fut>(mut self, f: F) -> Self
    where
        F: Fn(CreateMessageRequestParams) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoInput<CreateMessageResult>> + Send + 'static,
    {
        self.config.handlers.sample = Some(handler(f));
        self.config.handlers.sample_with_tools = false;
        self
    }

    /// As [`on_sample`](Self::on_sample), for a model that can be given tools; declares
    /// `sampling.tools`.
    #[deprecated(note = "SEP-2577 deprecates sampling; it may be removed from 2027-07-28 on")]
    #[allow(deprecated)]
    pub fn on_sample_with_tools<F, Fut>(mut self, f: F) -> Self
    where
        F: Fn(CreateMessageRequestParams) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoInput<CreateMessageResult>> + Send + 'static,
    {
        self = self.on_sample(f);
        self.config.handlers.sample_with_tools = true;
        self
    }

    /// Who tells servers which directories and files matter (`client/roots`); declares `roots`.
    /// Only `file://` URIs that do not climb out of their directory get sent.
    #[deprecated(note = "SEP-2577 deprecates roots; they may be removed from 2027-07-28 on")]
    pub fn on_roots<F, Fut>(mut self, f: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoInput<ListRootsResult>> + Send + 'static,
    {
        self.config.handlers.roots = Some(handler(move |()| f()));
        self
    }

    /// Roots that stay the same.
    #[deprecated(note = "SEP-2577 deprecates roots; they may be removed from 2027-07-28 on")]
    #[allow(deprecated)]
    pub fn roots(self, roots: impl IntoIterator<Item = Root>) -> Self {
        let roots = ListRootsResult::new(roots.into_iter().collect());
        self.on_roots(move || std::future::ready(roots.clone()))
    }

    /// How long each wire request may take; 60 seconds unless set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// How long each wire request may take at the very most, whatever progress it reports; 10
    /// minutes unless set.
    pub fn max_timeout(mut self, timeout: Duration) -> Self {
        self.config.max_timeout = timeout;
        self
    }

    /// How often a server may ask for input within one call; 8 unless set.
    pub fn max_rounds(mut self, rounds: usize) -> Self {
        self.config.max_rounds = rounds;
        self
    }

    /// How often a request may be sent again when that is safe; 2 unless set.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.config.max_retries = retries;
        self
    }

    /// How many pages a list may have; 1000 unless set.
    pub fn max_pages(mut self, pages: usize) -> Self {
        self.config.max_pages = pages;
        self
    }

    /// How many bytes of text the pages of one list may have together; 64 MiB unless set. A longer
    /// list fails with [`ClientError::Pages`].
    pub fn max_list_bytes(mut self, bytes: usize) -> Self {
        self.config.max_list_bytes = bytes;
        self
    }

    /// Whether `structuredContent` is held against the tool's `outputSchema` where that is known;
    /// on unless set. What does not match is a warning
    /// ([`CallOptions::on_warning`](crate::CallOptions::on_warning)): the call has been executed,
    /// and its result is handed over. See [`require_valid_output`](Self::require_valid_output).
    pub fn validate_output(mut self, yes: bool) -> Self {
        self.config.validate_output = yes;
        self
    }

    /// Whether a result whose `structuredContent` does not match the tool's `outputSchema` is
    /// refused with [`ClientError::Schema`](crate::ClientError::Schema) instead; off unless set.
    /// Turns [`validate_output`](Self::validate_output) on.
    pub fn require_valid_output(mut self, yes: bool) -> Self {
        self.config.require_valid_output = yes;
        self.config.validate_output |= yes;
        self
    }

    /// The cache to use, perhaps shared with other clients; `None` for none. Each client has one of
    /// its own unless set.
    pub fn cache(mut self, cache: impl Into<Option<ResponseCache>>) -> Self {
        self.cache = cache.into();
        self
    }

    /// The authorization context of the client; see [`Client::for_context`].
    pub fn context(mut self, context: impl Into<Arc<str>>) -> Self {
        self.context = context.into();
        self
    }

    /// Members of `_meta` for every request, asked for anew each time: the trace context, above
    /// all. A request's own members go first.
    pub fn ambient_meta(mut self, f: impl Fn() -> JsonObject + Send + Sync + 'static) -> Self {
        self.config.ambient_meta = Some(Arc::new(f));
        self
    }

    /// The handlers set so far, for an adapter on the way to the server that has to answer
    /// questions by itself.
    #[must_use]
    pub fn input_responder(&self) -> InputResponder {
        InputResponder::new(
            self.config.handlers.clone(),
            self.config.capabilities.clone(),
            self.info.clone(),
        )
    }

    /// Where [`Client::era`] learns what the way to the server has found out about it.
    pub fn era_from(mut self, f: impl Fn() -> Option<EraDecision> + Send + Sync + 'static) -> Self {
        self.config.era = Some(Arc::new(f));
        self
    }

    /// The client. Nothing is sent.
    ///
    /// # Errors
    /// When there is nothing to call, or a setting makes no sense.
    pub fn build(self) -> Result<Client, ClientError> {
        static UNNAMED: AtomicU64 = AtomicU64::new(0);
        let Self {
            info,
            versions,
            service,
            server,
            context,
            cache,
            mut config,
            wrong,
        } = self;
        if let Some(wrong) = wrong {
            return Err(ClientError::Request(wrong));
        }
        let service = service.ok_or_else(|| {
            ClientError::Request("no server: use `http`, `stdio` or `service`".into())
        })??;
        let server = server
            .unwrap_or_else(|| format!("#{}", UNNAMED.fetch_add(1, Ordering::Relaxed)).into());
        config.handlers.declare(&mut config.capabilities);
        if let (Some(kind), None) = (config.result_types.first(), &config.capabilities.extensions) {
            return Err(ClientError::Request(format!(
                "resultType {kind:?} needs the extension that defines it"
            )));
        }
        let capabilities = &config.capabilities;
        let template = |version| MetaTemplate::new(version, capabilities.clone(), info.clone());
        let templates: Box<[MetaTemplate]> = versions.into_iter().map(template).collect();
        let inner = Inner {
            service,
            server,
            ids: AtomicI64::new(1),
            templates,
            current: AtomicUsize::new(0),
            tools: ToolIndex::default(),
            cache,
            config,
        };
        Ok(Client::from_parts(inner, context))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("info", &self.info)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
