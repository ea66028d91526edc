//! Compares a subscription's filter with what the server acknowledged.

use carryall_types::SubscriptionFilter;

/// Returns what is in `requested` and not in `acknowledged`.
pub(super) fn missing(
    requested: &SubscriptionFilter,
    acknowledged: &SubscriptionFilter,
) -> SubscriptionFilter {
    let flag = |requested: bool, acknowledged: bool| (requested && !acknowledged).then_some(true);
    let mut missing = SubscriptionFilter::new();
    missing.tools_list_changed = flag(requested.wants_tools(), acknowledged.wants_tools());
    missing.prompts_list_changed = flag(requested.wants_prompts(), acknowledged.wants_prompts());
    missing.resources_list_changed =
        flag(requested.wants_resources(), acknowledged.wants_resources());
    missing.resource_subscriptions =
        difference(requested.resource_uris(), acknowledged.resource_uris());
    missing.task_ids = difference(requested.tasks(), acknowledged.tasks());
    missing
}

fn difference(requested: &[String], acknowledged: &[String]) -> Option<Vec<String>> {
    let missing: Vec<String> = requested
        .iter()
        .filter(|item| !acknowledged.contains(item))
        .cloned()
        .collect();
    (!missing.is_empty()).then_some(missing)
}
