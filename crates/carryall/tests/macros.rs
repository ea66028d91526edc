//! What the macros make of functions, seen from a client.

use carryall::proto::Principal;
use carryall::server::{FromCtx, HandlerError, Prompt, ServerHandle};
use carryall::types::Icon;
use carryall::{Ctx, Json, Server, State, prompt, resource, tool};
use carryall_testkit::{answer, call, call_as};
use serde_json::{Value, json};
use std::num::NonZeroU8;
use std::str::FromStr;
use std::time::Duration;

#[derive(Clone)]
struct Accounts {
    currency: &'static str,
}

/// Adds two numbers.
///
/// The sum is exact.
#[tool]
async fn add(
    /// First addend
    a: i64,
    /// Second addend
    #[arg(default = 10)]
    b: i64,
) -> i64 {
    a + b
}

#[derive(
    Debug,
    PartialEq,
    carryall::__private::serde::Serialize,
    carryall::__private::schemars::JsonSchema,
)]
#[serde(crate = "carryall::__private::serde")]
#[schemars(crate = "carryall::__private::schemars")]
struct Amount {
    amount: f64,
    currency: String,
}

/// Replaced by the setting.
#[tool(
    name = "money.convert",
    title = "Convert",
    description = "Converts an amount",
    read_only,
    destructive = false,
    idempotent,
    open_world = false,
    icon = Icon::new("https://example.com/icon.png"),
    timeout = Duration::from_secs(5)
)]
fn convert(
    #[schemars(range(min = 0))] amount: f64,
    #[arg(default = "EUR", rename = "to-currency", header = "Currency")] to: String,
    note: Option<String>,
    #[arg(default)] r#type: u8,
    State(accounts): State<Accounts>,
    _ctx: &Ctx,
) -> Result<Json<Amount>, HandlerError> {
    if let Some(note) = note {
        return Err(HandlerError::new(format!(
            "{note}, {type}, {}",
            accounts.currency
        )));
    }
    Ok(Json(Amount {
        amount,
        currency: to,
    }))
}

#[tool]
fn ping() {}

struct Caller(String);

impl FromCtx for Caller {
    async fn from_ctx(ctx: &Ctx) -> Result<Self, HandlerError> {
        let principal = ctx
            .principal()
            .ok_or_else(|| HandlerError::invalid_params("nobody called"))?;
        Ok(Self(principal.subject.to_string()))
    }
}

/// Who am I?
#[tool(scope = "identity")]
async fn whoami(#[extract] Caller(subject): Caller, ctx: Ctx) -> String {
    format!("{subject} {}", ctx.request_id())
}

/// A job.
#[tool(task = "required", resumable)]
async fn job(caller: Option<Principal>, server: ServerHandle) -> String {
    let caller = caller.map_or("nobody".to_owned(), |caller| caller.subject);
    format!("{caller} at {}", server.name())
}

/// Reviews code.
#[prompt(title = "Review")]
async fn review(
    /// The code
    code: String,
    /// How strict
    level: Option<NonZeroU8>,
    #[arg(default = "en", rename = "lang")] language: String,
    State(accounts): State<Accounts>,
) -> String {
    format!("{code} {level:?} {language} {}", accounts.currency)
}

#[prompt]
fn hello() -> &'static str {
    "Hello"
}

/// The settings.
#[resource("config://app", name = "settings", title = "Settings", mime = "application/json", public, ttl = Duration::from_secs(9))]
fn config(State(accounts): State<Accounts>) -> String {
    accounts.currency.to_owned()
}

struct Kind(char);

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.chars()
            .next()
            .map(Self)
            .ok_or_else(|| "empty".to_owned())
    }
}

/// A note.
#[resource("note://{kind}/{id}")]
async fn note(id: u64, kind: Kind) -> Result<String, HandlerError> {
    if id == 0 {
        Err(HandlerError::resource_not_found("note://0"))
    } else {
        Ok(format!("note {id} of kind {}", kind.0))
    }
}

fn server() -> Server {
    Server::new("macros", "1")
        .state(Accounts { currency: "CHF" })
        .tool(add)
        .tool(convert)
        .tool(ping)
        .tool(whoami)
        .tool(job)
        .prompt(review)
        .prompt(hello)
        .resource(config)
        .resource(note)
        .build()
        .unwrap()
}

async fn listed(method: &str, list: &str, key: &str, name: &str) -> Value {
    let answered = answer(&server(), call(method, json!({}))).await;
    let entries = answered.result()[list].as_array().unwrap().clone();
    entries
        .into_iter()
        .find(|entry| entry[key] == name)
        .unwrap_or_else(|| panic!("{name} is not listed"))
}

async fn call_tool(name: &str, arguments: Value) -> carryall_testkit::TestReply {
    answer(
        &server(),
        call("tools/call", json!({"name": name, "arguments": arguments})),
    )
    .await
}

#[tokio::test]
async fn a_signature_becomes_a_definition() {
    assert_eq!(
        listed("tools/list", "tools", "name", "add").await,
        json!({
            "name": "add",
            "description": "Adds two numbers.\n\nThe sum is exact.",
            "inputSchema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {
                    "a": {"type": "integer", "description": "First addend"},
                    "b": {"type": "integer", "description": "Second addend", "default": 10}
                },
                "required": ["a"],
                "additionalProperties": false
            }
        })
    );
}

// spec: tools-12
#[tokio::test]
async fn settings_and_attributes_show_in_the_definition() {
    let tool = listed("tools/list", "tools", "name", "money.convert").await;
    assert_eq!(tool["title"], "Convert");
    assert_eq!(tool["description"], "Converts an amount");
    let hints = json!({"readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false});
    assert_eq!(tool["annotations"], hints);
    assert_eq!(
        tool["icons"],
        json!([{"src": "https://example.com/icon.png"}])
    );
    let properties = &tool["inputSchema"]["properties"];
    let names: Vec<_> = properties.as_object().unwrap().keys().collect();
    assert_eq!(names, ["amount", "to-currency", "note", "type"]);
    assert_eq!(properties["amount"]["minimum"], json!(0));
    assert_eq!(
        properties["to-currency"],
        json!({"type": "string", "default": "EUR", "x-mcp-header": "Currency"})
    );
    assert_eq!(tool["inputSchema"]["required"], json!(["amount"]));
    assert_eq!(
        tool["outputSchema"]["required"],
        json!(["amount", "currency"])
    );
}

// spec: tools-11
#[tokio::test]
async fn a_tool_without_parameters_accepts_only_an_empty_object() {
    let tool = listed("tools/list", "tools", "name", "ping").await;
    assert_eq!(
        tool["inputSchema"],
        json!({"type": "object", "additionalProperties": false})
    );
    assert_ne!(call_tool("ping", json!({})).await.result()["isError"], true);
    assert_eq!(
        call_tool("ping", json!({"a": 1})).await.result()["isError"],
        true
    );
}

#[tokio::test]
async fn arguments_defaults_and_state_reach_the_function() {
    assert_eq!(call_tool("add", json!({"a": 1})).await.text(), "11");
    assert_eq!(call_tool("add", json!({"a": 1, "b": 2})).await.text(), "3");
    let converted = call_tool("money.convert", json!({"amount": 2.5})).await;
    assert_eq!(
        converted.result()["structuredContent"],
        json!({"amount": 2.5, "currency": "EUR"})
    );
    let converted = call_tool("money.convert", json!({"amount": 1, "to-currency": "USD"})).await;
    assert_eq!(converted.result()["structuredContent"]["currency"], "USD");
    let failed = call_tool(
        "money.convert",
        json!({"amount": 1, "note": "no", "type": 7}),
    )
    .await;
    assert_eq!(
        (failed.text(), &failed.result()["isError"]),
        ("no, 7, CHF", &json!(true))
    );
}

#[tokio::test]
async fn wrong_arguments_do_not_reach_the_function() {
    for arguments in [json!({}), json!({"a": "1"}), json!({"a": 1, "b": null})] {
        assert_eq!(
            call_tool("add", arguments.clone()).await.result()["isError"],
            true,
            "{arguments}"
        );
    }
    assert_eq!(
        call_tool("money.convert", json!({"amount": -1}))
            .await
            .result()["isError"],
        true
    );
}

#[tokio::test]
async fn extracted_values_come_from_the_call() {
    let params = json!({"name": "whoami", "arguments": {}});
    let answered = answer(
        &server(),
        call_as("alice", &["identity"], "tools/call", params.clone()),
    )
    .await;
    assert_eq!(answered.text(), "alice 1");
    let unknown = answer(&server(), call("tools/call", params)).await;
    assert_eq!(
        unknown.code(),
        -32602,
        "without the scope the tool does not exist"
    );
}

#[tokio::test]
async fn task_support_is_a_setting() {
    let job_call = call("tools/call", json!({"name": "job", "arguments": {}}));
    let refused = answer(&server(), job_call).await;
    assert_eq!(refused.code(), -32021, "the client takes no tasks");
}

#[tokio::test]
async fn the_function_stays_callable() {
    assert_eq!(add::call(1, 2).await, 3);
    assert_eq!(hello::call(), "Hello");
    assert_eq!(note::call(3, Kind('x')).await.unwrap(), "note 3 of kind x");
    // A variable may have the name of a tool.
    let add = add::call(1, 1).await;
    assert_eq!(add, 2);
}

#[tokio::test]
async fn prompts_declare_and_parse_their_arguments() {
    let prompt = listed("prompts/list", "prompts", "name", "review").await;
    assert_eq!(
        (&prompt["title"], &prompt["description"]),
        (&json!("Review"), &json!("Reviews code."))
    );
    let arguments = json!([
        {"name": "code", "description": "The code", "required": true},
        {"name": "level", "description": "How strict", "required": false},
        {"name": "lang", "required": false}
    ]);
    assert_eq!(prompt["arguments"], arguments);

    let get = async |arguments: Value| {
        answer(
            &server(),
            call(
                "prompts/get",
                json!({"name": "review", "arguments": arguments}),
            ),
        )
        .await
    };
    let text = |answered: &carryall_testkit::TestReply| {
        answered.result()["messages"][0]["content"]["text"].clone()
    };
    assert_eq!(text(&get(json!({"code": "x"})).await), "x None en CHF");
    assert_eq!(
        text(&get(json!({"code": "x", "level": "3", "lang": "de"})).await),
        "x Some(3) de CHF"
    );
    for arguments in [
        json!({}),
        json!({"code": "x", "level": "0"}),
        json!({"code": "x", "level": "high"}),
    ] {
        assert_eq!(get(arguments.clone()).await.code(), -32602, "{arguments}");
    }
    let hello = answer(&server(), call("prompts/get", json!({"name": "hello"}))).await;
    assert_eq!(text(&hello), "Hello");
    let _: Prompt = carryall::server::IntoPrompt::into_prompt(hello_again);
}

#[prompt(name = "hello.again")]
fn hello_again() -> String {
    hello::call().repeat(2)
}

#[tokio::test]
async fn resources_and_templates_are_listed_and_read() {
    let settings = listed("resources/list", "resources", "uri", "config://app").await;
    let expected = json!({"uri": "config://app", "name": "settings", "title": "Settings", "description": "The settings.", "mimeType": "application/json"});
    assert_eq!(settings, expected);
    let template = listed(
        "resources/templates/list",
        "resourceTemplates",
        "uriTemplate",
        "note://{kind}/{id}",
    )
    .await;
    assert_eq!(
        (&template["name"], &template["description"]),
        (&json!("note"), &json!("A note."))
    );

    let read =
        async |uri: &str| answer(&server(), call("resources/read", json!({"uri": uri}))).await;
    let config = read("config://app").await;
    assert_eq!(
        config.result()["contents"],
        json!([{"uri": "config://app", "mimeType": "application/json", "text": "CHF"}])
    );
    assert_eq!(
        (&config.result()["ttlMs"], &config.result()["cacheScope"]),
        (&json!(9000), &json!("public"))
    );
    assert_eq!(
        read("note://todo/7").await.result()["contents"][0]["text"],
        "note 7 of kind t"
    );
    for uri in ["note://todo/seven", "note://todo/0"] {
        assert_eq!(read(uri).await.code(), -32602, "{uri}");
    }
}
