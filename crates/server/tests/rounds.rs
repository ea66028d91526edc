//! Rounds: what a server may ask of a client, when, and in what form (`basic/patterns/mrtr`).
#![allow(deprecated)]

use carryall_server::{Ctx, HandlerError, Prompt, Resource, Server, Tool};
use carryall_testkit::{TestReply, answer, call, call_with_id, meta_with};
use carryall_types::{
    ClientCapabilities, CreateMessageRequestParams, ElicitRequestFormParams,
    ElicitRequestURLParams, InputRequest, InputRequests, InputRequiredResult, JsonObject,
    ListRootsRequestParams, SamplingMessage, Tool as ToolDefinition,
};
use serde_json::{Value, json};

fn form() -> InputRequest {
    let schema =
        json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    ElicitRequestFormParams::new(
        "Who are you?",
        serde_json::from_value::<carryall_types::RequestedSchema>(schema).unwrap(),
    )
    .into()
}

fn url() -> InputRequest {
    ElicitRequestURLParams::new("Sign in", "https://example.com/in").into()
}

fn sampling() -> CreateMessageRequestParams {
    let message = json!({"role": "user", "content": {"type": "text", "text": "hi"}});
    CreateMessageRequestParams::new(
        vec![serde_json::from_value::<SamplingMessage>(message).unwrap()],
        10u64,
    )
}

fn ask(requests: impl IntoIterator<Item = (&'static str, InputRequest)>) -> InputRequiredResult {
    InputRequiredResult::new().with_input_requests(requests.into_iter().collect::<InputRequests>())
}

fn questions(of: &str) -> InputRequiredResult {
    let tools = vec![ToolDefinition::new(
        "t",
        JsonObject::from_iter([("type".to_owned(), json!("object"))]),
    )];
    match of {
        "form" => ask([("q", form())]),
        "url" => ask([("q", url())]),
        "sampling" => ask([("q", sampling().into())]),
        "sampling with tools" => ask([("q", sampling().with_tools(tools).into())]),
        "roots" => ask([("q", ListRootsRequestParams::default().into())]),
        "all" => ask([
            ("f", form()),
            ("u", url()),
            ("s", sampling().into()),
            ("r", ListRootsRequestParams::default().into()),
        ]),
        "state" => InputRequiredResult::new().with_request_state("opaque"),
        "both" => ask([("q", form())]).with_request_state("opaque"),
        "empty" => ask([]),
        _ => InputRequiredResult::new(),
    }
}

fn server() -> Server {
    let schema = json!({"type": "object", "properties": {"of": {"type": "string"}}});
    let Value::Object(schema) = schema else {
        unreachable!()
    };
    Server::new("rounds", "1")
        .tool(Tool::dynamic(
            "ask",
            schema,
            async |arguments: JsonObject| {
                Err::<(), _>(HandlerError::input_required(questions(
                    arguments["of"].as_str().unwrap_or_default(),
                )))
            },
        ))
        .tool(Tool::new("greet", async |ctx: Ctx| {
            let Some(state) = ctx.request_state()? else {
                return Err(HandlerError::input_required(questions("both")));
            };
            match ctx
                .input_responses()?
                .get_as::<carryall_types::ElicitResult>("q")
            {
                Some(answer) => {
                    let content = answer?.content.unwrap_or_default();
                    Ok(format!(
                        "{state}: hello {}",
                        content
                            .get("name")
                            .map(ToString::to_string)
                            .unwrap_or_default()
                    ))
                }
                None => Err(HandlerError::input_required(questions("both"))),
            }
        }))
        .tool(Tool::new("needs", async |ctx: Ctx| {
            let sampling = json!({"sampling": {"tools": {}}, "roots": {}});
            ctx.require(&serde_json::from_value::<ClientCapabilities>(sampling).unwrap())?;
            Ok::<_, HandlerError>("has it all")
        }))
        .prompt(
            Prompt::new("ask", async || {
                Err::<String, _>(HandlerError::input_required(questions("form")))
            })
            .argument("a", "", false),
        )
        .resource(Resource::new("x:ask", "ask", async || {
            Err::<String, _>(HandlerError::input_required(questions("form")))
        }))
        .complete_prompt("ask", "a", async || {
            Err::<Vec<String>, _>(HandlerError::input_required(questions("form")))
        })
        .build()
        .unwrap()
}

async fn with_capabilities(
    server: &Server,
    name: &str,
    of: &str,
    capabilities: Value,
) -> TestReply {
    let meta = meta_with(&json!({"io.modelcontextprotocol/clientCapabilities": capabilities}));
    answer(
        server,
        call(
            "tools/call",
            json!({"name": name, "arguments": {"of": of}, "_meta": meta}),
        ),
    )
    .await
}

fn everything() -> Value {
    json!({"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}})
}

// spec: mrtr-01, mrtr-04, mrtr-06, mrtr-07, tools-07
#[tokio::test]
async fn the_result_contains_the_questions_by_key() {
    let asked = with_capabilities(&server(), "ask", "all", everything()).await;
    assert!(asked.notifications.is_empty());
    let result = asked.result();
    assert_eq!(result["resultType"], json!("input_required"));
    let requests = result["inputRequests"].as_object().unwrap();
    let methods: Vec<(&str, &str)> = requests
        .iter()
        .map(|(k, r)| (k.as_str(), r["method"].as_str().unwrap()))
        .collect();
    for expected in [
        ("f", "elicitation/create"),
        ("u", "elicitation/create"),
        ("s", "sampling/createMessage"),
        ("r", "roots/list"),
    ] {
        assert!(methods.contains(&expected), "{expected:?} in {methods:?}");
    }
    assert_eq!(methods.len(), 4);
    assert!(
        requests
            .values()
            .all(|request| request.get("id").is_none() && request.get("jsonrpc").is_none())
    );
    assert_eq!(
        result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        json!("rounds")
    );
    assert!(result.get("content").is_none() && result.get("requestState").is_none());
}

// spec: mrtr-17, meta-14, meta-15, elicitation-01
#[tokio::test]
async fn questions_that_need_undeclared_capabilities_are_an_error_that_names_them() {
    let server = server();
    let all = everything();
    for (of, needed) in [
        ("form", json!({"elicitation": {"form": {}}})),
        ("url", json!({"elicitation": {"url": {}}})),
        ("sampling", json!({"sampling": {}})),
        ("sampling with tools", json!({"sampling": {"tools": {}}})),
        ("roots", json!({"roots": {}})),
    ] {
        let refused = with_capabilities(&server, "ask", of, json!({})).await;
        assert_eq!(refused.code(), -32021, "{of}");
        assert_eq!(
            refused.error()["data"],
            json!({"requiredCapabilities": needed}),
            "{of}"
        );
        for declared in [needed, all.clone()] {
            let asked = with_capabilities(&server, "ask", of, declared).await;
            assert_eq!(
                asked.result()["resultType"],
                json!("input_required"),
                "{of}"
            );
        }
    }
    assert_eq!(
        with_capabilities(&server, "ask", "url", json!({"elicitation": {}}))
            .await
            .code(),
        -32021
    );
    assert_eq!(
        with_capabilities(
            &server,
            "ask",
            "sampling with tools",
            json!({"sampling": {}})
        )
        .await
        .code(),
        -32021
    );
    assert!(
        with_capabilities(&server, "ask", "form", json!({"elicitation": {}}))
            .await
            .result()
            .is_object()
    );
    let refused = with_capabilities(
        &server,
        "ask",
        "all",
        json!({"roots": {}, "elicitation": {"form": {}}}),
    )
    .await;
    let missing = json!({"requiredCapabilities": {"elicitation": {"url": {}}, "sampling": {}}});
    assert_eq!(refused.error()["data"], missing, "only what is missing");
}

// spec: meta-14, meta-15
#[tokio::test]
async fn capabilities_are_required_of_each_request() {
    let server = server();
    let full = || with_capabilities(&server, "needs", "", everything());
    assert_eq!(
        full().await.result()["isError"],
        json!(true),
        "it takes no arguments"
    );
    let needs = async |capabilities: Value| {
        let meta = meta_with(&json!({"io.modelcontextprotocol/clientCapabilities": capabilities}));
        answer(
            &server,
            call("tools/call", json!({"name": "needs", "_meta": meta})),
        )
        .await
    };
    assert_eq!(needs(everything()).await.text(), "has it all");
    let refused = needs(json!({"roots": {}})).await;
    assert_eq!(
        (refused.code(), &refused.error()["data"]),
        (
            -32021,
            &json!({"requiredCapabilities": {"sampling": {"tools": {}}}})
        )
    );
}

// spec: mrtr-16
#[tokio::test]
async fn an_input_required_result_without_questions_or_state_is_an_error() {
    let server = server();
    for nothing in ["", "empty"] {
        assert_eq!(
            with_capabilities(&server, "ask", nothing, everything())
                .await
                .code(),
            -32603,
            "{nothing:?}"
        );
    }
    let state = with_capabilities(&server, "ask", "state", json!({})).await;
    assert_eq!(
        (
            &state.result()["requestState"],
            state.result().get("inputRequests")
        ),
        (&json!("opaque"), None)
    );
}

// spec: mrtr-04, mrtr-05, prompts-04, resources-05
#[tokio::test]
async fn only_three_methods_can_ask() {
    let server = server();
    let meta = meta_with(&json!({"io.modelcontextprotocol/clientCapabilities": everything()}));
    let ask = async |method: &str, mut params: Value| {
        params["_meta"] = meta.clone();
        answer(&server, call(method, params)).await
    };
    for (method, params) in [
        (
            "tools/call",
            json!({"name": "ask", "arguments": {"of": "form"}}),
        ),
        ("prompts/get", json!({"name": "ask"})),
        ("resources/read", json!({"uri": "x:ask"})),
    ] {
        assert_eq!(
            ask(method, params).await.result()["resultType"],
            json!("input_required"),
            "{method}"
        );
    }
    let complete = json!({"ref": {"type": "ref/prompt", "name": "ask"}, "argument": {"name": "a", "value": ""}});
    assert_eq!(ask("completion/complete", complete).await.code(), -32603);
}

// spec: mrtr-18, mrtr-19, mrtr-28, mrtr-29
#[tokio::test]
async fn any_replica_answers_a_retry() {
    let meta = meta_with(&json!({"io.modelcontextprotocol/clientCapabilities": everything()}));
    let greet = async |id: u32, more: Value| {
        let mut params = json!({"name": "greet", "_meta": meta});
        params
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        // Another server each time: nothing is kept between rounds.
        answer(&server(), call_with_id(&json!(id), "tools/call", params)).await
    };
    let first = greet(1, json!({})).await;
    assert_eq!(first.result()["requestState"], json!("opaque"));
    let again = greet(
        2,
        json!({"requestState": "opaque", "inputResponses": {"other": {"action": "accept"}}}),
    )
    .await;
    assert_eq!(
        again.result()["resultType"],
        json!("input_required"),
        "asks again for what is missing"
    );
    let given = json!({"q": {"action": "accept", "content": {"name": "Ann"}}, "unasked": 7});
    let last = greet(
        3,
        json!({"requestState": "opaque", "inputResponses": given}),
    )
    .await;
    assert_eq!(last.text(), "opaque: hello \"Ann\"");
}

// spec: mrtr-26, mrtr-27
#[tokio::test]
async fn malformed_answers_are_a_protocol_error() {
    let server = server();
    for (member, value) in [
        ("inputResponses", json!([])),
        ("inputResponses", json!("x")),
        ("requestState", json!(5)),
    ] {
        let mut params = json!({"name": "greet", "requestState": "s"});
        params[member] = value;
        let refused = answer(&server, call("tools/call", params)).await;
        assert_eq!(refused.code(), -32602, "{member}");
        assert!(
            refused.error()["message"]
                .as_str()
                .unwrap()
                .contains(member)
        );
    }
}

// spec: mrtr-07
#[test]
fn a_question_is_one_of_three_requests() {
    for method in ["tools/call", "elicitation/other", "ping"] {
        assert!(
            serde_json::from_value::<InputRequest>(
                json!({"method": method, "params": {"name": "x"}})
            )
            .is_err()
        );
    }
}
