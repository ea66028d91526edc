//! The messages of a `subscriptions/listen` stream (`basic/patterns/subscriptions`).

use crate::{Notification, Response, key};
use carryall_types::{
    JsonObject, JsonValue, RawJson, RequestId, ServerCapabilities, SubscriptionFilter, task_method,
};
use serde_json::json;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// A change that subscriptions report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The list of tools.
    Tools,
    /// The list of prompts.
    Prompts,
    /// The list of resources or of their templates.
    Resources,
    /// The content of the resource with this URI.
    Resource(Arc<str>),
    /// The state of a task (Tasks extension).
    Task(TaskChange),
}

/// The new state of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskChange {
    /// The task id.
    pub id: Arc<str>,
    /// The whole task, a JSON object as in the result of `tasks/get`.
    pub task: RawJson,
}

impl Change {
    /// Returns the method of the notification that reports the change.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resources => "notifications/resources/list_changed",
            Self::Resource(_) => "notifications/resources/updated",
            Self::Task(_) => task_method::CHANGED,
        }
    }

    /// Returns the notification for the subscription opened by the listen request `id`.
    #[must_use]
    pub fn notification(&self, id: &RequestId) -> Notification {
        let mut params = json!({"_meta": subscription_meta(id)});
        match self {
            Self::Resource(uri) => params["uri"] = JsonValue::from(&**uri),
            Self::Task(change) => {
                let members: JsonObject = change.task.decode().unwrap_or_default();
                let members = members
                    .into_iter()
                    .filter(|(name, _)| name != "resultType" && name != "_meta");
                if let Some(params) = params.as_object_mut() {
                    params.extend(members);
                }
            }
            Self::Tools | Self::Prompts | Self::Resources => {}
        }
        Notification::new(self.method(), RawJson::from(&params))
    }
}

/// Returns the part of a filter that a server with these capabilities honours, with at most
/// `max_resources` distinct resources. The acknowledgement reports it to the client.
#[must_use]
pub fn honoured(
    requested: &SubscriptionFilter,
    supported: &ServerCapabilities,
    max_resources: usize,
) -> SubscriptionFilter {
    let lists = |offered: Option<Option<bool>>, wanted: bool| {
        (wanted && offered.flatten() == Some(true)).then_some(true)
    };
    let tools = supported.tools.as_ref().map(|tools| tools.list_changed);
    let prompts = supported
        .prompts
        .as_ref()
        .map(|prompts| prompts.list_changed);
    let resources = supported
        .resources
        .as_ref()
        .map(|resources| resources.list_changed);
    let subscribe = supported
        .resources
        .as_ref()
        .and_then(|resources| resources.subscribe);
    let wanted = requested
        .resource_subscriptions
        .as_ref()
        .filter(|_| subscribe == Some(true));
    SubscriptionFilter {
        tools_list_changed: lists(tools, requested.wants_tools()),
        prompts_list_changed: lists(prompts, requested.wants_prompts()),
        resources_list_changed: lists(resources, requested.wants_resources()),
        resource_subscriptions: wanted.map(|uris| distinct(uris, max_resources)),
        // Extensions honour their own members.
        ..SubscriptionFilter::default()
    }
}

fn distinct(uris: &[String], limit: usize) -> Vec<String> {
    let mut seen = HashSet::new();
    uris.iter()
        .filter(|uri| seen.len() < limit && seen.insert(uri.as_str()))
        .cloned()
        .collect()
}

/// Whether a subscription with this filter reports the change.
#[must_use]
pub fn matches(filter: &SubscriptionFilter, change: &Change) -> bool {
    match change {
        Change::Tools => filter.wants_tools(),
        Change::Prompts => filter.wants_prompts(),
        Change::Resources => filter.wants_resources(),
        Change::Resource(uri) => subscription_of(filter, uri).is_some(),
        Change::Task(change) => filter.tasks().iter().any(|id| **id == *change.id),
    }
}

/// Returns the acknowledgement, the first message of every subscription.
#[must_use]
pub fn acknowledged(id: &RequestId, honoured: &SubscriptionFilter) -> Notification {
    let filter = serde_json::to_value(honoured).unwrap_or_else(|_| json!({}));
    let params = json!({"_meta": subscription_meta(id), "notifications": filter});
    Notification::new(
        "notifications/subscriptions/acknowledged",
        RawJson::from(&params),
    )
}

/// Returns the result with which a server ends a subscription.
#[must_use]
pub fn closing_response(id: &RequestId) -> Response {
    let result = json!({"resultType": "complete", "_meta": subscription_meta(id)});
    Response::result(id.clone(), RawJson::from(&result))
}

/// Returns the `_meta` of every message of the subscription opened by the listen request `id`.
#[must_use]
pub fn subscription_meta(id: &RequestId) -> JsonObject {
    let id = match id {
        RequestId::Number(number) => JsonValue::from(*number),
        RequestId::String(text) => JsonValue::from(&**text),
    };
    JsonObject::from_iter([(key::SUBSCRIPTION_ID.to_owned(), id)])
}

/// Whether `uri` is `resource` or below it: an update may name a part of the resource subscribed to
/// (`schema#resourceupdatednotificationparams`). Parts are whole path segments; nothing is below a
/// query.
#[must_use]
pub fn is_within(uri: &str, resource: &str) -> bool {
    match uri.strip_prefix(resource) {
        Some("") => true,
        Some(rest) => {
            !resource.is_empty()
                && !resource.contains(['?', '#'])
                && (resource.ends_with('/') || rest.starts_with('/'))
        }
        None => false,
    }
}

fn subscription_of<'a>(filter: &'a SubscriptionFilter, uri: &str) -> Option<&'a str> {
    filter
        .resource_uris()
        .iter()
        .map(String::as_str)
        .find(|resource| is_within(uri, resource))
}

/// Changes that a subscription has not reported yet, each once.
///
/// Memory is bounded: beyond the limit, updates below a subscribed resource are merged into one
/// update of that resource.
#[derive(Clone, Debug)]
pub struct PendingChanges {
    filter: SubscriptionFilter,
    limit: usize,
    /// Without duplicates. Searched linearly: a set would cost every idle subscription memory.
    queue: VecDeque<Change>,
}

impl PendingChanges {
    /// Creates an empty queue for a subscription with this honoured filter. The limit is at least
    /// large enough for the three lists and each subscribed resource and task.
    #[must_use]
    pub fn new(filter: SubscriptionFilter, limit: usize) -> Self {
        let least = 3 + filter.resource_uris().len() + filter.tasks().len();
        Self {
            filter,
            limit: limit.max(least),
            queue: VecDeque::new(),
        }
    }

    /// Returns the honoured filter.
    #[must_use]
    pub fn filter(&self) -> &SubscriptionFilter {
        &self.filter
    }

    /// Queues a change if it matches the filter. Returns whether the queue has changed.
    pub fn insert(&mut self, change: &Change) -> bool {
        if !matches(&self.filter, change) {
            return false;
        }
        if self.queue.len() >= self.limit && !self.queue.contains(change) {
            self.collapse();
            // There is room now; merged, this update does not fill the queue again.
            return self.push(collapsed(&self.filter, change));
        }
        self.push(change.clone())
    }

    /// Removes and returns the oldest change.
    pub fn pop(&mut self) -> Option<Change> {
        self.queue.pop_front()
    }

    /// Returns the number of pending changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn push(&mut self, change: Change) -> bool {
        // Only the latest state of a task is reported.
        if let Change::Task(new) = &change
            && let Some(there) = self
                .queue
                .iter_mut()
                .find(|there| matches!(there, Change::Task(old) if old.id == new.id))
        {
            let differs = *there != change;
            *there = change;
            return differs;
        }
        let new = !self.queue.contains(&change);
        if new {
            self.queue.push_back(change);
        }
        new
    }

    fn collapse(&mut self) {
        for change in std::mem::take(&mut self.queue) {
            self.push(collapsed(&self.filter, &change));
        }
    }
}

fn collapsed(filter: &SubscriptionFilter, change: &Change) -> Change {
    match change {
        Change::Resource(uri) => {
            Change::Resource(subscription_of(filter, uri).unwrap_or(uri).into())
        }
        list => list.clone(),
    }
}

#[cfg(test)]
mod tests;
