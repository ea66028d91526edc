//! The client and its methods.

use crate::cache::ResponseCache;
use crate::core::ScopedCore;
use crate::listen::ListenRequest;
use crate::pages::{ListPage, Listing, page_params};
use crate::params::{object_members, put_arguments, write};
use crate::request::Request;
use crate::tasks::handle::TaskHandle;
use carryall_proto::{EraDecision, ParamsWriter};
use carryall_types::{
    CallToolResult, ClientCapabilities, CompleteRequestParams, CompleteResult, CompletionArgument,
    CompletionReference, DiscoverResult, GetPromptResult, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, Method, RawJson,
    ReadResourceResult, SubscriptionFilter,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A client of one MCP server.
///
/// Clones are cheap and share the transport, request ids, the cache and what is known about tools.
/// Requests are independent: there is no connection to open first and none to close.
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
    core: ScopedCore,
}

impl Client {
    pub(crate) fn new(core: ScopedCore) -> Self {
        Self { core }
    }

    /// Returns the same client in another authorization context, which keeps private responses in
    /// the cache apart (`server/utilities/caching#cache-scope-field`). Pass something that
    /// distinguishes credentials, such as a digest of the token; never the token itself.
    #[must_use]
    pub fn for_context(&self, context: impl Into<Arc<str>>) -> Self {
        Self::new(self.core.with_context(context.into()))
    }

    /// Returns the capabilities that the client declares.
    #[must_use]
    pub fn capabilities(&self) -> &ClientCapabilities {
        &self.core.config.capabilities
    }

    /// Returns the protocol version that requests are sent with.
    #[must_use]
    pub fn protocol_version(&self) -> &str {
        self.core.template().version()
    }

    /// Returns the era of the server and how it was determined. `None` before the first request,
    /// and for clients of this revision only.
    #[must_use]
    pub fn era(&self) -> Option<EraDecision> {
        self.core.config.era.as_ref().and_then(|source| source())
    }

    /// Returns the cache of this client, if it has one.
    #[must_use]
    pub fn cache(&self) -> Option<&ResponseCache> {
        self.core.cache.as_ref()
    }

    /// Requests the server's name, capabilities and instructions (`server/discover`). Other
    /// requests do not depend on it.
    pub fn discover(&self) -> Request<DiscoverResult> {
        Request::new(&self.core, Method::ServerDiscover, Ok(ParamsWriter::new()))
    }

    /// Requests all tools (`tools/list`).
    pub fn list_tools(&self) -> Listing<ListToolsResult> {
        Listing::new(&self.core)
    }

    /// Requests one page of tools: the first, or that of a `nextCursor`.
    pub fn tools_page(&self, cursor: Option<&str>) -> Request<ListToolsResult> {
        self.page(cursor)
    }

    /// Calls a tool (`tools/call`). `arguments` must serialise to a JSON object; `()` stands for
    /// none.
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
        Request::new(&self.core, Method::ToolsCall, params)
    }

    /// Returns a handle to the task with this id, which an earlier process may have received.
    /// Nothing is sent.
    pub fn task(&self, id: impl Into<String>) -> TaskHandle {
        TaskHandle::new(&self.core, id.into())
    }

    /// Requests all prompts (`prompts/list`).
    pub fn list_prompts(&self) -> Listing<ListPromptsResult> {
        Listing::new(&self.core)
    }

    /// Requests one page of prompts: the first, or that of a `nextCursor`.
    pub fn prompts_page(&self, cursor: Option<&str>) -> Request<ListPromptsResult> {
        self.page(cursor)
    }

    /// Requests the messages of a prompt (`prompts/get`). `arguments` must serialise to a JSON
    /// object of strings; `()` stands for none.
    pub fn get_prompt<A: Serialize>(&self, name: &str, arguments: A) -> Request<GetPromptResult> {
        let params = write(|params| {
            params.put("name", name)?;
            put_arguments(params, &arguments)
        });
        Request::new(&self.core, Method::PromptsGet, params)
    }

    /// Requests all resources (`resources/list`).
    pub fn list_resources(&self) -> Listing<ListResourcesResult> {
        Listing::new(&self.core)
    }

    /// Requests one page of resources: the first, or that of a `nextCursor`.
    pub fn resources_page(&self, cursor: Option<&str>) -> Request<ListResourcesResult> {
        self.page(cursor)
    }

    /// Requests all resource templates (`resources/templates/list`).
    pub fn list_resource_templates(&self) -> Listing<ListResourceTemplatesResult> {
        Listing::new(&self.core)
    }

    /// Requests one page of resource templates: the first, or that of a `nextCursor`.
    pub fn resource_templates_page(
        &self,
        cursor: Option<&str>,
    ) -> Request<ListResourceTemplatesResult> {
        self.page(cursor)
    }

    /// Requests the contents of a resource (`resources/read`). If there is none,
    /// [`ClientError::is_not_found`](crate::ClientError::is_not_found) returns true.
    pub fn read_resource(&self, uri: &str) -> Request<ReadResourceResult> {
        Request::new(
            &self.core,
            Method::ResourcesRead,
            write(|params| params.put("uri", uri)),
        )
    }

    /// Requests completions of an argument value (`completion/complete`). `typed` is what the user
    /// has typed so far, `resolved` the arguments already known, which narrow the completions down
    /// (`server/utilities/completion`).
    pub fn complete(
        &self,
        reference: impl Into<CompletionReference>,
        argument: &str,
        typed: &str,
        resolved: &BTreeMap<String, String>,
    ) -> Request<CompleteResult> {
        #[derive(Serialize)]
        struct ResolvedArguments<'a> {
            arguments: &'a BTreeMap<String, String>,
        }
        let reference: CompletionReference = reference.into();
        let params = write(|params| {
            params.put("ref", &reference)?;
            params.put("argument", &CompletionArgument::new(argument, typed))?;
            if resolved.is_empty() {
                return Ok(());
            }
            let context = ResolvedArguments {
                arguments: resolved,
            };
            params.put("context", &context)
        });
        Request::new(&self.core, Method::CompletionComplete, params)
    }

    /// Requests completions like [`complete`](Self::complete), with parameters built by the caller.
    pub fn complete_with(&self, params: &CompleteRequestParams) -> Request<CompleteResult> {
        Request::new(
            &self.core,
            Method::CompletionComplete,
            object_members(params),
        )
    }

    /// Sends a request of any method, also one unknown to this client. It resolves to the text of
    /// the result. `params` must serialise to a JSON object; its `_meta`, if any, is ignored.
    ///
    /// ```no_run
    /// # use carryall_client::{Client, ClientError};
    /// # use serde_json::json;
    /// # async fn example(client: Client) -> Result<(), ClientError> {
    /// let text = client.request("com.example/status", json!({"verbose": true})).await?;
    /// println!("{}", text.as_str());
    /// # Ok(())
    /// # }
    /// ```
    pub fn request<P: Serialize>(&self, method: impl Into<Method>, params: P) -> Request<RawJson> {
        Request::new(&self.core, method.into(), object_members(&params)).raw()
    }

    /// Listens for changes (`subscriptions/listen`). Cached responses that a change makes stale are
    /// dropped while the stream is polled (`basic/patterns/subscriptions`).
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
        ListenRequest::new(&self.core, filter.into())
    }

    fn page<P: ListPage>(&self, cursor: Option<&str>) -> Request<P> {
        Request::new(&self.core, P::METHOD, page_params(cursor))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}
