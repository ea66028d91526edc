//! Refreshes the resource index from the lists of the upstreams.

use super::Federation;
use super::fan_out::PartialAnswer;
use super::resource_index::{EntryKind, ListedResources};
use crate::error::GatewayError;
use crate::page_budget::{NextPage, PageBudget};
use crate::upstream::Upstream;
use carryall_proto::{Call, Params, ParamsWriter};
use carryall_types::{ErrorObject, Method, RawJson};
use futures_util::future::join_all;
use serde::Deserialize;
use tokio::time::timeout;

/// The most pages of one list: enough for the largest list that the index takes at a page size of
/// 128.
const MAX_PAGES: usize = 64;

impl Federation {
    /// Lists the resources of the upstreams whose entries are missing or old, on behalf of the
    /// caller of `call`. Concurrent callers share one refresh. Dropping the future leaves the index
    /// unchanged.
    pub(super) async fn refresh_resources(&self, call: &Call) {
        let _refreshing = self.resources.refreshing.lock().await;
        let refreshes = self.resources.due().into_iter().map(|position| async move {
            let upstream = &self.upstreams[position];
            let listed = timeout(self.timeout, self.list_resources(upstream, call))
                .await
                .unwrap_or_else(|_| Err(GatewayError::Timeout(self.timeout).to_error()));
            self.resources.set(position, listed);
        });
        join_all(refreshes).await;
    }

    /// Lists the resources and templates of one upstream.
    async fn list_resources(
        &self,
        upstream: &Upstream,
        call: &Call,
    ) -> Result<ListedResources, ErrorObject> {
        let mut listed = ListedResources::default();
        let mut budget = PageBudget::new(MAX_PAGES);
        for kind in [EntryKind::Resource, EntryKind::Template] {
            let list = list_method(kind);
            let mut cursor = None;
            budget.start_list();
            loop {
                let page = page_call(call, list.clone(), cursor.as_ref());
                let result = match self.fan_out(vec![(upstream, page)]).await.pop() {
                    Some(PartialAnswer::Result(result)) => result,
                    Some(PartialAnswer::Failed(error) | PartialAnswer::Late(error)) => {
                        return Err(error);
                    }
                    Some(PartialAnswer::Unsupported) | None => break,
                };
                for uri in uris(kind, &result) {
                    listed.add(kind, &uri);
                }
                match budget.count_page(&result) {
                    NextPage::Cursor(next) if !listed.is_full() => cursor = Some(next),
                    NextPage::Cursor(_) | NextPage::End => break,
                    NextPage::LimitReached(limit) => {
                        let name = upstream.name();
                        tracing::warn!(upstream = name, method = %list, limit, "the list exceeds a limit; further entries are not indexed");
                        break;
                    }
                }
            }
        }
        Ok(listed)
    }
}

fn list_method(kind: EntryKind) -> Method {
    match kind {
        EntryKind::Resource => Method::ResourcesList,
        EntryKind::Template => Method::ResourcesTemplatesList,
    }
}

/// Returns a request for one page on behalf of the caller of `call`.
fn page_call(call: &Call, list: Method, cursor: Option<&String>) -> Call {
    let mut params = ParamsWriter::new();
    if let Some(cursor) = cursor {
        // Serialising a string cannot fail.
        let _ = params.put("cursor", cursor);
    }
    call.derive(call.id().clone(), list, params.finish())
}

/// Returns the URIs or templates on a page. Entries without one are left out.
fn uris(kind: EntryKind, result: &RawJson) -> Vec<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct UriFields {
        uri: Option<String>,
        uri_template: Option<String>,
    }
    let Ok(members) = Params::parse(result.clone()) else {
        return Vec::new();
    };
    let list = match kind {
        EntryKind::Resource => "resources",
        EntryKind::Template => "resourceTemplates",
    };
    let entries: Vec<RawJson> = members
        .get(list)
        .and_then(|list| list.decode().ok())
        .unwrap_or_default();
    let uri = |entry: RawJson| {
        let fields: UriFields = entry.decode().ok()?;
        match kind {
            EntryKind::Resource => fields.uri,
            EntryKind::Template => fields.uri_template,
        }
    };
    entries.into_iter().filter_map(uri).collect()
}
