//! Listening for changes (`basic/patterns/subscriptions`).

use crate::JsonObject;
use crate::object::object;

object! {
    /// The notifications that a client wants, or that a server agreed to send.
    #[derive(Default)]
    pub struct SubscriptionFilter {
        optional {
            /// Changes of the list of tools.
            tools_list_changed / with_tools_list_changed: bool = "toolsListChanged",
            /// Changes of the list of prompts.
            prompts_list_changed / with_prompts_list_changed: bool = "promptsListChanged",
            /// Changes of the list of resources.
            resources_list_changed / with_resources_list_changed: bool = "resourcesListChanged",
            /// Changes of the resources at these URIs.
            resource_subscriptions / with_resource_subscriptions: Vec<String> = "resourceSubscriptions",
            /// Changes of these tasks (Tasks extension).
            task_ids / with_task_ids: Vec<String> = "taskIds",
        }
        open extra;
    }
}

impl SubscriptionFilter {
    /// Whether changes of the list of tools are wanted.
    #[must_use]
    pub fn wants_tools(&self) -> bool {
        self.tools_list_changed == Some(true)
    }

    /// Whether changes of the list of prompts are wanted.
    #[must_use]
    pub fn wants_prompts(&self) -> bool {
        self.prompts_list_changed == Some(true)
    }

    /// Whether changes of the list of resources are wanted.
    #[must_use]
    pub fn wants_resources(&self) -> bool {
        self.resources_list_changed == Some(true)
    }

    /// The URIs of the resources whose changes are wanted.
    #[must_use]
    pub fn resource_uris(&self) -> &[String] {
        self.resource_subscriptions.as_deref().unwrap_or_default()
    }

    /// The tasks whose changes are wanted.
    #[must_use]
    pub fn tasks(&self) -> &[String] {
        self.task_ids.as_deref().unwrap_or_default()
    }
}

object! {
    /// The parameters of `subscriptions/listen`.
    #[derive(Default)]
    pub struct SubscriptionsListenRequestParams {
        required {
            /// The notifications that the client wants; the server sends no others.
            notifications: SubscriptionFilter = "notifications",
        }
    }
}

object! {
    /// The parameters of `notifications/subscriptions/acknowledged`, the first message of a
    /// subscription.
    #[derive(Default)]
    pub struct SubscriptionsAcknowledgedNotificationParams {
        required {
            /// What the server agreed to send of what the client wanted.
            notifications: SubscriptionFilter = "notifications",
        }
        optional {
            /// The `_meta` member; carries the id of the subscription.
            meta / with_meta: JsonObject = "_meta",
        }
        open extra;
    }
}

object! {
    /// The result of `subscriptions/listen`: the server has ended the subscription in good order.
    #[derive(Default)]
    pub struct SubscriptionsListenResult {
        optional {
            /// The `_meta` member; carries the id of the subscription.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "resultType" }
        open extra;
    }
}
