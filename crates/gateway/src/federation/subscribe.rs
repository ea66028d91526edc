//! Splits a subscription among the upstreams.
//!
//! Changes of lists are asked of everybody. A resource is asked of the upstream that owns it and of
//! nobody else: the others are not to know its URI, and must not be able to announce changes of it.

use super::{Federation, extensions};
use crate::listen::Part;
use carryall_proto::Call;
use carryall_types::{ErrorObject, JsonObject, JsonValue, RawJson, SubscriptionFilter};
use std::collections::HashSet;

/// Different resources of one subscription. Further ones are not granted.
const MAX_RESOURCES: usize = 1_000;
/// Longer URIs are not granted.
const MAX_URI_BYTES: usize = 8 * 1024;

const RESOURCES: &str = "resourceSubscriptions";
/// Task ids say nothing about where a task is, and extensions that could are not relayed.
const TASKS: &str = "taskIds";

impl Federation {
    /// What to ask of each upstream that the subscription concerns. The error, if there is one, is
    /// why a resource may have an owner that is not known: an upstream could not be listed.
    ///
    /// # Errors
    /// When the filter cannot be read.
    pub(crate) async fn split_subscription(
        &self,
        mut call: Call,
    ) -> Result<(Vec<Part<'_>>, Option<ErrorObject>), ErrorObject> {
        extensions::limit(&mut call);
        let wanted = call.params().get("notifications");
        let read = wanted
            .and_then(|wanted| Some((wanted.decode::<JsonObject>().ok()?, wanted.decode().ok()?)));
        let Some((wanted, filter)): Option<(JsonObject, SubscriptionFilter)> = read else {
            return Err(ErrorObject::invalid_params(
                "\"notifications\" must be a filter of notifications",
            ));
        };
        let (resources, failure) = self.owned(filter.resource_uris(), &call).await;
        let mut shared = wanted.clone();
        shared.retain(|member, _| ![RESOURCES, TASKS].contains(&member.as_str()));
        let is_for_all = is_demanding(&shared) || !is_demanding(&wanted);
        let parts = self
            .upstreams
            .iter()
            .zip(resources)
            .filter_map(|(upstream, uris)| {
                if uris.is_empty() && !is_for_all {
                    return None;
                }
                let mut part = shared.clone();
                if !uris.is_empty() {
                    part.insert(RESOURCES.to_owned(), uris.into());
                }
                let mut call = call.clone();
                if part != wanted {
                    call.set_param("notifications", &RawJson::from(&JsonValue::Object(part)));
                }
                Some(Part { upstream, call })
            });
        Ok((parts.collect(), failure))
    }

    /// The URIs that each upstream owns. The lists are fetched again if there is one that nobody is
    /// known to own.
    async fn owned(&self, uris: &[String], call: &Call) -> (Vec<Vec<String>>, Option<ErrorObject>) {
        let mut owned = vec![Vec::new(); self.upstreams.len()];
        let mut distinct = HashSet::new();
        let readable = uris.iter().filter(|uri| uri.len() <= MAX_URI_BYTES);
        let distinct: Vec<&String> = readable
            .filter(|uri| distinct.insert(uri.as_str()))
            .take(MAX_RESOURCES)
            .collect();
        let (mut known, mut unknown): (Vec<_>, Vec<_>) = distinct
            .into_iter()
            .map(|uri| (uri, self.owner(uri)))
            .partition(|(_, owner)| owner.is_some());
        let mut failure = None;
        if !unknown.is_empty() {
            self.refresh_resources(call).await;
            for (uri, owner) in &mut unknown {
                *owner = self
                    .owner(uri)
                    .or_else(|| self.resources.owner_of_scheme(uri));
            }
            if unknown.iter().any(|(_, owner)| owner.is_none()) {
                failure = self.resources.failure();
            }
            known.append(&mut unknown);
        }
        for (uri, owner) in known {
            if let Some(owned) = owner.and_then(|owner| owned.get_mut(owner)) {
                owned.push(uri.clone());
            }
        }
        (owned, failure)
    }

    /// The upstream with the closest claim to a URI, which is also the first to be asked when it is
    /// read.
    fn owner(&self, uri: &str) -> Option<usize> {
        self.resources.claims(uri).first().copied()
    }
}

/// Whether a filter asks for anything.
fn is_demanding(filter: &JsonObject) -> bool {
    let is_empty = |value: &JsonValue| match value {
        JsonValue::Null | JsonValue::Bool(false) => true,
        JsonValue::Array(items) => items.is_empty(),
        _ => false,
    };
    !filter.values().all(is_empty)
}
