//! Results and errors of calls.

use carryall_proto::{Call, Params, wire};
use carryall_types::{
    ElicitRequestParams, ErrorObject, InputRequests, JsonValue, Method, RawJson, code, decode_value,
};
use serde_json::json;

/// `URLElicitationRequiredError` of 2025-11-25.
const URL_ELICITATION_REQUIRED: i64 = -32042;
/// Maximum number of pages that are taken from that error.
const MAX_PAGES: usize = 16;

/// The result with the members that 2026-07-28 requires: its type, and how long it may be cached,
/// which is not at all (`server/utilities/caching#ttlms-field`).
pub(crate) fn result(method: &Method, result: &RawJson) -> RawJson {
    let Ok(members) = Params::parse(result.clone()) else {
        return result.clone();
    };
    let text = members.raw().as_str();
    let mut out = String::with_capacity(text.len() + 64);
    out.push('{');
    let mut put = |name: &str, value: &str| {
        if members.get_str(name).is_none() {
            if out.len() > 1 {
                out.push(',');
            }
            out.extend(["\"", name, "\":", value]);
        }
    };
    put("resultType", "\"complete\"");
    if method.is_cacheable() {
        put("ttlMs", "0");
        put("cacheScope", "\"private\"");
    }
    let rest = text
        .trim_ascii_start()
        .strip_prefix('{')
        .unwrap_or_default();
    if out.len() > 1 && !rest.trim_ascii_start().starts_with('}') {
        out.push(',');
    }
    out.push_str(rest);
    RawJson::from_trusted(out.into())
}

/// Translates the codes that differ (`basic/index#error-codes`).
///
/// A code that only 2026-07-28 defines means something else here, and codes that earlier
/// implementations allocated for themselves must not be sent any more: both become
/// [`code::INTERNAL_ERROR`].
pub(crate) fn error(call: &Call, mut error: ErrorObject) -> ErrorObject {
    if error.code == code::LEGACY_RESOURCE_NOT_FOUND && *call.method() == Method::ResourcesRead {
        error.code = code::INVALID_PARAMS;
        if error.data.is_none() {
            let uri = call.params().get("uri").unwrap_or(RawJson::NULL);
            error.data = Some(RawJson::from(
                &json!({"uri": uri.decode::<JsonValue>().unwrap_or_default()}),
            ));
        }
    } else if wire::is_modern(error.code) || !wire::may_emit(error.code) {
        error.message = format!("{} (code {} of a legacy server)", error.message, error.code);
        error.code = code::INTERNAL_ERROR;
    }
    error
}

/// The result that asks the caller to visit pages, for an error that requires that
/// (`client/elicitation#url-elicitation-required-error`).
///
/// With the error -32042 a 2025-11-25 server demands that the user visits pages before the call is
/// repeated. In 2026-07-28 that is a round whose answer is the repeated call. `None` for other
/// errors, and for callers that cannot show pages.
pub(crate) fn url_elicitation(call: &Call, error: &ErrorObject) -> Option<RawJson> {
    let is_supported = call.method().allows_rounds()
        && call.meta().client_capabilities().supports_elicitation_url();
    if error.code != URL_ELICITATION_REQUIRED || !is_supported {
        return None;
    }
    let data: JsonValue = error.data.as_ref()?.decode().ok()?;
    let mut questions = InputRequests::new();
    for (at, page) in data
        .get("elicitations")?
        .as_array()?
        .iter()
        .enumerate()
        .take(MAX_PAGES)
    {
        let mut page = page.as_object().cloned().unwrap_or_default();
        page.insert("mode".into(), "url".into());
        let Ok(page) = decode_value::<ElicitRequestParams>(JsonValue::Object(page)) else {
            tracing::warn!(
                page = at + 1,
                "ignored a malformed page in a URL elicitation error"
            );
            continue;
        };
        questions.insert(format!("page-{}", at + 1), page);
    }
    if questions.is_empty() {
        return None;
    }
    Some(RawJson::from(
        &json!({"resultType": "input_required", "inputRequests": questions}),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_testkit as testkit;

    // spec: caching-01
    #[test]
    fn results_get_the_members_that_they_lack() {
        let of = |method, text: &str| {
            result(&method, &RawJson::parse(text.to_owned()).unwrap())
                .as_str()
                .to_owned()
        };
        assert_eq!(
            of(Method::ToolsList, r#"{"tools":[],"x":1}"#),
            r#"{"resultType":"complete","ttlMs":0,"cacheScope":"private","tools":[],"x":1}"#
        );
        assert_eq!(
            of(Method::ToolsCall, r#"{ }"#),
            r#"{"resultType":"complete" }"#
        );
        assert_eq!(
            of(Method::ToolsList, r#"{"ttlMs":5}"#),
            r#"{"resultType":"complete","cacheScope":"private","ttlMs":5}"#
        );
    }

    // spec: base-jsonrpc-20, base-jsonrpc-21, base-jsonrpc-22, base-jsonrpc-23, base-jsonrpc-24
    #[test]
    fn error_codes_are_translated() {
        let read = testkit::call("resources/read", json!({"uri": "a:b"}));
        let found = error(&read, ErrorObject::new(-32002, "gone"));
        assert_eq!(found.code, -32602);
        assert_eq!(
            found.data.unwrap().decode::<JsonValue>().unwrap(),
            json!({"uri": "a:b"})
        );
        let call = testkit::call("tools/call", json!({"name": "x"}));
        for reserved in [-32000, -32001, -32002, -32042, -32020, -32021, -32022] {
            let told = error(&call, ErrorObject::new(reserved, "x"));
            assert_eq!(
                (told.code, told.message),
                (-32603, format!("x (code {reserved} of a legacy server)"))
            );
        }
        assert_eq!(
            [7, -32800].map(|own| error(&call, ErrorObject::new(own, "x")).code),
            [7, -32800]
        );
        assert_eq!(error(&call, ErrorObject::new(-32601, "x")).code, -32601);
    }

    #[test]
    fn a_malformed_page_does_not_affect_the_others() {
        let mut call = testkit::call(
            "tools/call",
            json!({"name": "x", "_meta": testkit::meta_with(&json!({
                "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}
            }))}),
        );
        call.set_param("x", &RawJson::NULL);
        let page = json!({"mode": "url", "message": "Sign in", "url": "https://example.com/", "elicitationId": "e"});
        let data = RawJson::from(&json!({"elicitations": [{"mode": "url"}, 5, page]}));
        let required = url_elicitation(
            &call,
            &ErrorObject::new(URL_ELICITATION_REQUIRED, "").with_data(data),
        )
        .unwrap();
        let questions = required.decode::<JsonValue>().unwrap()["inputRequests"]
            .as_object()
            .unwrap()
            .len();
        assert_eq!(questions, 1);
    }
}
