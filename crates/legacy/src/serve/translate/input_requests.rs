//! Requests for input (`inputRequests`) as server-initiated requests of earlier revisions.

use crate::revision::Revision as _;
use carryall_proto::Notification;
use carryall_types::{
    ElicitRequestParams, ErrorObject, InputRequest, JsonObject, JsonValue, ProtocolVersion, RawJson,
};
use serde::Serialize;
use serde_json::json;

/// Returns the parameters of a request to a client of `version`, and the elicitation id if it is an
/// elicitation by URL.
pub(crate) fn params(
    version: ProtocolVersion,
    request: &InputRequest,
) -> Result<(RawJson, Option<String>), ErrorObject> {
    let (params, elicitation) = match request {
        InputRequest::Elicit(ElicitRequestParams::Form(form)) => {
            let mut params = to_object(form)?;
            if !version.has_url_elicitation() {
                params.remove("mode");
                use_enum_names(&mut params);
            }
            (params, None)
        }
        InputRequest::Elicit(ElicitRequestParams::Url(page)) => {
            let mut params = to_object(page)?;
            let id = elicitation_id().ok_or_else(ErrorObject::internal)?;
            params.insert("elicitationId".into(), id.clone().into());
            (params, Some(id))
        }
        InputRequest::CreateMessage(params) => (to_object(&**params)?, None),
        InputRequest::ListRoots(params) => (to_object(params)?, None),
    };
    Ok((RawJson::from(&JsonValue::Object(params)), elicitation))
}

/// Returns the notification that an elicitation by URL is complete (2025-11-25
/// `client/elicitation#completion-notifications-for-url-mode`).
pub(crate) fn completed(elicitation_id: String) -> Notification {
    Notification::new(
        "notifications/elicitation/complete",
        RawJson::from(&json!({"elicitationId": elicitation_id})),
    )
}

/// Rewrites titled choices, which are `oneOf` in 2026-07-28, as the `enum` and `enumNames` of
/// 2025-06-18.
fn use_enum_names(params: &mut JsonObject) {
    let properties = params
        .get_mut("requestedSchema")
        .and_then(|schema| schema.get_mut("properties"));
    let Some(JsonValue::Object(properties)) = properties else {
        return;
    };
    for (_, field) in properties.iter_mut() {
        let Some(field) = field.as_object_mut() else {
            continue;
        };
        let Some(JsonValue::Array(choices)) = field.get("oneOf").cloned() else {
            continue;
        };
        let all = |name: &str| {
            choices
                .iter()
                .map(|choice| choice.get(name).cloned())
                .collect::<Option<Vec<_>>>()
        };
        if let (Some(values), Some(titles)) = (all("const"), all("title")) {
            field.remove("oneOf");
            field.insert("enum".into(), values.into());
            field.insert("enumNames".into(), titles.into());
        }
    }
}

/// Returns a random id, which nobody can guess (2025-11-25
/// `client/elicitation#url-mode-elicitation-requests`).
fn elicitation_id() -> Option<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(format!("{:032x}", u128::from_le_bytes(random)))
}

fn to_object<T: Serialize>(params: &T) -> Result<JsonObject, ErrorObject> {
    match serde_json::to_value(params) {
        Ok(JsonValue::Object(object)) => Ok(object),
        _ => Err(ErrorObject::internal()),
    }
}

#[cfg(test)]
#[allow(deprecated)]
mod tests {
    use super::*;
    use ProtocolVersion as V;
    use carryall_types::{
        ElicitRequestFormParams, ElicitRequestURLParams, ListRootsRequestParams, RequestedSchema,
    };

    fn translated(version: V, request: impl Into<InputRequest>) -> (JsonValue, Option<String>) {
        let (params, id) = params(version, &request.into()).unwrap();
        (params.decode().unwrap(), id)
    }

    // spec: elicitation-10, elicitation-11, elicitation-12
    #[test]
    fn forms_are_written_as_the_revision_defines_them() {
        let schema = RequestedSchema::new().select_titled(
            "seat",
            [("in", "Inside"), ("out", "Outside")],
            |field| field,
        );
        let form = ElicitRequestFormParams::new("Where?", schema);
        let (old, id) = translated(V::V2025_06_18, form.clone());
        assert_eq!(id, None);
        assert!(old.get("mode").is_none());
        assert_eq!(
            old["requestedSchema"]["properties"]["seat"]["enumNames"],
            json!(["Inside", "Outside"])
        );
        assert_eq!(
            old["requestedSchema"]["properties"]["seat"]["enum"],
            json!(["in", "out"])
        );
        let (new, _) = translated(V::V2025_11_25, form);
        assert_eq!(
            new["requestedSchema"]["properties"]["seat"]["oneOf"][0],
            json!({"const": "in", "title": "Inside"})
        );
    }

    // spec: elicitation-15
    #[test]
    fn url_elicitations_have_random_ids() {
        let page = ElicitRequestURLParams::new("Sign here", "https://example.com/sign");
        let (params, id) = translated(V::V2025_11_25, page.clone());
        let id = id.unwrap();
        assert_eq!(
            (&params["mode"], &params["elicitationId"]),
            (&json!("url"), &json!(id))
        );
        assert_ne!(translated(V::V2025_11_25, page).1.unwrap(), id);
        assert_eq!(
            completed(id.clone())
                .params
                .unwrap()
                .decode::<JsonValue>()
                .unwrap()["elicitationId"],
            json!(id)
        );
    }

    #[test]
    fn roots_requests_have_no_parameters() {
        assert_eq!(
            translated(V::V2024_11_05, ListRootsRequestParams::new()).0,
            json!({})
        );
    }
}
