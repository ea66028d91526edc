//! `resources/list` where templates list their instances.

use super::handler_future::ServerFuture;
use super::{Dispatcher, usable_sealer};
use crate::call::ctx::Ctx;
use crate::call::handler_error::HandlerError;
use crate::catalogue::Catalogue;
use crate::catalogue::instances::ListQuery;
use crate::catalogue::list::{ListKind, ListSettings, Listed as _, PageCursors};
use crate::catalogue::resource::ResourceEntry;
use carryall_proto::Call;
use carryall_types::{ErrorObject, RawJson};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Dispatcher {
    pub(super) fn list_with_instances(
        &self,
        call: Call,
        cursor: Option<String>,
        catalogue: Arc<Catalogue>,
    ) -> Result<ServerFuture, ErrorObject> {
        let settings = self.catalogue.list_settings();
        self.run(call, move |ctx| async move {
            page(&ctx, &catalogue, cursor.as_deref(), settings).await
        })
    }
}

/// Merges the resources of the catalogue with the instances of its templates, in the order of their
/// URIs, and returns the page behind `cursor`.
async fn page(
    ctx: &Ctx,
    catalogue: &Catalogue,
    cursor: Option<&str>,
    settings: ListSettings,
) -> Result<RawJson, HandlerError> {
    let (environment, caller) = (ctx.environment(), ctx.principal());
    let is_restricted = catalogue.resources.is_restricted() || catalogue.templates.is_restricted();
    let sealer = usable_sealer(environment).filter(|_| is_restricted);
    let cursors = PageCursors::new(&ListKind::RESOURCES, caller, sealer);
    let after = cursor.map(|cursor| cursors.open(cursor)).transpose();
    let after = after.map_err(HandlerError::protocol)?;
    // One more than a page, which tells whether there is another one.
    let limit = settings.page_size.saturating_add(1);
    let listed = catalogue.resources.after(after.as_deref());
    let mut entries: BTreeMap<String, RawJson> = listed
        .filter(|entry| entry.allows(caller))
        .take(limit)
        .map(|entry| (entry.key().to_owned(), entry.json().clone()))
        .collect();
    for template in catalogue.templates.iter() {
        let Some(instances) = &template.resource.instances else {
            continue;
        };
        if !template.allows(caller) {
            continue;
        }
        let query = ListQuery {
            after: after.clone(),
            limit,
        };
        for instance in instances.call(ctx.clone(), query).await? {
            if after.as_ref().is_some_and(|after| instance.uri <= *after) {
                continue;
            }
            check_instance(template, &instance.uri)?;
            let json = RawJson::from_value(&instance).map_err(HandlerError::internal)?;
            // A resource of its own hides the instance at its URI.
            entries.entry(instance.uri).or_insert(json);
            if entries.len() > limit {
                entries.pop_last();
            }
        }
    }
    let has_more = entries.len() == limit;
    if has_more {
        entries.pop_last();
    }
    let last = entries.keys().next_back().filter(|_| has_more);
    let next = last.and_then(|last| cursors.after(last));
    let cache = settings.cache_of(is_restricted);
    let results = &environment.results;
    Ok(results.page(
        ListKind::RESOURCES.member(),
        entries.values(),
        next.as_deref(),
        cache,
    ))
}

fn check_instance(template: &ResourceEntry, uri: &str) -> Result<(), HandlerError> {
    if template.matches(uri) && ListKind::is_valid_key(uri) {
        Ok(())
    } else {
        let key = template.key();
        Err(HandlerError::internal(format!(
            "the template {key:?} lists an instance that does not match it or is too long: {uri:?}"
        )))
    }
}
