//! The calling convention of handlers, and what `build` checks of it.

use carryall_proto::{Call, Principal};
use carryall_server::{
    Ask, ClientInfo, CompletionQuery, Ctx, Extension, FromCtx, HandlerError, Prompt,
    PromptArguments, Requirements, Resource, Server, ServerBuilder, ServerHandle, State, Tool,
    UriVariables,
};
use carryall_testkit::{answer, call, call_as, call_over_http};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
struct Greeting {
    name: String,
}

/// State that cannot be cloned.
struct Accounts(&'static str);

#[allow(clippy::too_many_arguments)]
async fn everything(
    ctx: Ctx,
    State(word): State<&'static str>,
    State(accounts): State<Arc<Accounts>>,
    caller: Option<Principal>,
    headers: http::HeaderMap,
    Extension(number): Extension<u8>,
    ClientInfo(client): ClientInfo,
    server: ServerHandle,
    args: Greeting,
) -> String {
    format!(
        "{word} {} {} {} {} {number} {} {} {} {}",
        ctx.request_id(),
        accounts.0,
        caller.map_or("nobody".to_owned(), |caller| caller.subject),
        headers
            .get("x-test")
            .map_or("none", |value| value.to_str().unwrap()),
        client.unwrap().name,
        server.name(),
        server.version(),
        args.name,
    )
}

/// An author's own extractor.
struct Tenant(String);

impl FromCtx for Tenant {
    async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        tokio::task::yield_now().await;
        let principal = Principal::from_ctx(ctx).await?;
        Ok(Self(principal.issuer))
    }

    fn requires(requirements: &mut Requirements) {
        requirements.state::<HashMap<String, String>>();
    }
}

fn builder() -> ServerBuilder {
    Server::new("handlers", "3")
        .state("Hello")
        .state(Arc::new(Accounts("CHF")))
        .tool(Tool::new("everything", everything))
        .tool(Tool::new("nothing", async || "nothing"))
        .tool(Tool::new("arguments", async |args: Greeting| args.name))
        .tool(Tool::new("caller", async |caller: Arc<Principal>| {
            caller.subject.clone()
        }))
        .tool(Tool::new(
            "either",
            async |caller: Result<Principal, HandlerError>| caller.is_ok(),
        ))
        .prompt(
            Prompt::new(
                "prompt",
                async |word: State<&'static str>, args: PromptArguments| {
                    Ok::<_, HandlerError>(format!("{} {}", word.0, args.get::<String>("name")?))
                },
            )
            .argument("name", "", true),
        )
        .prompt(Prompt::new(
            "plain",
            async |State(word): State<&'static str>| word,
        ))
        .resource(Resource::new(
            "x:one",
            "one",
            async |State(word): State<&'static str>| word,
        ))
        .resource(Resource::template(
            "x:{id}/data",
            "many",
            async |State(word): State<&'static str>, variables: UriVariables| {
                Ok::<_, HandlerError>(format!("{word} {}", variables.get::<u8>("id")?))
            },
        ))
        .complete_prompt(
            "prompt",
            "name",
            async |State(word): State<&'static str>, query: CompletionQuery| {
                vec![format!("{word}{}", query.value)]
            },
        )
        .complete_template("x:{id}/data", "id", async |caller: Option<Principal>| {
            vec![caller.is_some().to_string()]
        })
}

fn calling(name: &str, arguments: Value) -> Value {
    json!({"name": name, "arguments": arguments})
}

async fn says(call: Call) -> String {
    let reply = answer(&builder().build().unwrap(), call).await;
    let result = reply.result();
    [
        &result["content"][0]["text"],
        &result["messages"][0]["content"]["text"],
        &result["contents"][0]["text"],
        &result["completion"]["values"][0],
    ]
    .into_iter()
    .find_map(Value::as_str)
    .unwrap()
    .to_owned()
}

#[tokio::test]
async fn every_extractor_gives_its_part_of_the_call() {
    let params = calling("everything", json!({"name": "Ada"}));
    let mut call = call_over_http(&[("x-test", "header")], "tools/call", params.clone());
    call.extensions_mut().insert(7u8);
    assert_eq!(
        says(call).await,
        "Hello 1 CHF nobody header 7 test handlers 3 Ada"
    );
    let mut call = call_as("alice", &[], "tools/call", params);
    call.extensions_mut().insert(8u8);
    assert_eq!(
        says(call).await,
        "Hello 1 CHF alice none 8 test handlers 3 Ada"
    );
}

#[tokio::test]
async fn all_kinds_of_handlers_take_the_same_parameters() {
    let tool = |name: &str, arguments| call("tools/call", calling(name, arguments));
    let prompt = |name: &str, arguments| call("prompts/get", calling(name, arguments));
    let read = |uri: &str| call("resources/read", json!({"uri": uri}));
    let complete = |reference: Value, name: &str| json!({"ref": reference, "argument": {"name": name, "value": "!"}});
    assert_eq!(says(tool("nothing", json!({}))).await, "nothing");
    assert_eq!(says(tool("arguments", json!({"name": "Ada"}))).await, "Ada");
    assert_eq!(
        says(prompt("prompt", json!({"name": "Ada"}))).await,
        "Hello Ada"
    );
    assert_eq!(says(prompt("plain", json!({}))).await, "Hello");
    assert_eq!(says(read("x:one")).await, "Hello");
    assert_eq!(says(read("x:7/data")).await, "Hello 7");
    let name = complete(json!({"type": "ref/prompt", "name": "prompt"}), "name");
    assert_eq!(says(call("completion/complete", name)).await, "Hello!");
    let id = complete(json!({"type": "ref/resource", "uri": "x:{id}/data"}), "id");
    assert_eq!(
        says(call_as("alice", &[], "completion/complete", id)).await,
        "true"
    );
}

#[tokio::test]
async fn a_handler_does_not_run_when_an_extractor_fails() {
    let server = builder().build().unwrap();
    let anonymous = answer(&server, call("tools/call", calling("caller", json!({})))).await;
    assert_eq!(anonymous.code(), -32602);
    let known = call_as("alice", &[], "tools/call", calling("caller", json!({})));
    assert_eq!(says(known).await, "alice");
    let either = call("tools/call", calling("either", json!({})));
    assert_eq!(
        says(either).await,
        "false",
        "a Result extractor does not fail"
    );
    let missing = call("tools/call", calling("everything", json!({"name": "Ada"})));
    assert_eq!(
        answer(&server, missing).await.error(),
        &json!({"code": -32603, "message": "Internal error"}),
        "no layer has left an extension"
    );
}

#[tokio::test]
async fn a_tool_has_the_schema_of_its_last_parameter() {
    let list = answer(&builder().build().unwrap(), call("tools/list", json!({}))).await;
    let schema = |name: &str| {
        let tools = list.result()["tools"].as_array().unwrap();
        let tool = tools.iter().find(|tool| tool["name"] == name).unwrap();
        tool["inputSchema"]["required"].clone()
    };
    assert_eq!(schema("everything"), json!(["name"]));
    assert_eq!(schema("arguments"), json!(["name"]));
    assert_eq!(schema("caller"), Value::Null);
    assert_eq!(schema("nothing"), Value::Null);
}

#[tokio::test]
async fn an_extractor_of_ones_own_may_wait_and_names_what_it_needs() {
    let tool = || Tool::new("tenant", async |Tenant(name): Tenant| name);
    let error = Server::new("x", "1")
        .tool(tool())
        .build()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("tool \"tenant\"") && error.contains("HashMap"),
        "{error}"
    );
    let states = HashMap::<String, String>::new();
    let server = Server::new("x", "1")
        .state(states)
        .tool(tool())
        .build()
        .unwrap();
    let reply = answer(
        &server,
        call_as("a", &[], "tools/call", calling("tenant", json!({}))),
    )
    .await;
    assert_eq!(reply.text(), "https://issuer.test");
}

#[test]
fn missing_state_is_an_error_of_build() {
    let missing = |builder: ServerBuilder| builder.build().unwrap_err().to_string();
    let new = || Server::new("x", "1");
    for (error, entry) in [
        (
            missing(new().tool(Tool::new("t", async |_: State<u8>| ""))),
            "tool \"t\"",
        ),
        (
            missing(new().tool(Tool::new("t", async |_: Ctx, _: State<u8>, _: Greeting| ""))),
            "tool \"t\"",
        ),
        (
            missing(new().prompt(Prompt::new("p", async |_: State<u8>| ""))),
            "prompt \"p\"",
        ),
        (
            missing(new().resource(Resource::new("x:y", "r", async |_: State<u8>| ""))),
            "resource \"x:y\"",
        ),
        (
            missing(
                new()
                    .prompt(Prompt::new("p", async || "").argument("a", "", false))
                    .complete_prompt("p", "a", async |_: State<u8>| vec![""]),
            ),
            "completion of \"a\"",
        ),
    ] {
        assert!(
            error.contains(entry) && error.contains("State<u8>"),
            "{error}"
        );
    }
}

#[test]
fn missing_state_is_an_error_of_a_change_which_then_does_not_happen() {
    let server = Server::new("x", "1").state(1u8).build().unwrap();
    let changed = server.change(|catalogue| {
        catalogue.tool(Tool::new("t", async |_: State<u16>| ""));
    });
    assert!(changed.unwrap_err().to_string().contains("State<u16>"));
    let changed = server.change(|catalogue| {
        catalogue.tool(Tool::new("t", async |_: State<u8>| ""));
    });
    assert_eq!(changed, Ok(()));
}

#[test]
fn a_form_that_cannot_be_asked_is_an_error_of_build() {
    let tool = Tool::new(
        "t",
        async |_: Ask<HashMap<String, Vec<u8>>>, _: Ask<Vec<String>>| "",
    );
    let error = Server::new("x", "1")
        .tool(tool)
        .build()
        .unwrap_err()
        .to_string();
    assert!(error.contains("tool \"t\": no form can ask for"), "{error}");
}

#[test]
fn completions_of_what_is_not_there_are_errors_of_build() {
    let error = Server::new("x", "1")
        .prompt(Prompt::new("p", async || "").argument("a", "", false))
        .prompt(Prompt::new("open", async || "").additional_arguments(true))
        .resource(Resource::template("x:{id}", "t", async || ""))
        .complete_prompt("p", "a", async || vec![""])
        .complete_prompt("open", "anything", async || vec![""])
        .complete_template("x:{id}", "id", async || vec![""])
        .complete_prompt("p", "b", async || vec![""])
        .complete_prompt("q", "a", async || vec![""])
        .complete_template("x:{id}", "name", async || vec![""])
        .complete_template("y:{id}", "id", async || vec![""])
        .build()
        .unwrap_err()
        .to_string();
    let problems: Vec<&str> = error.split("; ").collect();
    assert_eq!(
        problems,
        [
            "completion of prompt \"p\": it has no argument \"b\"",
            "completion of prompt \"q\": no such prompt",
            "completion of resource template \"x:{id}\": it has no variable \"name\"",
            "completion of resource template \"y:{id}\": no such template",
        ]
    );
}
