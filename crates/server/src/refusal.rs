//! The errors that the server itself answers with: one concise sentence each, whatever the request holds
//! (`schema#error`).

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
    ErrorObject::new(code::INTERNAL_ERROR, "The server is at its limit of running calls; try again later")
}

pub(crate) fn too_often(what: &str, wait: Duration) -> ErrorObject {
    ErrorObject::new(TOO_OFTEN, format!("Too many {what}; try again in {} ms", wait.as_millis() + 1))
}

pub(crate) fn too_many_subscriptions(limit: usize) -> ErrorObject {
    ErrorObject::new(TOO_MANY_SUBSCRIPTIONS, format!("The server is at its limit of {limit} subscriptions"))
}

pub(crate) fn subscriptions_closed() -> ErrorObject {
    ErrorObject::new(code::INTERNAL_ERROR, "The server takes no more subscriptions, since it is shutting down")
}

/// The beginning of `text`, on one line.
pub(crate) fn concise(text: impl Display) -> String {
    let text = text.to_string();
    let mut short: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('\u{2026}');
    }
    short
}
