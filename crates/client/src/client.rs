//! The client and its methods.

use crate::builder::ClientBuilder;
use crate::cache::{CacheView, ResponseCache};
use crate::config::ClientConfig;
use crate::listen::ListenRequest;
use crate::options::MetaOptions;
use crate::pages::Listing;
use crate::params::{object_members, put_arguments, write};
use crate::request::Request;
use crate::template::MetaTemplate;
use crate::tools::ToolIndex;
use carryall_proto::{EraDecision, ParamsWriter, SharedService};
use carryall_types::{
    CallToolResult, ClientCapabilities, CompleteRequestParams, CompleteResult, CompletionArgument,
    CompletionReference, DiscoverResult, GetPromptResult, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, Method, RawJson,
    ReadResourceResult, SubscriptionFilter,
};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize};

/// A client of one MCP server.
///
/// Clones are cheap and share everything: the way to the server, ids, cache, what is known of
/// tools. Each request stands for itself; there is no connection to open first and none to close.
///
/// ```no_run
/// # use carryall_client::{Client, ClientError};
/// # use serde_json::json;
/// # async fn example(client: Client) -> Result<(), ClientError> {
/// for tool in client.list_tools().await? {
///     println!("{}", tool.name);
/// }
/// let sum: i64 = client.call("add", json!({"a": 2, "b": 3})).typed().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
    context: Arc<str>,
}

/// What the clones of a client share.
pub(crate) struct Inner {
    pub(crate) service: SharedService,
    /// Tells this server from others in a shared cache.
    pub(crate) server: Arc<str>,
    pub(crate) ids: AtomicI64,
    /// One for each version spoken, the preferred first.
    pub(crate) templates: Box<[MetaTemplate]>,
    pub(crate) current: AtomicUsize,
    pub(crate) tools: ToolIndex,
    pub(crate) cache: Option<ResponseCache>,
    pub(crate) config: ClientConfig,
}

impl Client {
    /// A client to be set up.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    pub(crate) fn from_parts(inner: Inner, context: Arc<str>) -> Self {
        Self {
            inner: Arc::new(inner),
            context,
        }
    }

    /// The same client in another authorization context: private answers in the cache are kept
    /// apart by it (`server/utilities/caching#cache-scope-field`). Use something that tells one
    /// credential from another, like a digest of the token, never the token itself.
    #[must_use]
    pub fn for_context(&self, context: impl Into<Arc<str>>) -> Self {
        Self {
            inner: self.inner.clone(),
            context: context.into(),
        }
    }

    /// What the client tells servers that it can do.
    #[must_use]
    pub fn capabilities(&self) -> &ClientCapabilities {
        &self.inner.config.capabilities
    }

    /// The protocol version that requests are sent in.
    #[must_use]
    pub fn protocol_version(&self) -> &str {
        self.inner.template().version()
    }

    /// Which revision the server is spoken to in, and why, as far as that had to be found out:
    /// `None` before the first request, and for a client that speaks this revision alone.
    #[must_use]
    pub fn era(&self) -> Option<EraDecision> {
        self.inner.config.era.as_ref().and_then(|era| era())
    }

    /// What the server is and can do (`server/discover`). Not needed before other requests.
    pub fn discover(&self) -> Request<DiscoverResult> {
        Request::new(self, Method::ServerDiscover, Ok(ParamsWriter::new()))
    }

    /// All tools, page by page.
    pub fn list_tools(&self) -> Listing<ListToolsResult> {
        Listing::new(self)
    }

    /// One page of tools: the first, or the one that a `nextCursor` stands for.
    pub fn tools_page(&self, cursor: Option<&str>) -> Request<ListToolsResult> {
        self.page(cursor)
    }

    /// Calls a tool. `arguments` is anything that serialises to a JSON object; `()` means none.
    ///
    /// ```no_run
    /// # use carryall_client::{Client, ClientError};
    /// # use serde_json::json;
    /// # async fn example(client: Client) -> Result<(), ClientError> {
    /// let result = client
    ///     .call("index", json!({"path": "/srv"}))
    ///     .on_progress(|update| eprintln!("{:?}", update.fraction()))
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn call<A: Serialize>(&self, name: &str, arguments: A) -> Request<CallToolResult> {
        let params = write(|params| {
            params.put("name", name)?;
            put_arguments(params, &arguments)
        });
        Request::new(self, Method::ToolsCall, params)
    }

    /// All prompts, page by page.
    pub fn list_prompts(&self) -> Listing<ListPromptsResult> {
        Listing::new(self)
    }

    /// One page of prompts.
    pub fn prompts_page(&self, cursor: Option<&str>) -> Request<ListPromptsResult> {
        self.page(cursor)
    }

    /// A prompt, filled in. Arguments of prompts are strings; `()` means none.
    pub fn get_prompt<A: Serialize>(&self, name: &str, arguments: A) -> Request<GetPromptResult> {
        let params = write(|params| {
            params.put("name", name)?;
            put_arguments(params, &arguments)
        });
        Request::new(self, Method::PromptsGet, params)
    }

    /// All resources, page by page.
    pub fn list_resources(&self) -> Listing<ListResourcesResult> {
        Listing::new(self)
    }

    /// One page of resources.
    pub fn resources_page(&self, cursor: Option<&str>) -> Request<ListResourcesResult> {
        self.page(cursor)
    }

    /// All resource templates, page by page.
    pub fn list_resource_templates(&self) -> Listing<ListResourceTemplatesResult> {
        Listing::new(self)
    }

    /// One page of resource templates.
    pub fn resource_templates_page(
        &self,
        cursor: Option<&str>,
    ) -> Request<ListResourceTemplatesResult> {
        self.page(cursor)
    }

    /// The contents of a resource. [`ClientError::is_not_found`](crate::ClientError::is_not_found)
    /// tells that there is none.
    pub fn read_resource(&self, uri: &str) -> Request<ReadResourceResult> {
        Request::new(
            self,
            Method::ResourcesRead,
            write(|params| params.put("uri", uri)),
        )
    }

    /// Values that complete what was typed for an argument. `resolved` are the arguments known
    /// already: servers use them to narrow the values down (`server/utilities/completion`).
    pub fn complete(
        &self,
        reference: impl Into<CompletionReference>,
        argument: &str,
        typed: &str,
        resolved: &BTreeMap<String, String>,
    ) -> Request<CompleteResult> {
        #[derive(Serialize)]
        struct Context<'a> {
            arguments: &'a BTreeMap<String, String>,
        }
        let reference: CompletionReference = reference.into();
        let params = write(|params| {
            params.put("ref", &reference)?;
            params.put("argument", &CompletionArgument::new(argument, typed))?;
            if resolved.is_empty() {
                Ok(())
            } else {
                params.put(
                    "context",
                    &Context {
                        arguments: resolved,
                    },
                )
            }
        });
        Request::new(self, Method::CompletionComplete, params)
    }

    /// As [`complete`](Self::complete), from parameters that are there already.
    pub fn complete_with(&self, params: &CompleteRequestParams) -> Request<CompleteResult> {
        Request::new(self, Method::CompletionComplete, object_members(params))
    }

    /// Any method, also one that this client does not know; the result comes as text. `params` is
    /// anything that serialises to a JSON object, without `_meta`.
    pub fn request<P: Serialize>(&self, method: impl Into<Method>, params: P) -> Request<RawJson> {
        Request::new(self, method.into(), object_members(&params)).raw()
    }

    /// Listens for changes. Cached answers that a change makes stale are dropped while the listener
    /// is polled (`basic/patterns/subscriptions`).
    ///
    /// ```no_run
    /// # use carryall_client::{Client, ClientError};
    /// # use carryall_types::SubscriptionFilter;
    /// # async fn example(client: Client) -> Result<(), ClientError> {
    /// let mut changes = client.listen(SubscriptionFilter::new().with_tools_list_changed(true)).await?;
    /// while let Some(change) = changes.next().await {
    ///     println!("{:?}", change?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn listen(&self, filter: impl Into<SubscriptionFilter>) -> ListenRequest {
        ListenRequest::new(self, filter.into())
    }

    /// The cache of this client, if it has one.
    #[must_use]
    pub fn cache(&self) -> Option<&ResponseCache> {
        self.inner.cache.as_ref()
    }

    pub(crate) fn page<P: crate::pages::ListPage>(&self, cursor: Option<&str>) -> Request<P> {
        self.page_as(P::METHOD, cursor)
    }

    /// A page that is read as something else than itself.
    pub(crate) fn page_as<A>(&self, method: Method, cursor: Option<&str>) -> Request<A> {
        let params = write(|params| match cursor {
            Some(cursor) => params.put("cursor", cursor),
            None => Ok(()),
        });
        Request::new(self, method, params)
    }

    pub(crate) fn cache_view(&self) -> Option<CacheView> {
        let cache = self.inner.cache.clone()?;
        Some(CacheView {
            cache,
            server: self.inner.server.clone(),
            context: self.context.clone(),
        })
    }
}

impl Inner {
    /// What a request adds to `_meta`: its own members, and those of the client that it does not
    /// set itself.
    pub(crate) fn meta_options<'a>(&self, own: &'a MetaOptions) -> Cow<'a, MetaOptions> {
        let ambient = self.config.ambient_meta.as_ref().map(|source| source());
        let Some(ambient) = ambient.filter(|ambient| !ambient.is_empty()) else {
            return Cow::Borrowed(own);
        };
        let mut options = own.clone();
        for (name, value) in ambient {
            if options.extra.contains_key(&name) {
                continue;
            }
            match crate::options::check_member(&name, &value) {
                Ok(()) => {
                    options.extra.insert(name, value);
                }
                Err(wrong) => {
                    tracing::warn!(wrong = %carryall_proto::PrintableFmt(&wrong), "left out of _meta")
                }
            }
        }
        Cow::Owned(options)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.inner.server)
            .field("version", &self.protocol_version())
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}
