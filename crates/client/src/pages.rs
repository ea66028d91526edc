//! Paginated lists (`server/utilities/pagination`).

use crate::ClientError;
use crate::call::attempt::AttemptCount;
use crate::call::spec::RequestSpec;
use crate::core::{ClientCore, ScopedCore};
use crate::error::ResponseError;
use crate::options::CallOptions;
use crate::params;
use crate::result::{FromResult, RawResult};
use crate::warnings::{ResponseWarning, Warnings, printable};
use carryall_proto::{BoxFuture, ParamsWriter};
use carryall_types::{
    ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, Method,
    Prompt, Resource, ResourceTemplate, Tool,
};
use std::collections::HashSet;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::time::Duration;

/// The most items in one list.
const MAX_ITEMS: usize = 1_000_000;

/// One page of a list; implemented for the results of the list methods.
pub trait ListPage: FromResult<Output = Self> {
    /// The type of the items.
    type Item: Send + 'static;
    /// The method that lists them.
    #[doc(hidden)]
    const METHOD: Method;

    /// Returns what identifies an item.
    #[doc(hidden)]
    fn key(item: &Self::Item) -> &str;
    /// Takes the cursor of the next page. `None`, unlike an empty cursor, means the last page.
    #[doc(hidden)]
    fn take_next_cursor(&mut self) -> Option<String>;
    /// Returns the items of the page.
    #[doc(hidden)]
    fn into_items(self) -> Vec<Self::Item>;
    /// Runs when all pages have been fetched.
    #[doc(hidden)]
    fn on_complete(_: &ClientCore, _: &[Self::Item]) {}
}

macro_rules! pages {
    ($($page:ty => $item:ty, $key:ident, $method:ident, $field:ident $(, $on_complete:item)?;)*) => {$(
        impl ListPage for $page {
            type Item = $item;
            const METHOD: Method = Method::$method;
            fn key(item: &$item) -> &str {
                &item.$key
            }
            fn take_next_cursor(&mut self) -> Option<String> {
                self.next_cursor.take()
            }
            fn into_items(self) -> Vec<$item> {
                self.$field
            }
            $($on_complete)?
        }
    )*};
}

pages! {
    ListToolsResult => Tool, name, ToolsList, tools,
        fn on_complete(core: &ClientCore, tools: &[Tool]) { core.tools.retain_listed(tools); };
    ListPromptsResult => Prompt, name, PromptsList, prompts;
    ListResourcesResult => Resource, uri, ResourcesList, resources;
    ListResourceTemplatesResult => ResourceTemplate, uri_template, ResourcesTemplatesList, resource_templates;
}

/// A request for all pages of a list. They are fetched one after the other when it is awaited;
/// dropping its future cancels.
///
/// A cursor that the server refuses restarts the list once. A list fails with
/// [`ResponseError::ListTooLong`] if it exceeds
/// [`ClientBuilder::max_pages`](crate::ClientBuilder::max_pages),
/// [`ClientBuilder::max_list_bytes`](crate::ClientBuilder::max_list_bytes) or a million items.
///
/// ```no_run
/// # use carryall_client::{Client, ClientError};
/// # async fn example(client: Client) -> Result<(), ClientError> {
/// for prompt in client.list_prompts().no_cache().await? {
///     println!("{}", prompt.name);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a list is fetched when it is awaited"]
#[derive(Debug)]
pub struct Listing<P> {
    core: ScopedCore,
    options: CallOptions,
    page: PhantomData<fn() -> P>,
}

impl<P: ListPage> Listing<P> {
    pub(crate) fn new(core: &ScopedCore) -> Self {
        Self {
            core: core.clone(),
            options: CallOptions::default(),
            page: PhantomData,
        }
    }

    /// Replaces the options, which apply to the request of each page.
    pub fn with(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    /// Fetches every page from the server, for a consistent list; see [`CallOptions::no_cache`].
    pub fn no_cache(mut self) -> Self {
        self.options = self.options.no_cache();
        self
    }

    /// Sets the timeout of each page; see [`CallOptions::timeout`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options = self.options.timeout(timeout);
        self
    }

    /// Sets the callback for warnings; see [`CallOptions::on_warning`].
    pub fn on_warning(mut self, f: impl Fn(&ResponseWarning) + Send + Sync + 'static) -> Self {
        self.options = self.options.on_warning(f);
        self
    }
}

impl<P: ListPage> IntoFuture for Listing<P> {
    type Output = Result<Vec<P::Item>, ClientError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { fetch_list::<P>(&self.core, &self.options).await })
    }
}

/// Returns the parameters of a request for one page.
pub(crate) fn page_params(cursor: Option<&str>) -> Result<ParamsWriter, ClientError> {
    params::write(|params| match cursor {
        Some(cursor) => params.put("cursor", cursor),
        None => Ok(()),
    })
}

/// Fetches all pages of a list. A refused cursor drops the cached pages and starts again, once
/// (`server/utilities/caching#interaction-with-pagination`).
pub(crate) async fn fetch_list<P: ListPage>(
    core: &ScopedCore,
    options: &CallOptions,
) -> Result<Vec<P::Item>, ClientError> {
    match fetch_pages::<P>(core, options).await? {
        ListFetch::Complete(items) => Ok(items),
        ListFetch::CursorRefused(error) => {
            tracing::debug!(error = %carryall_proto::PrintableFmt(&error), "cursor refused; listing again from the start");
            if let Some(view) = core.cache_view() {
                view.remove_list(P::METHOD.as_str());
            }
            match fetch_pages::<P>(core, &options.clone().no_cache()).await? {
                ListFetch::Complete(items) => Ok(items),
                ListFetch::CursorRefused(error) => Err(error),
            }
        }
    }
}

enum ListFetch<T> {
    Complete(Vec<T>),
    /// The server refused a cursor that it issued.
    CursorRefused(ClientError),
}

/// Fetches all pages of a list, starting at the first.
async fn fetch_pages<P: ListPage>(
    core: &ScopedCore,
    options: &CallOptions,
) -> Result<ListFetch<P::Item>, ClientError> {
    let (mut items, mut seen, mut cursor) = (Vec::new(), HashSet::new(), None::<String>);
    let too_long = |reason: String| ResponseError::ListTooLong {
        method: P::METHOD,
        reason,
    };
    let (max_pages, max_bytes) = (core.config.max_pages, core.config.max_list_bytes);
    let mut bytes = 0_usize;
    for _ in 0..max_pages {
        let (mut page, length) = match fetch_page::<P>(core, cursor.as_deref(), options).await {
            Ok(page) => page,
            // The cursor is the only parameter that the server can refuse.
            Err(error) if cursor.is_some() && error.is_invalid_params() => {
                return Ok(ListFetch::CursorRefused(error));
            }
            Err(error) => return Err(error),
        };
        bytes = bytes.saturating_add(length);
        if bytes > max_bytes {
            return Err(too_long(format!(
                "more than {max_bytes} bytes, the limit of this client"
            ))
            .into());
        }
        let next = page.take_next_cursor();
        items.extend(page.into_items());
        if items.len() > MAX_ITEMS {
            return Err(too_long(format!("more than {MAX_ITEMS} items")).into());
        }
        let Some(next) = next else {
            P::on_complete(core, &items);
            return Ok(ListFetch::Complete(items));
        };
        if seen.contains(&next) {
            // Some servers repeat an earlier cursor, or send an empty one, to say "no more". Pages
            // may have been repeated before that, so duplicates are removed.
            let mut keys = HashSet::new();
            items.retain(|item| keys.insert(P::key(item).to_owned()));
            let mut warnings = Warnings::default();
            warnings.add(ResponseWarning::PageLoop {
                method: P::METHOD,
                cursor: printable(&next),
            });
            warnings.report(&P::METHOD, options.on_warning.as_ref(), false);
            P::on_complete(core, &items);
            return Ok(ListFetch::Complete(items));
        }
        seen.insert(next.clone());
        cursor = Some(next);
    }
    Err(too_long(format!(
        "more than {max_pages} pages, the limit of this client"
    ))
    .into())
}

/// Fetches one page. Returns it with the length of its text in bytes.
async fn fetch_page<P: ListPage>(
    core: &ScopedCore,
    cursor: Option<&str>,
    options: &CallOptions,
) -> Result<(P, usize), ClientError> {
    let mut spec = RequestSpec::new(P::METHOD, page_params(cursor)?);
    let fetched = core
        .fetch(&mut spec, None, options, &mut AttemptCount::default())
        .await?;
    let text = fetched.outcome.into_complete(&P::METHOD)?;
    let result = RawResult {
        core,
        method: &P::METHOD,
        text: &text,
        cached: fetched.cached,
    };
    Ok((result.decode::<P>(options)?, text.as_str().len()))
}
