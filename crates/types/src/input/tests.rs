#![allow(deprecated)]

use super::*;
use crate::{
    ElicitAction, ElicitRequestFormParams, ElicitRequestURLParams, ElicitResult, ListRootsResult,
    RequestedSchema, ToolChoice, ToolChoiceMode,
};
use serde_json::json;

fn form() -> ElicitRequestFormParams {
    ElicitRequestFormParams::new(
        "Who?",
        RequestedSchema::new()
            .string("name", |field| field)
            .required(),
    )
}

fn url() -> ElicitRequestURLParams {
    ElicitRequestURLParams::new("Sign in", "https://example.com/connect")
}

fn sample() -> CreateMessageRequestParams {
    CreateMessageRequestParams::new(Vec::new(), 10)
}

fn capabilities(wire: JsonValue) -> ClientCapabilities {
    serde_json::from_value(wire).unwrap()
}

// spec: mrtr-07
#[test]
fn exactly_three_methods_are_input_requests() {
    let wire = json!({
        "z": {"method": "elicitation/create", "params": {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}}},
        "a": {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}},
        "m": {"method": "roots/list"},
        "n": {"method": "roots/list", "params": {"_meta": {"k": 1}}},
    });
    let requests: InputRequests = serde_json::from_value(wire.clone()).unwrap();
    // Always with `params`, since some SDKs reject a request without them.
    let mut wire = wire;
    wire["m"]["params"] = json!({});
    assert_eq!(
        requests
            .iter()
            .map(|(key, request)| (key, request.method()))
            .collect::<Vec<_>>(),
        [
            ("z", "elicitation/create"),
            ("a", "sampling/createMessage"),
            ("m", "roots/list"),
            ("n", "roots/list"),
        ]
    );
    assert_eq!(serde_json::to_string(&requests).unwrap(), wire.to_string());
    for bad in [
        json!({"method": "tools/call", "params": {"name": "t"}}),
        json!({"method": "elicitation/create"}),
        json!({"method": "sampling/createMessage", "params": {}}),
        json!({"params": {}}),
    ] {
        assert!(
            serde_json::from_value::<InputRequest>(bad.clone()).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn params_may_come_before_the_method() {
    let request: InputRequest =
        serde_json::from_str(r#"{"params":{"_meta":{"k":1}},"method":"roots/list"}"#).unwrap();
    assert!(matches!(request, InputRequest::ListRoots(params) if params.meta.is_some()));
}

// spec: mrtr-06
#[test]
fn keys_are_unique() {
    let twice = r#"{"a":{"method":"roots/list"},"a":{"method":"roots/list"}}"#;
    let problem = serde_json::from_str::<InputRequests>(twice)
        .unwrap_err()
        .to_string();
    assert!(problem.contains("duplicate key"), "{problem}");
    let mut requests = InputRequests::new()
        .with("a", ListRootsRequestParams::new())
        .with("b", url());
    let before = requests.insert("a", form());
    assert!(matches!(before, Some(InputRequest::ListRoots(_))));
    assert_eq!(
        requests.iter().map(|(key, _)| key).collect::<Vec<_>>(),
        ["a", "b"]
    );
}

// spec: mrtr-17, elicitation-09, sampling-04, sampling-06
#[test]
fn a_request_requires_the_capabilities_that_it_uses() {
    let tools = InputRequest::from(sample().with_tools(Vec::new()));
    let choice =
        InputRequest::from(sample().with_tool_choice(ToolChoice::new(ToolChoiceMode::None)));
    let context = InputRequest::from(sample().with_include_context(IncludeContext::AllServers));
    let plain = InputRequest::from(sample().with_include_context(IncludeContext::None));
    let roots = InputRequest::from(ListRootsRequestParams::new());
    for (request, needs, not_enough) in [
        (
            InputRequest::from(form()),
            json!({"elicitation": {}}),
            json!({"elicitation": {"url": {}}}),
        ),
        (
            InputRequest::from(url()),
            json!({"elicitation": {"url": {}}}),
            json!({"elicitation": {}}),
        ),
        (
            tools,
            json!({"sampling": {"tools": {}}}),
            json!({"sampling": {"context": {}}}),
        ),
        (
            choice,
            json!({"sampling": {"tools": {}}}),
            json!({"sampling": {}}),
        ),
        (
            context,
            json!({"sampling": {"context": {}}}),
            json!({"sampling": {"tools": {}}}),
        ),
        (plain, json!({"sampling": {}}), json!({"roots": {}})),
        (roots, json!({"roots": {}}), json!({})),
    ] {
        assert!(
            request.is_supported_by(&capabilities(needs.clone())),
            "{request:?} {needs}"
        );
        assert!(
            !request.is_supported_by(&capabilities(not_enough.clone())),
            "{request:?} {not_enough}"
        );
    }
}

#[test]
fn required_capabilities_are_merged_over_all_requests() {
    let requests = InputRequests::new()
        .with("a", form())
        .with("b", url())
        .with("c", sample().with_tools(Vec::new()))
        .with("d", sample())
        .with("e", ListRootsRequestParams::new());
    let result = InputRequiredResult::new().with_input_requests(requests);
    assert_eq!(
        result.required_capabilities(),
        capabilities(
            json!({"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}})
        )
    );
}

// spec: mrtr-16
#[test]
fn a_result_has_input_requests_or_request_state() {
    assert!(InputRequiredResult::new().check().is_err());
    assert_eq!(
        InputRequiredResult::new().with_request_state("s").check(),
        Ok(())
    );
    assert_eq!(
        InputRequiredResult::new()
            .with_input_requests(InputRequests::new().with("a", form()))
            .check(),
        Ok(())
    );
}

// spec: mrtr-22
#[test]
fn request_state_round_trips_unchanged() {
    let state = "a\u{0}\"\\ \u{1F600}=";
    let wire = json!({"resultType": "input_required", "requestState": state, "_meta": {"k": 1}, "later": 2});
    let result: InputRequiredResult = serde_json::from_value(wire).unwrap();
    assert_eq!(
        serde_json::to_value(&result).unwrap(),
        json!({"requestState": state, "_meta": {"k": 1}, "later": 2}),
        "`resultType` is not part of this type"
    );
}

// spec: mrtr-26, mrtr-28
#[test]
fn responses_decode_as_the_requested_type() {
    let responses: InputResponses = serde_json::from_value(json!({
        "who": {"action": "accept", "content": {"name": "a"}},
        "roots": {"roots": [{"uri": "file:///a"}]},
        "bad": {"action": "maybe"},
        "unexpected": 7,
    }))
    .unwrap();
    assert_eq!(
        responses
            .get_as::<ElicitResult>("who")
            .unwrap()
            .unwrap()
            .action,
        ElicitAction::Accept
    );
    assert_eq!(
        responses
            .get_as::<ListRootsResult>("roots")
            .unwrap()
            .unwrap()
            .roots
            .len(),
        1
    );
    assert!(responses.get_as::<ElicitResult>("bad").unwrap().is_err());
    assert!(responses.get_as::<ElicitResult>("roots").unwrap().is_err());
    assert!(responses.get_as::<ElicitResult>("absent").is_none());
    assert!(serde_json::from_value::<InputResponses>(json!([1])).is_err());
}

#[test]
fn missing_responses_are_listed_in_request_order() {
    let requests = InputRequests::new()
        .with("c", form())
        .with("a", form())
        .with("b", form());
    let mut responses = InputResponses::new();
    responses.insert("a", &ElicitResult::decline()).unwrap();
    assert_eq!(responses.missing(&requests).collect::<Vec<_>>(), ["c", "b"]);
}
