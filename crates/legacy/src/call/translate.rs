//! Requests for old servers and results from them, in the words of the other side.

use crate::message::Request;
use carryall_proto::{Call, Params, Printable, key, wire};
use carryall_types::{
    ClientCapabilities, ElicitRequestParams, ErrorObject, InputRequest, InputRequests, JsonObject,
    JsonValue, Method, ProtocolVersion, RawJson, RequestId, ServerCapabilities, code, decode_value,
};
use serde_json::json;

/// `URLElicitationRequiredError` of 2025-11-25.
const URL_ELICITATION_REQUIRED: i64 = -32042;
/// At most so many pages come with it.
const MAX_PAGES: usize = 16;

/// What only this revision has in `params`.
const OF_TODAY: [&str; 2] = ["inputResponses", "requestState"];

/// The request for a call: without what only this revision knows, with a progress token of the
/// session's own.
pub(crate) fn request(call: &Call, id: i64, token: Option<&str>) -> Request {
    let mut params: JsonObject = call.params().raw().decode().unwrap_or_default();
    params.retain(|name, _| !OF_TODAY.contains(&name.as_str()));
    let mut meta = match params.remove("_meta") {
        Some(JsonValue::Object(meta)) => meta,
        _ => JsonObject::new(),
    };
    meta.retain(|name, _| {
        !name.starts_with("io.modelcontextprotocol/") && name != key::PROGRESS_TOKEN
    });
    if let Some(token) = token {
        meta.insert(key::PROGRESS_TOKEN.to_owned(), token.into());
    }
    if !meta.is_empty() {
        params.insert("_meta".to_owned(), JsonValue::Object(meta));
    }
    let params = RawJson::from(&JsonValue::Object(params));
    Request {
        id: RequestId::from(id),
        method: call.method().as_str().to_owned(),
        params,
    }
}

/// What a server can notice of its client's capabilities: what it may ask. Callers that differ in
/// more share a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct VisibleCapabilities {
    form: bool,
    url: bool,
    sampling: bool,
    sampling_tools: bool,
    sampling_context: bool,
    roots: bool,
}

impl VisibleCapabilities {
    /// No capabilities.
    pub(crate) const NONE: Self = Self {
        form: false,
        url: false,
        sampling: false,
        sampling_tools: false,
        sampling_context: false,
        roots: false,
    };

    pub(crate) fn of(capabilities: &ClientCapabilities) -> Self {
        Self {
            form: capabilities.supports_elicitation_form(),
            url: capabilities.supports_elicitation_url(),
            sampling: capabilities.supports_sampling(),
            sampling_tools: capabilities.supports_sampling_tools(),
            sampling_context: capabilities
                .sampling
                .as_ref()
                .is_some_and(|sampling| sampling.context.is_some()),
            roots: capabilities.supports_roots(),
        }
    }

    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// These as capabilities, with what `own` declares for every session beside them.
    pub(crate) fn capabilities(self, own: &ClientCapabilities) -> ClientCapabilities {
        let mut capabilities: ClientCapabilities =
            serde_json::from_value(self.declared()).unwrap_or_default();
        capabilities.experimental.clone_from(&own.experimental);
        capabilities
    }

    fn declared(self) -> JsonValue {
        let object = |members: &[(&str, bool)]| {
            let there = members.iter().filter(|(_, there)| *there);
            JsonValue::Object(
                there
                    .map(|(name, _)| ((*name).to_owned(), json!({})))
                    .collect(),
            )
        };
        let mut declared = JsonObject::new();
        if self.form || self.url {
            declared.insert(
                "elicitation".into(),
                object(&[("form", self.form), ("url", self.url)]),
            );
        }
        if self.sampling {
            let members = [
                ("context", self.sampling_context),
                ("tools", self.sampling_tools),
            ];
            declared.insert("sampling".into(), object(&members));
        }
        if self.roots {
            declared.insert("roots".into(), json!({}));
        }
        JsonValue::Object(declared)
    }
}

/// Client capabilities as 2025-11-25 declares them; the revisions before it ignore what they do not
/// know. What nobody can notice is left out: that roots change is never told, and extensions are of
/// this revision.
pub(crate) fn capabilities(today: &ClientCapabilities) -> JsonValue {
    let mut declared = VisibleCapabilities::of(today).declared();
    if let (Some(experimental), Some(declared)) = (&today.experimental, declared.as_object_mut()) {
        declared.insert(
            "experimental".into(),
            JsonValue::Object(experimental.clone()),
        );
    }
    declared
}

/// A result with what this revision requires of it: its type, and how long it stays fresh, which is
/// not at all (`server/utilities/caching#ttlms-field`).
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

/// The one table of codes that differ. A code that only this revision defines, from a server that
/// does not speak it, does not mean what it seems to; and what earlier implementations allocated
/// for themselves is not sent any more (`basic/index#error-codes`).
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

/// `-32042` of 2025-11-25 said that the user has to visit pages before the call is made again
/// (`client/elicitation#url-elicitation-required-error`). In this revision that is a question of a
/// round, whose answer is the call made again. `None` for all else, and for callers that cannot
/// show pages.
pub(crate) fn pages_required(call: &Call, error: &ErrorObject) -> Option<RawJson> {
    let able = call.method().allows_rounds()
        && call.meta().client_capabilities().supports_elicitation_url();
    if error.code != URL_ELICITATION_REQUIRED || !able {
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
                "a malformed page that the server wants visited is left out"
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

/// A server's question, as this revision asks it. `None` for requests that are no questions.
pub(crate) fn question(request: &Request) -> Option<Result<InputRequest, ErrorObject>> {
    if !matches!(
        request.method.as_str(),
        "elicitation/create" | "sampling/createMessage" | "roots/list"
    ) {
        return None;
    }
    let mut params: JsonValue = request.params.decode().unwrap_or_default();
    if request.method == "roots/list" {
        params = json!({});
    }
    let question = json!({"method": request.method, "params": params});
    Some(serde_json::from_value(question).map_err(|error| {
        ErrorObject::invalid_params(format!("Invalid params of {}: {error}", request.method))
    }))
}

/// The capabilities in the answer to `initialize`. One that cannot be read is left out there as
/// well, so that it costs nobody the others.
pub(crate) fn readable_capabilities(initialized: &mut JsonObject) -> ServerCapabilities {
    let mut declared = match initialized.remove("capabilities") {
        Some(JsonValue::Object(declared)) => declared,
        other => {
            if other.is_some() {
                tracing::warn!(
                    "the capabilities in the answer to initialize are no object; taken for none"
                );
            }
            JsonObject::new()
        }
    };
    for name in ServerCapabilities::retain_readable(&mut declared) {
        tracing::warn!(capability = %Printable(&name), "a capability in the answer to initialize cannot be read; left out");
    }
    let capabilities = decode_value(JsonValue::Object(declared.clone())).unwrap_or_default();
    initialized.insert("capabilities".into(), JsonValue::Object(declared));
    capabilities
}

/// `server/discover` from what the handshake said.
pub(crate) fn discovered(version: ProtocolVersion, initialized: &JsonObject) -> RawJson {
    let of = |name: &str| initialized.get(name).cloned();
    let mut capabilities = of("capabilities").unwrap_or_else(|| json!({}));
    if let Some(capabilities) = capabilities.as_object_mut() {
        // Not the extension of this revision, whatever it is called.
        capabilities.remove("tasks");
    }
    let mut result = json!({
        "resultType": "complete",
        "supportedVersions": [version.as_str()],
        "capabilities": capabilities,
        "ttlMs": 0,
        "cacheScope": "private",
    });
    if let Some(instructions) = of("instructions").filter(JsonValue::is_string) {
        result["instructions"] = instructions;
    }
    if let Some(info) = of("serverInfo") {
        result["_meta"] = json!({key::SERVER_INFO: info});
    }
    RawJson::from(&result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_testkit as testkit;

    #[test]
    fn a_request_leaves_this_revision_behind() {
        let params = json!({"name": "add", "arguments": {"a": 1}, "inputResponses": {}, "requestState": "s"});
        let mut call = testkit::call("tools/call", params);
        call.set_param("x", &RawJson::NULL);
        let request = request(&call, 7, Some("t-7"));
        assert_eq!(request.id, 7.into());
        let params: JsonValue = request.params.decode().unwrap();
        assert_eq!(
            params,
            json!({"name": "add", "arguments": {"a": 1}, "x": null, "_meta": {"progressToken": "t-7"}})
        );
    }

    // spec: caching-01
    #[test]
    fn results_get_what_they_lack_and_keep_what_they_have() {
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
    fn codes_mean_what_they_meant() {
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
    fn a_capability_that_cannot_be_read_does_not_cost_the_others() {
        let of = |capabilities: JsonValue| {
            let mut initialized =
                JsonObject::from_iter([("capabilities".to_owned(), capabilities)]);
            let read = readable_capabilities(&mut initialized);
            (read, initialized["capabilities"].clone())
        };
        let (read, left) = of(json!({"tools": true, "prompts": {"listChanged": true}, "x": 1}));
        assert!(read.tools.is_none() && read.prompts.is_some());
        assert_eq!(left, json!({"prompts": {"listChanged": true}, "x": 1}));
        for none in [json!(null), json!([]), json!(true)] {
            assert_eq!(of(none), (ServerCapabilities::default(), json!({})));
        }
    }

    #[test]
    fn one_malformed_page_does_not_cost_the_others() {
        let mut call = testkit::call(
            "tools/call",
            json!({"name": "x", "_meta": testkit::meta_with(&json!({
                "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}
            }))}),
        );
        call.set_param("x", &RawJson::NULL);
        let page = json!({"mode": "url", "message": "Sign in", "url": "https://example.com/", "elicitationId": "e"});
        let data = RawJson::from(&json!({"elicitations": [{"mode": "url"}, 5, page]}));
        let required = pages_required(
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

    #[test]
    fn a_handshake_tells_what_discovery_would() {
        let initialized = json!({
            "capabilities": {"tools": {}, "tasks": {"list": {}}}, "serverInfo": {"name": "s", "version": "1"},
            "instructions": "Be kind.",
        });
        let JsonValue::Object(initialized) = initialized else {
            panic!()
        };
        let found: JsonValue = discovered(ProtocolVersion::V2025_06_18, &initialized)
            .decode()
            .unwrap();
        assert_eq!(found["supportedVersions"], json!(["2025-06-18"]));
        assert_eq!(found["capabilities"], json!({"tools": {}}));
        assert_eq!(
            found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
            "s"
        );
        assert_eq!(found["instructions"], "Be kind.");
    }
}
