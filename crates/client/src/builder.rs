//! Configures clients.

mod connect;

use crate::ClientError;
use crate::cache::ResponseCache;
use crate::client::Client;
use crate::config::ClientConfig;
use crate::core::{ClientCore, ScopedCore};
use crate::http_options::HttpOptions;
use crate::input::handlers::{IntoInput, erase};
use crate::input::responder::InputResponder;
use crate::meta::{MetaTemplate, is_extension_id};
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

/// Configures and builds a [`Client`].
///
/// ```
/// use carryall_client::{Client, ClientError};
/// use std::time::Duration;
///
/// let client = Client::builder()
///     .name("inventory-agent")
///     .http("http://127.0.0.1:8080/mcp")
///     .bearer("secret")
///     .timeout(Duration::from_secs(20))
///     .build()?;
/// # Ok::<(), ClientError>(())
/// ```
#[must_use = "`build` makes the client"]
pub struct ClientBuilder {
    info: Option<Implementation>,
    versions: Vec<ProtocolVersion>,
    source: Option<ServiceSource>,
    http_options: HttpOptions,
    server_id: Option<Arc<str>>,
    mirror_headers: Option<bool>,
    auth_context: Arc<str>,
    cache: Option<ResponseCache>,
    config: ClientConfig,
    /// The first invalid setting.
    invalid: Option<String>,
}

/// The service that requests are sent to, or the URL to make one for.
enum ServiceSource {
    Url(String),
    Service(SharedService),
}

impl Client {
    /// Returns a builder for a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            info: Some(Implementation::new(
                env!("CARGO_PKG_NAME"),
                env!("CARGO_PKG_VERSION"),
            )),
            versions: vec![ProtocolVersion::LATEST],
            source: None,
            http_options: HttpOptions::default(),
            server_id: None,
            mirror_headers: None,
            auth_context: "".into(),
            cache: Some(ResponseCache::default()),
            config: ClientConfig::default(),
            invalid: None,
        }
    }
}

impl ClientBuilder {
    /// Sets the name that the client introduces itself with. Default: `carryall-client`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.info.get_or_insert_default().name = name.into();
        self
    }

    /// Sets the version that the client introduces itself with. Default: that of this crate.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.info.get_or_insert_default().version = version.into();
        self
    }

    /// Sets everything that the client says about itself; `None` says nothing.
    pub fn info(mut self, info: impl Into<Option<Implementation>>) -> Self {
        self.info = info.into();
        self
    }

    /// Sends requests to a service: a server in the same process, a transport, a gateway, or a
    /// stack of layers.
    pub fn service<S>(self, service: S) -> Self
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        self.source(ServiceSource::Service(SharedService::new(service)))
    }

    fn source(mut self, source: ServiceSource) -> Self {
        self.source = Some(source);
        self
    }

    /// Identifies the server in a cache that several clients share. Default: the URL over HTTP,
    /// otherwise each client is a server of its own.
    pub fn server_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.server_id = Some(id.into());
        self
    }

    /// Sets whether calls mirror annotated arguments into `Mcp-Param-*` headers, and tools with
    /// invalid annotations are left out of lists
    /// (`basic/transports/streamable-http#custom-headers-from-tool-parameters`). Default: on over
    /// HTTP, off otherwise. Turn it on for a service that leads to Streamable HTTP.
    pub fn mirror_headers(mut self, enabled: bool) -> Self {
        self.mirror_headers = Some(enabled);
        self
    }

    /// Sets the supported protocol versions, in order of preference. Default: 2026-07-28. Only
    /// versions without a handshake are accepted.
    pub fn versions(mut self, versions: impl IntoIterator<Item = ProtocolVersion>) -> Self {
        self.versions = versions.into_iter().collect();
        if self.versions.is_empty() || !self.versions.iter().all(|version| version.is_modern()) {
            self.set_invalid(|| {
                "`versions` needs at least one version, and only versions without a handshake"
                    .into()
            });
        }
        self
    }

    /// Sets capabilities to declare besides those of the handlers, for answering input requests
    /// with [`Request::once`](crate::Request::once) and for experiments. Default: none.
    pub fn capabilities(mut self, capabilities: ClientCapabilities) -> Self {
        self.config.capabilities = capabilities;
        self
    }

    /// Declares an extension with its settings (`basic/versioning#extension-negotiation`). Declare
    /// only what the program supports.
    pub fn extension(mut self, id: &str, settings: JsonObject) -> Self {
        if is_extension_id(id) {
            self.config
                .capabilities
                .extensions
                .get_or_insert_default()
                .insert(id.to_owned(), settings.into());
        } else {
            self.set_invalid(|| {
                format!("{id:?} is not an extension identifier: expected prefix/name")
            });
        }
        self
    }

    /// Accepts tasks (`io.modelcontextprotocol/tasks`): a server may answer a call at once and work
    /// on it for longer than a request should take. Awaiting the call still waits for its result; a
    /// call that is dropped cancels its task.
    pub fn tasks(self) -> Self {
        self.extension(TASKS_EXTENSION, JsonObject::new())
            .result_type("task")
    }

    /// Accepts a `resultType` of a declared extension (`basic/index#resulttype`).
    /// [`Client::request`] returns such results as text; to a typed request they are an invalid
    /// response.
    pub fn result_type(mut self, name: &str) -> Self {
        self.config.result_types.push(name.into());
        self
    }

    /// Sets the handler that shows forms to the user
    /// (`client/elicitation#form-mode-elicitation-requests`) and declares `elicitation.form`. The
    /// handler must show which server asks and let the user review, decline and cancel. The content
    /// it returns is validated against the requested schema before it is sent.
    pub fn on_elicit<F, Fut>(mut self, f: F) -> Self
    where
        F: Fn(ElicitRequestFormParams) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoInput<ElicitResult>> + Send + 'static,
    {
        self.config.handlers.form = Some(erase(f));
        self
    }

    /// Sets the handler that opens web pages for servers
    /// (`client/elicitation#url-mode-elicitation-requests`) and declares `elicitation.url`. The
    /// handler must show the whole URL and ask before opening it, outside of the reach of the
    /// client and the model. It is called with plain web addresses only.
    pub fn on_elicit_url<F, Fut>(mut self, f: F) -> Self
    where
        F: Fn(ElicitRequestURLParams) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoInput<ElicitResult>> + Send + 'static,
    {
        self.config.handlers.url = Some(erase(f));
        self
    }

    /// Sets the handler that asks the model on behalf of servers (`client/sampling`) and declares
    /// `sampling`.
    #[deprecated(note = "SEP-2577 deprecates sampling; it may be removed from 2027-07-28 on")]
    pub fn on_sample<F, Fut>(mut self, f: F) -> Self
    where
        F: Fn(CreateMessageRequestParams) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoInput<CreateMessageResult>> + Send + 'static,
    {
        self.config.handlers.sample = Some(erase(f));
        self.config.handlers.sample_with_tools = false;
        self
    }

    /// Sets the handler like [`on_sample`](Self::on_sample), for a model that accepts tools, and
    /// declares `sampling.tools` as well.
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

    /// Sets the handler that names the directories and files a server should work on
    /// (`client/roots`) and declares `roots`. Only `file://` URIs without `..` segments are sent.
    #[deprecated(note = "SEP-2577 deprecates roots; they may be removed from 2027-07-28 on")]
    pub fn on_roots<F, Fut>(mut self, f: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoInput<ListRootsResult>> + Send + 'static,
    {
        self.config.handlers.roots = Some(erase(move |()| f()));
        self
    }

    /// Sets roots that never change; see [`on_roots`](Self::on_roots).
    #[deprecated(note = "SEP-2577 deprecates roots; they may be removed from 2027-07-28 on")]
    #[allow(deprecated)]
    pub fn roots(self, roots: impl IntoIterator<Item = Root>) -> Self {
        let roots = ListRootsResult::new(roots.into_iter().collect());
        self.on_roots(move || std::future::ready(roots.clone()))
    }

    /// Sets the timeout of each wire request (`basic/patterns/cancellation#timeouts`). Default:
    /// 60 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// Sets the maximum time of each wire request, whatever progress it reports. Default: 10 min.
    pub fn max_timeout(mut self, timeout: Duration) -> Self {
        self.config.max_timeout = timeout;
        self
    }

    /// Sets how often a server may ask for input in one call. Default: 8. Beyond that the call
    /// fails with [`ResponseError::TooManyRounds`](crate::ResponseError::TooManyRounds).
    pub fn max_rounds(mut self, rounds: usize) -> Self {
        self.config.max_rounds = rounds;
        self
    }

    /// Sets how often a request may be retried if that is safe. Default: 2.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.config.max_retries = retries;
        self
    }

    /// Sets the most pages of one list. Default: 1000. A longer list fails with
    /// [`ResponseError::ListTooLong`](crate::ResponseError::ListTooLong).
    pub fn max_pages(mut self, pages: usize) -> Self {
        self.config.max_pages = pages;
        self
    }

    /// Sets the most bytes of text in the pages of one list together. Default: 64 MiB. A longer
    /// list fails with [`ResponseError::ListTooLong`](crate::ResponseError::ListTooLong).
    pub fn max_list_bytes(mut self, bytes: usize) -> Self {
        self.config.max_list_bytes = bytes;
        self
    }

    /// Sets whether `structuredContent` is validated against the tool's `outputSchema`, if that is
    /// known from a list. Default: on. The call has been executed, so a mismatch is only a warning
    /// ([`CallOptions::on_warning`](crate::CallOptions::on_warning)); see
    /// [`require_valid_output`](Self::require_valid_output).
    pub fn validate_output(mut self, enabled: bool) -> Self {
        self.config.validate_output = enabled;
        self
    }

    /// Sets whether a mismatch of `structuredContent` is an error,
    /// [`ResponseError::OutputSchema`](crate::ResponseError::OutputSchema), instead of a warning.
    /// Default: off. Turning it on turns on [`validate_output`](Self::validate_output).
    pub fn require_valid_output(mut self, enabled: bool) -> Self {
        self.config.require_valid_output = enabled;
        self.config.validate_output |= enabled;
        self
    }

    /// Sets the cache, which may be shared with other clients; `None` turns caching off. Default: a
    /// cache of the client's own, see [`ResponseCache::default`].
    pub fn cache(mut self, cache: impl Into<Option<ResponseCache>>) -> Self {
        self.cache = cache.into();
        self
    }

    /// Sets the authorization context; see [`Client::for_context`]. Default: empty.
    pub fn context(mut self, context: impl Into<Arc<str>>) -> Self {
        self.auth_context = context.into();
        self
    }

    /// Sets a function that returns `_meta` members for each request, such as the current trace
    /// context. Members set on a request take precedence.
    pub fn ambient_meta(mut self, f: impl Fn() -> JsonObject + Send + Sync + 'static) -> Self {
        self.config.ambient_meta = Some(Arc::new(f));
        self
    }

    /// Returns a responder with the handlers set so far, for adapters to servers of earlier
    /// revisions, which send requests on their own.
    #[must_use]
    pub fn input_responder(&self) -> InputResponder {
        InputResponder::new(
            self.config.handlers.clone(),
            self.config.capabilities.clone(),
            self.info.clone(),
        )
    }

    /// Sets the function that [`Client::era`] returns the result of, for adapters that determine
    /// the era of a server.
    pub fn era_from(mut self, f: impl Fn() -> Option<EraDecision> + Send + Sync + 'static) -> Self {
        self.config.era = Some(Arc::new(f));
        self
    }

    /// Builds the client. Nothing is sent.
    ///
    /// # Errors
    /// [`ClientError::Request`] if neither [`http`](Self::http) nor [`service`](Self::service) was
    /// called, or a setting is invalid.
    pub fn build(self) -> Result<Client, ClientError> {
        static UNNAMED_SERVERS: AtomicU64 = AtomicU64::new(0);
        let Self {
            info,
            versions,
            source,
            http_options,
            server_id,
            mirror_headers,
            auth_context,
            cache,
            mut config,
            invalid,
        } = self;
        if let Some(reason) = invalid {
            return Err(ClientError::Request(reason));
        }
        let (service, url) = match source {
            Some(ServiceSource::Url(url)) => {
                let http = http_options.client(&url)?;
                let url = http.url();
                (SharedService::new_boxed(http), Some(url))
            }
            Some(ServiceSource::Service(_)) if http_options.is_set() => {
                return Err(ClientError::Request(
                    "HTTP options apply to `http(url)` only; set them on the transport instead"
                        .into(),
                ));
            }
            Some(ServiceSource::Service(service)) => (service, None),
            None => {
                return Err(ClientError::Request(
                    "no server: call `http`, `stdio` or `service`".into(),
                ));
            }
        };
        config.mirror_headers = mirror_headers.unwrap_or(url.is_some());
        let server_id = server_id.or(url.map(Into::into)).unwrap_or_else(|| {
            let number = UNNAMED_SERVERS.fetch_add(1, Ordering::Relaxed);
            format!("#{number}").into()
        });
        config.handlers.declare(&mut config.capabilities);
        if let (Some(name), None) = (config.result_types.first(), &config.capabilities.extensions) {
            return Err(ClientError::Request(format!(
                "resultType {name:?} needs the extension that defines it"
            )));
        }
        let capabilities = &config.capabilities;
        let template = |version| MetaTemplate::new(version, capabilities.clone(), info.clone());
        let templates: Box<[MetaTemplate]> = versions.into_iter().map(template).collect();
        let core = ClientCore {
            service,
            server_id,
            next_id: AtomicI64::new(1),
            templates,
            current_template: AtomicUsize::new(0),
            tools: ToolIndex::default(),
            cache,
            config,
        };
        Ok(Client::new(ScopedCore::new(core, auth_context)))
    }

    fn set_invalid(&mut self, reason: impl FnOnce() -> String) {
        self.invalid.get_or_insert_with(reason);
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("info", &self.info)
            .field("http_options", &self.http_options)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
