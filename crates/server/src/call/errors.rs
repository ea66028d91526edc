//! The errors that the server itself answers with: one concise sentence each, whatever the request
//! holds (`schema#error`).

use carryall_proto::budget::BudgetExceeded;
use carryall_types::{ErrorObject, code};
use std::fmt::Display;
use std::time::Duration;

/// How many characters of what the client has sent an error gives back.
const SHOWN: usize = 160;

// Outside the range that JSON-RPC reserves (`basic/index#error-codes`).
const TOO_MANY_SUBSCRIPTIONS: i64 = -31001;
const TOO_OFTEN: i64 = -31002;

pub(crate) fn method_not_found(method: &str) -> ErrorObject {
    ErrorObject::method_not_found(&concise(method))
}

/// There is no such `kind` of thing, for this caller at least.
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

pub(crate) fn too_often(what: &str, wait: Duration) -> ErrorObject {
    ErrorObject::new(
        TOO_OFTEN,
        format!("Too many {what}; try again in {} ms", wait.as_millis() + 1),
    )
}

/// The server is at its limit of subscriptions; without one, this caller is at its share.
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

/// No further task can be kept.
pub(crate) fn too_many_tasks(exceeded: BudgetExceeded) -> ErrorObject {
    let message = match exceeded {
        BudgetExceeded::Caller => {
            "This caller has as many tasks as one caller may; try again when some have expired"
        }
        BudgetExceeded::Total => "The server keeps as many tasks as it may; try again later",
    };
    ErrorObject::new(code::INTERNAL_ERROR, message)
}

/// What a task has to keep does not fit any more.
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

/// The beginning of `text`, on one line.
pub(crate) fn concise(text: impl Display) -> String {
    let text = text.to_string();
    let mut short: String = text
        .chars()
        .take(SHOWN)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('\u{2026}');
    }
    short
}
