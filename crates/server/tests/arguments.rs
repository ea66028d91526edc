//! Arguments as clients write them: misspelt names, values that are not choices, integers with a zero
//! fraction.

use carryall_proto::seal::{Keyring, SealingKey};
use carryall_server::{
    Ctx, ElicitOutcome, Form, HandlerError, Json, Prompt, PromptArguments, Server, Tool,
};
use carryall_testkit::{TestReply, answer, call, meta_with};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Priority {
    /// Whenever there is time
    Low,
    /// This week
    Normal,
    /// Today
    High,
}

#[derive(Deserialize, JsonSchema)]
struct Note {
    title: String,
    priority: Option<Priority>,
    owner: Option<Owner>,
}

#[derive(Deserialize, JsonSchema)]
#[allow(dead_code)]
struct Owner {
    name: String,
    age: Option<u8>,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Numbers {
    signed: i64,
    #[serde(default)]
    small: Option<u32>,
    #[serde(default)]
    many: Vec<i16>,
    #[serde(default)]
    by_name: BTreeMap<String, u64>,
    #[serde(default)]
    float: Option<f64>,
    #[serde(flatten)]
    flat: Flat,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Flat {
    #[serde(default)]
    inside: u8,
    #[serde(default)]
    half: f64,
}

#[derive(Deserialize, JsonSchema)]
struct Seats {
    count: u8,
    row: Option<i64>,
}

async fn create(_: Ctx, note: Note) -> String {
    let priority = note
        .priority
        .map(|priority| json!(priority))
        .unwrap_or_default();
    format!(
        "{} {priority} {}",
        note.title,
        note.owner.map(|owner| owner.name).unwrap_or_default()
    )
}

fn server() -> Server {
    Server::new("arguments", "1")
        .keyring(Keyring::new(SealingKey::new(1, [1; 32])))
        .tool(Tool::new("create_note", create))
        .tool(Tool::new("open", create).additional_arguments(true))
        .tool(Tool::new("numbers", async |numbers: Numbers| Json(numbers)))
        .tool(Tool::new("book", async |ctx: Ctx| {
            Ok::<_, HandlerError>(match ctx.ask(Form::<Seats>::new("How many?")).await? {
                ElicitOutcome::Accepted(seats) => format!("{} in row {:?}", seats.count, seats.row),
                _ => "none".into(),
            })
        }))
        .prompt(
            Prompt::new("review", async |arguments: PromptArguments| {
                format!("{:?}", arguments.text("strictness"))
            })
            .argument("code", "", true)
            .argument("strictness", "", false),
        )
        .prompt(
            Prompt::new("free", async |arguments: PromptArguments| {
                format!("{:?}", arguments.text("any"))
            })
            .additional_arguments(true),
        )
        .build()
        .unwrap()
}

async fn tool(name: &str, arguments: &str) -> TestReply {
    // As text, so that numbers stay as they are written.
    let mut call = call("tools/call", json!({"name": name}));
    call.set_param(
        "arguments",
        &carryall_types::RawJson::parse(arguments.to_owned()).unwrap(),
    );
    answer(&server(), call).await
}

/// What a tool that was refused its arguments says.
async fn refused(name: &str, arguments: &str) -> String {
    let answered = tool(name, arguments).await;
    let result = answered.result();
    assert_eq!(result["isError"], true, "{result}");
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_misspelt_argument_is_refused_with_a_suggestion() {
    assert_eq!(
        refused("create_note", r#"{"title":"x","prioriy":"high"}"#).await,
        r#"Invalid arguments: unknown argument "prioriy": did you mean "priority"? (known: "title", "priority", "owner")"#
    );
    let told = refused("create_note", r#"{"titel":"x"}"#).await;
    assert!(
        told.contains(r#"did you mean "title"?"#)
            && told.contains(r#""title" is a required property"#),
        "{told}"
    );
    let fine = tool(
        "create_note",
        r#"{"title":"x","priority":"high","owner":{"name":"Ann","more":1}}"#,
    )
    .await;
    assert_eq!(
        fine.result()["content"][0]["text"],
        r#"x "high" Ann"#,
        "structs inside are open unless they say so"
    );
    let open = tool("open", r#"{"title":"x","prioriy":"high"}"#).await;
    assert_eq!(open.result()["content"][0]["text"], "x null ");
    let list = answer(&server(), call("tools/list", json!({}))).await;
    let tools = list.result()["tools"].as_array().unwrap().clone();
    let schema =
        |name: &str| tools.iter().find(|tool| tool["name"] == name).unwrap()["inputSchema"].clone();
    assert_eq!(schema("create_note")["additionalProperties"], false);
    assert_eq!(schema("open")["additionalProperties"], true);
}

#[tokio::test]
async fn a_value_that_is_not_a_choice_is_refused_with_the_choices() {
    assert_eq!(
        refused("create_note", r#"{"title":"x","priority":"urgent"}"#).await,
        r#"Invalid arguments: /priority: "urgent" is not one of "low", "normal", "high""#
    );
    assert_eq!(
        refused("create_note", r#"{"title":"x","owner":{"name":5}}"#).await,
        r#"Invalid arguments: /owner/name: 5 is not of type "string""#
    );
}

// JSON Schema validation 6.1.1: a number without a fraction is an integer, however it is written.
#[tokio::test]
async fn integers_may_have_a_zero_fraction() {
    let text = r#"{"signed":-2.0,"small":1e3,"many":[1.0,2],"by_name":{"a":3.0},"float":2.0,"inside":4.0,"half":5}"#;
    let answered = tool("numbers", text).await;
    assert_eq!(
        answered.result()["structuredContent"],
        json!({"signed": -2, "small": 1000, "many": [1, 2], "by_name": {"a": 3}, "float": 2.0, "inside": 4, "half": 5.0})
    );
    for (text, why) in [
        (
            r#"{"signed":2.5}"#,
            r#"/signed: 2.5 is not of type "integer""#,
        ),
        (
            r#"{"signed":1,"inside":256.0}"#,
            "/inside: 256.0 is greater than the maximum of 255",
        ),
    ] {
        assert_eq!(
            refused("numbers", text).await,
            format!("Invalid arguments: {why}")
        );
    }
    // Exact beyond 2^53, and an error beyond the type.
    let answered = tool("numbers", r#"{"signed":9007199254740993.0}"#).await;
    assert_eq!(
        answered.result()["structuredContent"]["signed"],
        9_007_199_254_740_993_i64
    );
    assert!(
        refused("numbers", r#"{"signed":1e30}"#)
            .await
            .starts_with("Invalid arguments: ")
    );
}

#[tokio::test]
async fn integers_in_forms_may_have_a_zero_fraction() {
    let server = server();
    let able = meta_with(
        &json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}),
    );
    let params = json!({"name": "book", "arguments": {}, "_meta": able});
    let asked = answer(&server, call("tools/call", params.clone())).await;
    let state = asked.result()["requestState"].clone();
    let key = asked.result()["inputRequests"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap()
        .clone();
    let round = |count: Value, row: Value| {
        let mut params = params.clone();
        params["requestState"] = state.clone();
        let answer = json!({"action": "accept", "content": {"count": count, "row": row}});
        params["inputResponses"] = json!({key.clone(): answer});
        call("tools/call", params)
    };
    let booked = answer(&server, round(json!(2.0), json!(1e3))).await;
    assert_eq!(booked.result()["content"][0]["text"], "2 in row Some(1000)");
    let refused = answer(&server, round(json!(2.5), json!(1))).await;
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("whole number"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_unknown_argument_of_a_prompt_is_refused_by_default() {
    let get = async |name: &str, arguments: Value| {
        answer(
            &server(),
            call("prompts/get", json!({"name": name, "arguments": arguments})),
        )
        .await
    };
    let refused = get("review", json!({"code": "x", "strictnes": "1"})).await;
    let error = refused.error();
    assert_eq!(error["code"], -32602);
    assert_eq!(
        error["message"],
        r#"Unknown argument "strictnes": did you mean "strictness"? (known: "code", "strictness")"#
    );
    let long = get("review", json!({"code": "x", "y".repeat(10_000): "1"})).await;
    assert!(long.error()["message"].as_str().unwrap().len() < 200);
    let text = |answered: &TestReply| answered.result()["messages"][0]["content"]["text"].clone();
    assert_eq!(
        text(&get("review", json!({"code": "x", "strictness": "1"})).await),
        "Some(\"1\")"
    );
    assert_eq!(text(&get("free", json!({"any": "1"})).await), "Some(\"1\")");
}
