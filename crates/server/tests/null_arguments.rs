//! `"arguments": null`, which some clients write where there are none.

use carryall_server::{Prompt, PromptArguments, Server, Tool};
use carryall_testkit::{answer, call};
use carryall_types::JsonObject;
use serde_json::json;

fn server() -> Server {
    let schema: JsonObject = serde_json::from_value(
        json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}),
    )
    .unwrap();
    Server::new("null", "1")
        .tool(Tool::new("hello", async || "hello"))
        .tool(Tool::dynamic("add", schema, async |sum: JsonObject| {
            sum.len().to_string()
        }))
        .prompt(Prompt::new("greet", async |arguments: PromptArguments| {
            arguments
                .optional::<String>("name")
                .map(|name| name.unwrap_or_else(|| "nobody".into()))
        }))
        .build()
        .unwrap()
}

#[tokio::test]
async fn arguments_that_are_null_are_none() {
    let server = server();
    let hello = answer(
        &server,
        call("tools/call", json!({"name": "hello", "arguments": null})),
    )
    .await;
    assert_eq!(hello.text(), "hello");
    let greeted = answer(
        &server,
        call("prompts/get", json!({"name": "greet", "arguments": null})),
    )
    .await;
    assert_eq!(greeted.result()["messages"][0]["content"]["text"], "nobody");
}

#[tokio::test]
async fn null_is_no_value_for_an_argument_that_is_required() {
    let refused = answer(
        &server(),
        call("tools/call", json!({"name": "add", "arguments": null})),
    )
    .await;
    assert_eq!(refused.result()["isError"], true, "as without arguments");
    for other in [json!([]), json!("{}"), json!(0), json!(false)] {
        let refused = answer(
            &server(),
            call("tools/call", json!({"name": "hello", "arguments": other})),
        )
        .await;
        assert_eq!(refused.code(), -32602, "{other}");
    }
}
