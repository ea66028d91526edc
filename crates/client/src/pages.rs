//! Lists that come in pages (`server/utilities/pagination`).

use crate::ClientError;
use crate::client::Client;
use crate::options::CallOptions;
use crate::request::{FromResult, Request};
use crate::warnings::{ResponseWarning, Warnings, printable};
use carryall_proto::BoxFuture;
use carryall_types::{
    ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, Method,
    Prompt, RawJson, Resource, ResourceTemplate, Tool,
};
use std::collections::HashSet;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::time::Duration;

/// More items than this in one list are refused.
const MAX_ITEMS: usize = 1_000_000;

/// One page of a list.
pub trait ListPage: FromResult<Output = Self> {
    /// What is listed.
    type Item: Send + 'static;
    /// The method that lists it.
    #[doc(hidden)]
    const METHOD: Method;

    /// What tells an item from others.
    #[doc(hidden)]
    fn key(item: &Self::Item) -> &str;
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
    ($($page:ty => $item:ty, $key:ident, $method:ident, $field:ident $(, $finish:item)?;)*) => {$(
        impl ListPage for $page {
            type Item = $item;
            const METHOD: Method = Method::$method;
            fn key(item: &$item) -> &str {
                &item.$key
            }
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
    ListToolsResult => Tool, name, ToolsList, tools, fn finish(client: &Client, tools: &[Tool]) { client.inner.tools.keep_only(tools); };
    ListPromptsResult => Prompt, name, PromptsList, prompts;
    ListResourcesResult => Resource, uri, ResourcesList, resources;
    ListResourceTemplatesResult => ResourceTemplate, uri_template, ResourcesTemplatesList, resource_templates;
}

/// A page, and how long its text is in bytes.
struct Measured<P>(PhantomData<fn() -> P>);

impl<P: ListPage> FromResult for Measured<P> {
    type Output = (P, usize);
    fn read(
        client: &Client,
        method: &Method,
        result: &RawJson,
        cached: bool,
        warnings: &mut Warnings,
    ) -> Result<Self::Output, ClientError> {
        Ok((
            P::read(client, method, result, cached, warnings)?,
            result.as_str().len(),
        ))
    }
}

/// A whole list, fetched page by page when it is awaited.
#[must_use = "a list is fetched when it is awaited"]
#[derive(Debug)]
pub struct Listing<P> {
    client: Client,
    options: CallOptions,
    page: PhantomData<fn() -> P>,
}

impl<P: ListPage> Listing<P> {
    pub(crate) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            options: CallOptions::default(),
            page: PhantomData,
        }
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

    /// See [`CallOptions::on_warning`]; for each page.
    pub fn on_warning(mut self, f: impl Fn(&ResponseWarning) + Send + Sync + 'static) -> Self {
        self.options = self.options.on_warning(f);
        self
    }

    /// All pages from the first. `Ok(Err(_))` when the server does not know a cursor of its own any
    /// more.
    async fn walk(
        &self,
        options: &CallOptions,
    ) -> Result<Result<Vec<P::Item>, ClientError>, ClientError> {
        let (mut items, mut seen, mut cursor) = (Vec::new(), HashSet::new(), None::<String>);
        let endless = |why: String| ClientError::Pages {
            method: P::METHOD,
            why,
        };
        let (max_pages, max_bytes) = (
            self.client.inner.config.max_pages,
            self.client.inner.config.max_list_bytes,
        );
        let mut bytes = 0_usize;
        for _ in 0..max_pages {
            let request: Request<Measured<P>> = self
                .client
                .page_as(P::METHOD, cursor.as_deref())
                .with(options.clone());
            let (mut page, length) = match request.await {
                Ok(page) => page,
                // Asked for with a cursor, this can only mean the cursor.
                Err(error) if cursor.is_some() && error.is_invalid_params() => {
                    return Ok(Err(error));
                }
                Err(error) => return Err(error),
            };
            bytes = bytes.saturating_add(length);
            if bytes > max_bytes {
                return Err(endless(format!(
                    "more than {max_bytes} bytes, the limit of this client"
                )));
            }
            let next = page.next_cursor();
            items.extend(page.into_items());
            if items.len() > MAX_ITEMS {
                return Err(endless(format!("more than {MAX_ITEMS} items")));
            }
            let Some(next) = next else {
                P::finish(&self.client, &items);
                return Ok(Ok(items));
            };
            if seen.contains(&next) {
                // Servers that mean "no more" by a cursor that they have given before, or by an
                // empty one. They may have started from the beginning in between, so each item is
                // taken once.
                let mut known = HashSet::new();
                items.retain(|item| known.insert(P::key(item).to_owned()));
                let mut warnings = Warnings::default();
                warnings.add(ResponseWarning::Circle {
                    method: P::METHOD,
                    cursor: printable(&next),
                });
                warnings.report(&P::METHOD, options, false);
                P::finish(&self.client, &items);
                return Ok(Ok(items));
            }
            seen.insert(next.clone());
            cursor = Some(next);
        }
        Err(endless(format!(
            "more than {max_pages} pages, the limit of this client"
        )))
    }
}

impl<P: ListPage> IntoFuture for Listing<P> {
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
