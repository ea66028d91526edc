//! Subscriptions to changes (`basic/patterns/subscriptions`).

use crate::JsonObject;
use crate::object::object;

object! {
    /// The notifications that a client requests, or that a server agrees to send.
    #[derive(Default)]
    pub struct SubscriptionFilter {
        optional {
            /// Changes to the list of tools.
            tools_list_changed / with_tools_list_changed: bool = "toolsListChanged",
            /// Changes to the list of prompts.
            prompts_list_changed / with_prompts_list_changed: bool = "promptsListChanged",
            /// Changes to the list of resources.
            resources_list_changed / with_resources_list_changed: bool = "resourcesListChanged",
            /// Changes to the resources at these URIs.
            resource_subscriptions / with_resource_subscriptions: Vec<String> = "resourceSubscriptions",
            /// Changes to these tasks (Tasks extension).
            task_ids / with_task_ids: Vec<String> = "taskIds",
        }
        open extra;
    }
}

impl SubscriptionFilter {
    /// Returns whether changes to the list of tools are requested.
    #[must_use]
    pub fn wants_tools(&self) -> bool {
        self.tools_list_changed == Some(true)
    }

    /// Returns whether changes to the list of prompts are requested.
    #[must_use]
    pub fn wants_prompts(&self) -> bool {
        self.prompts_list_changed == Some(true)
    }

    /// Returns whether changes to the list of resources are requested.
    #[must_use]
    pub fn wants_resources(&self) -> bool {
        self.resources_list_changed == Some(true)
    }

    /// Returns the URIs of the subscribed resources.
    #[must_use]
    pub fn resource_uris(&self) -> &[String] {
        self.resource_subscriptions.as_deref().unwrap_or_default()
    }

    /// Returns the ids of the subscribed tasks.
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
            /// The requested notifications; the server sends no others.
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
            /// The requested notifications that the server agrees to send.
            notifications: SubscriptionFilter = "notifications",
        }
        optional {
            /// The `_meta` member; contains the id of the subscription.
            meta / with_meta: JsonObject = "_meta",
        }
        open extra;
    }
}

object! {
    /// The result of `subscriptions/listen`, sent when the server ends the subscription gracefully.
    #[derive(Default)]
    pub struct SubscriptionsListenResult {
        optional {
            /// The `_meta` member; contains the id of the subscription.
            meta / with_meta: JsonObject = "_meta",
        }
        skip { "resultType" }
        open extra;
    }
}
