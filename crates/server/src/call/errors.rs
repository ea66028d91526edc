//! The JSON-RPC errors of the server itself. Their messages are one short sentence, whatever the
//! request contains (`schema#error`).

use carryall_proto::budget::BudgetExceeded;
use carryall_types::{ClientCapabilities, ErrorObject, JsonObject, JsonValue, RawJson, code};
use std::fmt::Display;
use std::time::Duration;

/// The most characters of the request that a message repeats.
const MAX_QUOTED: usize = 160;

// Outside the range that JSON-RPC reserves (`basic/index#error-codes`).
const TOO_MANY_SUBSCRIPTIONS: i64 = -31001;
const RATE_LIMITED: i64 = -31002;

pub(crate) fn method_not_found(method: &str) -> ErrorObject {
    ErrorObject::method_not_found(&concise(method))
}

/// The entry does not exist, or this caller may not know of it.
pub(crate) fn unknown(kind: &str, name: &str) -> ErrorObject {
    ErrorObject::invalid_params(format!("Unknown {kind}: {}", concise(name)))
}

pub(crate) fn invalid_params(why: impl Display) -> ErrorObject {
    ErrorObject::invalid_params(format!("Invalid params: {}", concise(why)))
}

pub(crate) fn busy() -> ErrorObject {
    ErrorObject::new(
        code::INTERNAL_ERROR,
        "The server is at its limit of running calls; try again later",
    )
}

pub(crate) fn rate_limited(what: &str, wait: Duration) -> ErrorObject {
    ErrorObject::new(
        RATE_LIMITED,
        format!("Too many {what}; try again in {} ms", wait.as_millis() + 1),
    )
}

/// The server is at its `limit` of subscriptions; without one, the caller is at its own.
pub(crate) fn too_many_subscriptions(limit: Option<usize>) -> ErrorObject {
    let message = match limit {
        Some(limit) => {
            format!("The server is at its limit of {limit} subscriptions, or of what they may name")
        }
        None => {
            "This caller has as many subscriptions as one caller may; close one first".to_owned()
        }
    };
    ErrorObject::new(TOO_MANY_SUBSCRIPTIONS, message)
}

/// There is no room for another task.
pub(crate) fn too_many_tasks(exceeded: BudgetExceeded) -> ErrorObject {
    let message = match exceeded {
        BudgetExceeded::Caller => {
            "This caller has as many tasks as one caller may; try again when some have expired"
        }
        BudgetExceeded::Total => "The server keeps as many tasks as it may; try again later",
    };
    ErrorObject::new(code::INTERNAL_ERROR, message)
}

/// There is no room for what a task has to keep.
pub(crate) fn task_too_large() -> ErrorObject {
    let message = "The task cannot keep this: it is more than this caller, or the server, may keep at the moment";
    ErrorObject::new(code::INTERNAL_ERROR, message)
}

pub(crate) fn subscriptions_closed() -> ErrorObject {
    ErrorObject::new(
        code::INTERNAL_ERROR,
        "The server takes no more subscriptions, since it is shutting down",
    )
}

/// `-32021`, naming the missing capabilities (`basic/index#_meta`).
pub(crate) fn missing_capabilities(missing: &[ClientCapabilities]) -> ErrorObject {
    let mut names = JsonValue::Object(JsonObject::new());
    for capabilities in missing {
        merge(
            &mut names,
            serde_json::to_value(capabilities).unwrap_or_default(),
        );
    }
    let data = RawJson::from(&serde_json::json!({"requiredCapabilities": names}));
    ErrorObject::new(
        code::MISSING_REQUIRED_CLIENT_CAPABILITY,
        format!("The request needs client capabilities that it does not declare: {names}"),
    )
    .with_data(data)
}

/// Merges one object into another, recursively.
fn merge(into: &mut JsonValue, from: JsonValue) {
    match (into, from) {
        (JsonValue::Object(into), JsonValue::Object(from)) => {
            for (name, value) in from {
                merge(
                    into.entry(name)
                        .or_insert_with(|| JsonValue::Object(JsonObject::new())),
                    value,
                );
            }
        }
        (into, from) => *into = from,
    }
}

/// Returns the beginning of `text`, on one line.
pub(crate) fn concise(text: impl Display) -> String {
    let text = text.to_string();
    let mut short: String = text
        .chars()
        .take(MAX_QUOTED)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(MAX_QUOTED).is_some() {
        short.push('\u{2026}');
    }
    short
}
