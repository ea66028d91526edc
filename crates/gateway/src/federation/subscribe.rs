//! Splits a subscription among the upstreams.
//!
//! Every upstream is asked for list changes. A resource is only asked of the upstream that owns it:
//! the others must not learn its URI or be able to announce changes of it.

use super::{Federation, extensions};
use crate::listen::SubscriptionPart;
use carryall_proto::Call;
use carryall_types::{ErrorObject, JsonObject, JsonValue, RawJson, SubscriptionFilter};
use std::collections::HashSet;

/// The most distinct resources of one subscription; further ones are not granted.
const MAX_RESOURCES: usize = 1_000;
/// The longest URI that is granted.
const MAX_URI_BYTES: usize = 8 * 1024;

const RESOURCES: &str = "resourceSubscriptions";
/// Task ids do not say which upstream a task is on, and the Tasks extension is not passed on.
const TASKS: &str = "taskIds";

impl Federation {
    /// Returns the parts of the subscription for each upstream that it concerns. If an upstream
    /// could not be listed, so that the owner of a resource may be unknown, also returns its error.
    ///
    /// # Errors
    /// If the filter cannot be decoded.
    pub(crate) async fn split_subscription(
        &self,
        mut call: Call,
    ) -> Result<(Vec<SubscriptionPart<'_>>, Option<ErrorObject>), ErrorObject> {
        extensions::remove_unroutable(&mut call);
        let requested = call.params().get("notifications");
        let decoded = requested.and_then(|requested| {
            Some((
                requested.decode::<JsonObject>().ok()?,
                requested.decode().ok()?,
            ))
        });
        let Some((requested, filter)): Option<(JsonObject, SubscriptionFilter)> = decoded else {
            return Err(ErrorObject::invalid_params(
                "\"notifications\" must be a filter of notifications",
            ));
        };
        let (resources, failure) = self.resources_by_owner(filter.resource_uris(), &call).await;
        let mut shared = requested.clone();
        shared.retain(|member, _| ![RESOURCES, TASKS].contains(&member.as_str()));
        let concerns_all = !is_empty_filter(&shared) || is_empty_filter(&requested);
        let parts = self
            .upstreams
            .iter()
            .zip(resources)
            .filter_map(|(upstream, uris)| {
                if uris.is_empty() && !concerns_all {
                    return None;
                }
                let mut part = shared.clone();
                if !uris.is_empty() {
                    part.insert(RESOURCES.to_owned(), uris.into());
                }
                let mut call = call.clone();
                if part != requested {
                    call.set_param("notifications", &RawJson::from(&JsonValue::Object(part)));
                }
                Some(SubscriptionPart { upstream, call })
            });
        Ok((parts.collect(), failure))
    }

    /// Returns the URIs that each upstream owns. If the owner of any is unknown, the resources are
    /// listed again first.
    async fn resources_by_owner(
        &self,
        uris: &[String],
        call: &Call,
    ) -> (Vec<Vec<String>>, Option<ErrorObject>) {
        let mut by_owner = vec![Vec::new(); self.upstreams.len()];
        let mut distinct = HashSet::new();
        let acceptable = uris.iter().filter(|uri| uri.len() <= MAX_URI_BYTES);
        let distinct: Vec<&String> = acceptable
            .filter(|uri| distinct.insert(uri.as_str()))
            .take(MAX_RESOURCES)
            .collect();
        let (mut owned, mut unowned): (Vec<_>, Vec<_>) = distinct
            .into_iter()
            .map(|uri| (uri, self.owner(uri)))
            .partition(|(_, owner)| owner.is_some());
        let mut failure = None;
        if !unowned.is_empty() {
            self.refresh_resources(call).await;
            for (uri, owner) in &mut unowned {
                *owner = self
                    .owner(uri)
                    .or_else(|| self.resources.owner_of_scheme(uri));
            }
            if unowned.iter().any(|(_, owner)| owner.is_none()) {
                failure = self.resources.failure();
            }
            owned.append(&mut unowned);
        }
        for (uri, owner) in owned {
            if let Some(uris) = owner.and_then(|owner| by_owner.get_mut(owner)) {
                uris.push(uri.clone());
            }
        }
        (by_owner, failure)
    }

    /// Returns the upstream with the closest claim to a URI, which is also the first to be read
    /// from.
    fn owner(&self, uri: &str) -> Option<usize> {
        self.resources.claims(uri).first().copied()
    }
}

/// Returns whether a filter requests nothing.
fn is_empty_filter(filter: &JsonObject) -> bool {
    filter.values().all(|value| match value {
        JsonValue::Null | JsonValue::Bool(false) => true,
        JsonValue::Array(items) => items.is_empty(),
        _ => false,
    })
}
