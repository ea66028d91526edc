//! Merges the acknowledgements of the upstreams into one.

use super::filter::requested;
use super::open::OpenOutcome;
use carryall_proto::listen::subscription_meta;
use carryall_proto::{Call, Notification};
use carryall_types::{ErrorObject, JsonObject, JsonValue, RawJson, RequestId, notification};

/// Returns the acknowledgement for the client: what any upstream granted, and the list changes that
/// the gateway itself announces (`own_lists`). That of a single upstream is passed on unchanged.
///
/// # Errors
/// The error of an upstream, if none acknowledged.
pub(super) fn merge_acknowledgements(
    call: &Call,
    opened: &[OpenOutcome],
    own_lists: JsonObject,
) -> Result<Notification, ErrorObject> {
    let acknowledged: Vec<&Notification> = opened
        .iter()
        .filter_map(|outcome| match outcome {
            OpenOutcome::Acknowledged(acknowledged, _) => Some(acknowledged),
            OpenOutcome::Refused(_) | OpenOutcome::Failed(_) | OpenOutcome::TimedOut(_) => None,
        })
        .collect();
    let any_timed_out = opened
        .iter()
        .any(|outcome| matches!(outcome, OpenOutcome::TimedOut(_)));
    match acknowledged[..] {
        // Nothing requested has an owner, such as a resource that does not exist yet. The client
        // sees that nothing was granted.
        [] if opened.is_empty() => Ok(merged(call.id(), &[], own_lists)),
        [] if !any_timed_out => Err(first_error(opened)),
        [only] if !any_timed_out && own_lists.is_empty() => Ok(only.clone()),
        _ => {
            // An upstream that is still starting may announce list changes later.
            let lists = if any_timed_out {
                requested_lists(call)
            } else {
                own_lists
            };
            Ok(merged(call.id(), &acknowledged, lists))
        }
    }
}

/// Returns the list changes that a call requests.
pub(super) fn requested_lists(call: &Call) -> JsonObject {
    let lists = [
        "toolsListChanged",
        "promptsListChanged",
        "resourcesListChanged",
    ];
    let is_requested = |(name, value): &(String, JsonValue)| {
        lists.contains(&name.as_str()) && *value == JsonValue::Bool(true)
    };
    let requested: JsonObject = requested(call);
    requested.into_iter().filter(is_requested).collect()
}

fn merged(id: &RequestId, acknowledged: &[&Notification], mut all: JsonObject) -> Notification {
    for one in acknowledged {
        let params: Option<JsonObject> =
            one.params.as_ref().and_then(|params| params.decode().ok());
        let Some(JsonValue::Object(filter)) =
            params.and_then(|mut params| params.remove("notifications"))
        else {
            continue;
        };
        for (member, value) in filter {
            merge_member(all.entry(member).or_insert(JsonValue::Null), value);
        }
    }
    let params = JsonObject::from_iter([
        ("_meta".to_owned(), JsonValue::Object(subscription_meta(id))),
        ("notifications".to_owned(), JsonValue::Object(all)),
    ]);
    Notification::new(
        notification::SUBSCRIPTIONS_ACKNOWLEDGED,
        RawJson::from(&JsonValue::Object(params)),
    )
}

/// Merges a member of two filters: true if either is, and the union of lists.
fn merge_member(all: &mut JsonValue, one: JsonValue) {
    match (all, one) {
        (JsonValue::Array(all), JsonValue::Array(one)) => {
            for item in one {
                if !all.contains(&item) {
                    all.push(item);
                }
            }
        }
        (all @ (JsonValue::Null | JsonValue::Bool(false)), one) => *all = one,
        _ => {}
    }
}

fn first_error(opened: &[OpenOutcome]) -> ErrorObject {
    let mut errors = opened.iter().filter_map(|outcome| match outcome {
        OpenOutcome::Acknowledged(..) => None,
        OpenOutcome::Refused(error) | OpenOutcome::Failed(error) | OpenOutcome::TimedOut(error) => {
            Some(error)
        }
    });
    errors.next().cloned().unwrap_or_else(ErrorObject::internal)
}
