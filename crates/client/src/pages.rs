//! Lists that come in pages (`server/utilities/pagination`).

use crate::ClientError;
use crate::client::Client;
use crate::options::CallOptions;
use crate::request::Answer;
use carryall_proto::BoxFuture;
use carryall_types::{
    ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, Method, Prompt, Resource,
    ResourceTemplate, Tool,
};
use std::collections::HashSet;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::time::Duration;

/// More items than this in one list are refused.
const MAX_ITEMS: usize = 1_000_000;

/// One page of a list.
pub trait Page: Answer<Output = Self> {
    /// What is listed.
    type Item: Send + 'static;
    /// The method that lists it.
    #[doc(hidden)]
    const METHOD: Method;

    /// The cursor of the next page. Absent, not empty, means that this is the last one.
    #[doc(hidden)]
    fn next_cursor(&mut self) -> Option<String>;
    /// What stands on the page.
    #[doc(hidden)]
    fn into_items(self) -> Vec<Self::Item>;
    /// Called once all pages are there.
    #[doc(hidden)]
    fn finish(_: &Client, _: &[Self::Item]) {}
}

macro_rules! pages {
    ($($page:ty => $item:ty, $method:ident, $field:ident $(, $finish:item)?;)*) => {$(
        impl Page for $page {
            type Item = $item;
            const METHOD: Method = Method::$method;
            fn next_cursor(&mut self) -> Option<String> {
                self.next_cursor.take()
            }
            fn into_items(self) -> Vec<$item> {
                self.$field
            }
            $($finish)?
        }
    )*};
}

pages! {
    ListToolsResult => Tool, ToolsList, tools, fn finish(client: &Client, tools: &[Tool]) { client.inner.tools.keep_only(tools); };
    ListPromptsResult => Prompt, PromptsList, prompts;
    ListResourcesResult => Resource, ResourcesList, resources;
    ListResourceTemplatesResult => ResourceTemplate, ResourcesTemplatesList, resource_templates;
}

/// A whole list, fetched page by page when it is awaited.
#[must_use = "a list is fetched when it is awaited"]
#[derive(Debug)]
pub struct Listing<P> {
    client: Client,
    options: CallOptions,
    page: PhantomData<fn() -> P>,
}

impl<P: Page> Listing<P> {
    pub(crate) fn new(client: &Client) -> Self {
        Self { client: client.clone(), options: CallOptions::default(), page: PhantomData }
    }

    /// Options for the request of each page.
    pub fn with(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    /// Asks the server for every page, for a consistent list. See [`CallOptions::no_cache`].
    pub fn no_cache(mut self) -> Self {
        self.options = self.options.no_cache();
        self
    }

    /// See [`CallOptions::timeout`]; for each page.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options = self.options.timeout(timeout);
        self
    }

    /// All pages from the first. `Ok(Err(_))` when the server does not know a cursor of its own any more.
    async fn walk(&self, options: &CallOptions) -> Result<Result<Vec<P::Item>, ClientError>, ClientError> {
        let (mut items, mut seen, mut cursor) = (Vec::new(), HashSet::new(), None::<String>);
        let endless = |why: String| ClientError::Pages { method: P::METHOD, why };
        for _ in 0..self.client.inner.config.max_pages {
            let request = self.client.page::<P>(cursor.as_deref()).with(options.clone());
            let mut page = match request.await {
                Ok(page) => page,
                // Asked for with a cursor, this can only mean the cursor.
                Err(error) if cursor.is_some() && error.is_invalid_params() => return Ok(Err(error)),
                Err(error) => return Err(error),
            };
            let next = page.next_cursor();
            items.extend(page.into_items());
            if items.len() > MAX_ITEMS {
                return Err(endless(format!("more than {MAX_ITEMS} items")));
            }
            let Some(next) = next else {
                P::finish(&self.client, &items);
                return Ok(Ok(items));
            };
            if !seen.insert(next.clone()) {
                return Err(endless(format!("the cursor {next:?} comes a second time")));
            }
            cursor = Some(next);
        }
        Err(endless(format!("more than {} pages (`max_pages` sets the limit)", self.client.inner.config.max_pages)))
    }
}

impl<P: Page> IntoFuture for Listing<P> {
    type Output = Result<Vec<P::Item>, ClientError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let error = match self.walk(&self.options).await? {
                Ok(items) => return Ok(items),
                Err(error) => error,
            };
            // A cursor became invalid: forget the pages and start again, once
            // (`server/utilities/caching#interaction-with-pagination`).
            tracing::debug!(error = %carryall_proto::PrintableFmt(&error), "a cursor became invalid; listing from the start");
            if let Some(view) = self.client.cache_view() {
                view.drop_list(P::METHOD.as_str());
            }
            self.walk(&self.options.clone().no_cache()).await?
        })
    }
}
