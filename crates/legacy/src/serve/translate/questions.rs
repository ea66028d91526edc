//! Questions as requests of a server.

use crate::revision::Revision as _;
use carryall_proto::Notification;
use carryall_types::{
    ElicitRequestParams, ErrorObject, InputRequest, JsonObject, JsonValue, ProtocolVersion, RawJson,
};
use serde::Serialize;
use serde_json::json;

/// The parameters of a question for a client of `version`, and the id of the page that it sends the
/// user to, if it does.
pub(crate) fn params(
    version: ProtocolVersion,
    question: &InputRequest,
) -> Result<(RawJson, Option<String>), ErrorObject> {
    let object = |params: &dyn erased::Object| params.object().ok_or_else(ErrorObject::internal);
    let (params, page) = match question {
        InputRequest::Elicit(ElicitRequestParams::Form(form)) => {
            let mut params = object(form)?;
            if !version.has_url_elicitation() {
                params.remove("mode");
                with_named_values(&mut params);
            }
            (params, None)
        }
        InputRequest::Elicit(ElicitRequestParams::Url(page)) => {
            let mut params = object(page)?;
            let id = page_id().ok_or_else(ErrorObject::internal)?;
            params.insert("elicitationId".into(), id.clone().into());
            (params, Some(id))
        }
        InputRequest::CreateMessage(params) => (object(&**params)?, None),
        InputRequest::ListRoots(params) => (object(params)?, None),
    };
    Ok((RawJson::from(&JsonValue::Object(params)), page))
}

/// That what the user was sent to do is done (2025-11-25
/// `client/elicitation#completion-notifications-for-url-mode`).
pub(crate) fn page_finished(id: String) -> Notification {
    Notification::new(
        "notifications/elicitation/complete",
        RawJson::from(&json!({"elicitationId": id})),
    )
}

/// Choices with titles are written `oneOf` today; 2025-06-18 knows them as `enum` with `enumNames`.
fn with_named_values(params: &mut JsonObject) {
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
        let of = |name: &str| {
            choices
                .iter()
                .map(|choice| choice.get(name).cloned())
                .collect::<Option<Vec<_>>>()
        };
        if let (Some(values), Some(titles)) = (of("const"), of("title")) {
            field.remove("oneOf");
            field.insert("enum".into(), values.into());
            field.insert("enumNames".into(), titles.into());
        }
    }
}

fn page_id() -> Option<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(format!("{:032x}", u128::from_le_bytes(random)))
}

mod erased {
    use super::{JsonObject, JsonValue, Serialize};

    /// Whatever is written as an object.
    pub(super) trait Object {
        fn object(&self) -> Option<JsonObject>;
    }

    impl<T: Serialize> Object for T {
        fn object(&self) -> Option<JsonObject> {
            match serde_json::to_value(self) {
                Ok(JsonValue::Object(object)) => Some(object),
                _ => None,
            }
        }
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

    fn asked(version: V, question: impl Into<InputRequest>) -> (JsonValue, Option<String>) {
        let (params, page) = params(version, &question.into()).unwrap();
        (params.decode().unwrap(), page)
    }

    // spec: elicitation-10, elicitation-11, elicitation-12
    #[test]
    fn a_form_is_asked_for_as_its_revision_knows_it() {
        let schema = RequestedSchema::new().select_titled(
            "seat",
            [("in", "Inside"), ("out", "Outside")],
            |field| field,
        );
        let form = ElicitRequestFormParams::new("Where?", schema);
        let (old, page) = asked(V::V2025_06_18, form.clone());
        assert_eq!(page, None);
        assert!(old.get("mode").is_none());
        assert_eq!(
            old["requestedSchema"]["properties"]["seat"]["enumNames"],
            json!(["Inside", "Outside"])
        );
        assert_eq!(
            old["requestedSchema"]["properties"]["seat"]["enum"],
            json!(["in", "out"])
        );
        let (new, _) = asked(V::V2025_11_25, form);
        assert_eq!(
            new["requestedSchema"]["properties"]["seat"]["oneOf"][0],
            json!({"const": "in", "title": "Inside"})
        );
    }

    // spec: elicitation-15
    #[test]
    fn a_page_has_an_id_that_nobody_guesses() {
        let page = ElicitRequestURLParams::new("Sign here", "https://example.com/sign");
        let (params, id) = asked(V::V2025_11_25, page.clone());
        let id = id.unwrap();
        assert_eq!(
            (&params["mode"], &params["elicitationId"]),
            (&json!("url"), &json!(id))
        );
        assert_ne!(asked(V::V2025_11_25, page).1.unwrap(), id);
        assert_eq!(
            page_finished(id.clone())
                .params
                .unwrap()
                .decode::<JsonValue>()
                .unwrap()["elicitationId"],
            json!(id)
        );
    }

    #[test]
    fn roots_are_asked_for_without_parameters() {
        assert_eq!(
            asked(V::V2024_11_05, ListRootsRequestParams::new()).0,
            json!({})
        );
    }
}
