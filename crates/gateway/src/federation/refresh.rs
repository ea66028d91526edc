//! Fetches what the upstreams list, for URIs that nobody is known to claim.

use super::Federation;
use super::fan_out::Part;
use super::resource_index::{Kind, Listing};
use crate::upstream::Upstream;
use crate::walk::{NextPage, PageBudget};
use carryall_proto::{Call, Params, ParamsWriter};
use carryall_types::{ErrorObject, Method, RawJson};
use futures_util::future::join_all;
use serde::Deserialize;

/// Pages of one list that are read. Enough for the largest listing that the index takes at a page
/// size of 128.
const MAX_PAGES: usize = 64;

impl Federation {
    /// Lists the resources of the upstreams whose listings are missing or old, on behalf of the
    /// caller of `call`. Concurrent callers wait for one refresh. Dropping the future leaves the
    /// index as it was.
    pub(super) async fn refresh_resources(&self, call: &Call) {
        let _refreshing = self.resources.refreshing.lock().await;
        let fetches = self.resources.due().into_iter().map(|at| async move {
            let upstream = &self.upstreams[at];
            let listed = tokio::time::timeout(self.patience, self.listing(upstream, call)).await;
            let listed = listed.unwrap_or_else(|_| {
                Err(crate::fault::GatewayError::Timeout(self.patience).to_error())
            });
            self.resources.set(at, listed);
        });
        join_all(fetches).await;
    }

    /// All that one upstream lists.
    async fn listing(&self, upstream: &Upstream, call: &Call) -> Result<Listing, ErrorObject> {
        let mut listing = Listing::default();
        let mut walk = PageBudget::new(MAX_PAGES);
        for (kind, list) in [
            (Kind::Resource, Method::ResourcesList),
            (Kind::Template, Method::ResourcesTemplatesList),
        ] {
            let mut cursor = None;
            walk.next_list();
            loop {
                let page = page_call(call, list.clone(), cursor.as_ref());
                let result = match self.ask(vec![(upstream, page)]).await.pop() {
                    Some(Part::Result(result)) => result,
                    Some(Part::LeftOut(error) | Part::Late(error)) => return Err(error),
                    // It has no such list.
                    Some(Part::Nothing) | None => break,
                };
                uris(kind, &result)
                    .iter()
                    .for_each(|uri| listing.add(kind, uri));
                match walk.onward(&result) {
                    NextPage::To(next) if !listing.is_full() => cursor = Some(next),
                    NextPage::To(_) | NextPage::Done => break,
                    NextPage::Stopped(limit) => {
                        let name = upstream.name();
                        tracing::warn!(upstream = name, method = %list, limit, "list is longer than is read of it");
                        break;
                    }
                }
            }
        }
        Ok(listing)
    }
}

/// A request for one page in the name of whoever makes `call`.
fn page_call(call: &Call, list: Method, cursor: Option<&String>) -> Call {
    let mut params = ParamsWriter::new();
    if let Some(cursor) = cursor {
        // A string can always be written.
        let _ = params.put("cursor", cursor);
    }
    call.derive(call.id().clone(), list, params.finish())
}

/// The URIs on a page. Entries without one have none to index.
fn uris(kind: Kind, result: &RawJson) -> Vec<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry {
        uri: Option<String>,
        uri_template: Option<String>,
    }
    let Ok(members) = Params::parse(result.clone()) else {
        return Vec::new();
    };
    let list = if kind == Kind::Resource {
        "resources"
    } else {
        "resourceTemplates"
    };
    let entries: Vec<RawJson> = members
        .get(list)
        .and_then(|list| list.decode().ok())
        .unwrap_or_default();
    let uri = |entry: RawJson| {
        let entry: Entry = entry.decode().ok()?;
        if kind == Kind::Resource {
            entry.uri
        } else {
            entry.uri_template
        }
    };
    entries.into_iter().filter_map(uri).collect()
}
