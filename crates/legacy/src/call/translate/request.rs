//! Requests in both directions.

use crate::message::LegacyRequest;
use carryall_proto::json::{Scanner, SyntaxError, write_str};
use carryall_proto::{Call, key};
use carryall_types::{ErrorObject, InputRequest, JsonObject, JsonValue, RawJson, RequestId};
use serde_json::json;

/// The members of `params` that earlier revisions do not have.
const MODERN_MEMBERS: [&str; 2] = ["inputResponses", "requestState"];
/// The members of `_meta` that earlier revisions do not have.
const MODERN_META: &str = "io.modelcontextprotocol/";
/// How the progress tokens that are sent to the server begin.
const TOKEN_PREFIX: &str = "t-";

/// The request for a call, with the id `id`. A progress token is replaced by one of the session,
/// because those of different callers may be equal.
pub(crate) fn request(call: &Call, id: i64) -> LegacyRequest {
    let params = call.params().raw().as_str();
    let mut meta: JsonObject = call
        .params()
        .get("_meta")
        .and_then(|meta| meta.decode().ok())
        .unwrap_or_default();
    meta.retain(|name, _| !name.starts_with(MODERN_META) && name != key::PROGRESS_TOKEN);
    if call.meta().progress_token().is_some() {
        let token = format!("{TOKEN_PREFIX}{id}");
        meta.insert(key::PROGRESS_TOKEN.to_owned(), token.into());
    }
    let mut text = Vec::with_capacity(params.len() + 32);
    let mut put = |name: &str, value: &str| {
        text.push(if text.is_empty() { b'{' } else { b',' });
        write_str(&mut text, name);
        text.push(b':');
        text.extend_from_slice(value.as_bytes());
    };
    for (name, value) in members(params).unwrap_or_default() {
        if name != "_meta" && !MODERN_MEMBERS.contains(&name) {
            put(name, value);
        }
    }
    if !meta.is_empty() {
        put("_meta", RawJson::from(&JsonValue::Object(meta)).as_str());
    }
    let params = if text.is_empty() {
        RawJson::EMPTY_OBJECT
    } else {
        text.push(b'}');
        RawJson::from_trusted(text.into())
    };
    LegacyRequest {
        id: RequestId::from(id),
        method: call.method().as_str().to_owned(),
        params,
    }
}

/// The names and values of an object whose names are written without escapes, as those of
/// [`Params`](carryall_proto::Params) are.
fn members(object: &str) -> Result<Vec<(&str, &str)>, SyntaxError> {
    let mut scanner = Scanner::new(object);
    let mut names = scanner.object()?;
    let mut members = Vec::new();
    while let Some(name) = names.next_key(&mut scanner)? {
        members.push((&object[name], &object[scanner.skip_value()?]));
    }
    Ok(members)
}

/// The id of the call with this progress token.
pub(crate) fn call_of_progress_token(token: &str) -> Option<i64> {
    token.strip_prefix(TOKEN_PREFIX)?.parse().ok()
}

/// A request of the server as the question that 2026-07-28 has for it. `None` if it is not a
/// question.
pub(crate) fn question(request: &LegacyRequest) -> Option<Result<InputRequest, ErrorObject>> {
    let params = match request.method.as_str() {
        "elicitation/create" | "sampling/createMessage" => {
            request.params.decode().unwrap_or_default()
        }
        "roots/list" => json!({}),
        _ => return None,
    };
    let question = json!({"method": request.method, "params": params});
    Some(serde_json::from_value(question).map_err(|error| {
        ErrorObject::invalid_params(format!("Invalid params of {}: {error}", request.method))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_testkit as testkit;

    #[test]
    fn a_request_has_no_members_of_2026_07_28() {
        let meta = testkit::meta_with(&json!({"progressToken": 5, "vendor": 1}));
        let params = json!({
            "name": "add", "arguments": {"a": 1}, "inputResponses": {}, "requestState": "s",
            "_meta": meta,
        });
        let mut call = testkit::call("tools/call", params);
        call.set_param("x", &RawJson::NULL);
        let request = request(&call, 7);
        assert_eq!(request.id, 7.into());
        let params: JsonValue = request.params.decode().unwrap();
        assert_eq!(
            params,
            json!({
                "name": "add", "arguments": {"a": 1}, "x": null,
                "_meta": {"vendor": 1, "progressToken": "t-7"},
            })
        );
        assert_eq!(call_of_progress_token("t-7"), Some(7));
    }

    #[test]
    fn a_request_without_members_has_an_empty_object() {
        let call = testkit::call("tools/list", json!({}));
        assert_eq!(request(&call, 7).params.as_str(), "{}");
    }
}
