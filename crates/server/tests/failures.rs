//! Errors of handlers: logged with their causes, and disclosed as the author chooses.

use carryall_server::{
    Ctx, Disclosure, ErrorAction, Handle, HandleError, HandleState, HandlerError, Prompt, Resource,
    Server, ServerBuilder, TaskSupport, Tool, ToolOutput,
};
use carryall_testkit::{LogCollector, answer, call, call_over_http, meta_with};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

#[derive(Debug)]
struct Outer(Inner);

#[derive(Debug)]
struct Inner;

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot save\nERROR forged \u{1b}[31m")
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("swordfish is taken")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl std::error::Error for Inner {}

fn fails<T>() -> Result<T, Outer> {
    Err(Outer(Inner))
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Basket;

impl HandleState for Basket {
    const KIND: &'static str = "basket";
}

fn failing() -> ServerBuilder {
    Server::new("failing", "1")
        .tool(Tool::new("fails", async || {
            Ok::<String, HandlerError>(fails()?)
        }))
        .tool(Tool::new("says", async || {
            Err::<(), _>(HandlerError::new("not on Sundays"))
        }))
        .tool(Tool::new("shows", async || {
            ToolOutput::text("not on Mondays").failed()
        }))
        .tool(
            Tool::new("later", async || Ok::<String, HandlerError>(fails()?))
                .as_task(TaskSupport::Always),
        )
        .tool(Tool::new("opens", async |ctx: Ctx| {
            let made_up: Handle<Basket> = serde_json::from_value(json!("basket_made_up"))?;
            let opened: Result<Basket, HandleError> = ctx.open_handle(&made_up).await;
            opened?;
            Ok::<_, HandlerError>(())
        }))
        .tool(
            Tool::new("slow", async || std::future::pending::<()>().await).timeout(Duration::ZERO),
        )
        .tool(Tool::new("admin", async || "ok").requires_scope("admin"))
        .prompt(
            Prompt::new("fails", async || Ok::<String, HandlerError>(fails()?))
                .argument("a", "", false),
        )
        .resource(Resource::template("x:{name}", "r", async || {
            Ok::<String, HandlerError>(fails()?)
        }))
        .complete_prompt("fails", "a", async || {
            Ok::<Vec<String>, HandlerError>(fails()?)
        })
}

async fn logged(builder: ServerBuilder, calls: &[(&str, Value)]) -> (LogCollector, Vec<Value>) {
    let (log, _guard) = LogCollector::start();
    let server = builder.build().unwrap();
    let mut answers = Vec::new();
    for (method, params) in calls {
        answers.push(answer(&server, call(method, params.clone())).await.response);
    }
    (log, answers)
}

fn all_others() -> [(&'static str, Value); 3] {
    [
        ("prompts/get", json!({"name": "fails"})),
        ("resources/read", json!({"uri": "x:y"})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "fails"}, "argument": {"name": "a", "value": ""}}),
        ),
    ]
}

const CHAIN: &str = r"cannot save\nERROR forged \u{1b}[31m: swordfish is taken";

#[tokio::test]
async fn an_unexpected_error_is_logged_with_its_causes_on_one_line() {
    let (log, answers) = logged(failing(), &[("tools/call", json!({"name": "fails"}))]).await;
    let lines = log.containing("handler failed");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("WARN") && lines[0].contains(CHAIN),
        "{lines:?}"
    );
    assert!(
        lines[0].contains("tools/call") && lines[0].contains("name=fails"),
        "{lines:?}"
    );
    let result = &answers[0]["result"];
    assert_eq!(result["isError"], true);
    assert_eq!(
        result["content"][0]["text"],
        Outer(Inner).to_string(),
        "the model reads the error and not its causes"
    );
}

#[tokio::test]
async fn prompts_resources_and_completions_are_logged_as_tools_are() {
    let (log, answers) = logged(failing(), &all_others()).await;
    let lines = log.containing("handler failed");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("WARN") && line.contains(CHAIN)),
        "{lines:?}"
    );
    for answer in answers {
        assert_eq!(
            answer["error"],
            json!({"code": -32603, "message": "Internal error"})
        );
    }
}

#[tokio::test]
async fn masked_errors_show_a_reference_that_is_logged() {
    let mut calls = all_others().to_vec();
    calls.push(("tools/call", json!({"name": "fails"})));
    let (log, answers) = logged(failing().mask_errors(true), &calls).await;
    let mut references = std::collections::HashSet::new();
    for answer in answers {
        let text = answer["error"]["message"]
            .as_str()
            .or(answer["result"]["content"][0]["text"].as_str())
            .unwrap();
        assert!(!text.contains("save"), "{text}");
        let reference = text
            .split_once("(reference ")
            .unwrap()
            .1
            .trim_end_matches(')');
        assert_eq!(reference.len(), 12, "{text}");
        let lines = log.containing(reference);
        assert!(lines.len() == 1 && lines[0].contains(CHAIN), "{lines:?}");
        references.insert(reference.to_owned());
    }
    assert_eq!(references.len(), 4, "each failure has its own");
}

#[tokio::test]
async fn deliberate_errors_are_not_masked_and_are_logged_at_debug_level() {
    let calls = ["says", "shows", "opens"].map(|name| ("tools/call", json!({"name": name})));
    let (log, answers) = logged(failing().mask_errors(true), &calls).await;
    let texts = [
        "not on Sundays",
        "not on Mondays",
        "This basket is not known, or has expired: create a new one",
    ];
    for (answer, text) in answers.iter().zip(texts) {
        assert_eq!(answer["result"]["content"][0]["text"], text);
        assert_eq!(answer["result"]["isError"], true);
        let lines = log.containing(text);
        assert!(
            lines.len() == 1 && lines[0].starts_with("DEBUG"),
            "{lines:?}"
        );
    }
    assert_eq!(log.containing("handler failed"), [""; 0]);
}

/// Returns the message that the client reads, in a result or an error.
fn message_of(answer: &Value) -> &str {
    answer["error"]["message"]
        .as_str()
        .or(answer["result"]["content"][0]["text"].as_str())
        .unwrap()
}

#[tokio::test]
async fn any_error_can_be_returned_with_a_question_mark() {
    let builder = Server::new("x", "1")
        .tool(Tool::new("text", async || {
            Err("no such thing")?;
            Ok::<_, HandlerError>("")
        }))
        .tool(Tool::new("string", async || {
            Err(format!("no such {}", "string"))?;
            Ok::<_, HandlerError>("")
        }))
        .tool(Tool::new("boxed", async || {
            let boxed: Result<&str, carryall_proto::BoxError> = Err(Box::new(Outer(Inner)));
            Ok::<_, HandlerError>(boxed?)
        }))
        .tool(Tool::new("plain", async || fails::<&str>()));
    let calls =
        ["text", "string", "boxed", "plain"].map(|name| ("tools/call", json!({"name": name})));
    let (_, answers) = logged(builder, &calls).await;
    let outer = Outer(Inner).to_string();
    for (answer, text) in answers
        .iter()
        .zip(["no such thing", "no such string", &outer, &outer])
    {
        assert_eq!(
            (message_of(answer), &answer["result"]["isError"]),
            (text, &json!(true))
        );
    }
}

#[tokio::test]
async fn deliberate_errors_of_prompts_are_json_rpc_errors_with_their_message() {
    let builder = Server::new("x", "1")
        .prompt(Prompt::new("says", async || {
            Err::<String, _>(HandlerError::new("not on Sundays"))
        }))
        .prompt(Prompt::new("opens", async |ctx: Ctx| {
            let made_up: Handle<Basket> = serde_json::from_value(json!("basket_made_up"))?;
            ctx.open_handle(&made_up).await?;
            Ok::<_, HandlerError>("opened")
        }));
    let calls = ["says", "opens"].map(|name| ("prompts/get", json!({"name": name})));
    let (_, answers) = logged(builder, &calls).await;
    assert_eq!(
        answers[0]["error"],
        json!({"code": -32603, "message": "not on Sundays"})
    );
    assert_eq!(answers[1]["error"]["code"], -32602);
    assert!(message_of(&answers[1]).contains("create a new one"));
}

#[tokio::test]
async fn an_error_overrides_the_policy_of_its_server() {
    let builder = || {
        Server::new("x", "1")
            .tool(Tool::new("masked", async || {
                fails::<&str>().map_err(|error| HandlerError::from(error).masked())
            }))
            .tool(Tool::new("open", async || {
                fails::<&str>()
                    .map_err(|error| HandlerError::from(error).disclosing(Disclosure::Message))
            }))
            .prompt(Prompt::new("worded", async || {
                let worded = Disclosure::Text("come back later".into());
                fails::<String>().map_err(|error| HandlerError::from(error).disclosing(worded))
            }))
    };
    let calls = [
        ("tools/call", json!({"name": "masked"})),
        ("tools/call", json!({"name": "open"})),
        ("prompts/get", json!({"name": "worded"})),
    ];
    for mask in [true, false] {
        let (log, answers) = logged(builder().mask_errors(mask), &calls).await;
        assert!(
            message_of(&answers[0]).starts_with("The tool failed (reference "),
            "{mask}"
        );
        assert_eq!(message_of(&answers[1]), Outer(Inner).to_string(), "{mask}");
        assert_eq!(
            answers[2]["error"],
            json!({"code": -32603, "message": "come back later"})
        );
        assert_eq!(log.containing(CHAIN).len(), 3, "{mask}");
    }
}

#[tokio::test]
async fn one_policy_decides_for_all_handlers_of_a_server() {
    let builder = failing().on_error(|failed| {
        assert!(failed.error.is::<Outer>());
        let action = ErrorAction::new(Disclosure::Text(format!(
            "{} {} went wrong",
            failed.method.as_str(),
            failed.name
        )));
        if failed.is_tool() {
            action.log_at(tracing::Level::ERROR)
        } else {
            action.without_log()
        }
    });
    let mut calls = all_others().to_vec();
    calls.push(("tools/call", json!({"name": "fails"})));
    let (log, answers) = logged(builder, &calls).await;
    assert_eq!(message_of(&answers[0]), "prompts/get fails went wrong");
    assert_eq!(message_of(&answers[1]), "resources/read x:y went wrong");
    assert_eq!(message_of(&answers[3]), "tools/call fails went wrong");
    let lines = log.containing("handler failed");
    assert!(
        lines.len() == 1 && lines[0].starts_with("ERROR"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_task_that_fails_is_logged_and_masked_and_its_id_is_not_logged() {
    let (log, _guard) = LogCollector::start();
    let server = failing().mask_errors(true).build().unwrap();
    let able = meta_with(&json!({"io.modelcontextprotocol/clientCapabilities":
        {"extensions": {"io.modelcontextprotocol/tasks": {}}}}));
    let made = answer(
        &server,
        call("tools/call", json!({"name": "later", "_meta": able})),
    )
    .await;
    let id = made.result()["taskId"].as_str().unwrap().to_owned();
    for _ in 0..1_000 {
        let task = answer(
            &server,
            call("tasks/get", json!({"taskId": id, "_meta": able})),
        )
        .await;
        if task.result()["status"] == "completed" {
            let text = task.result()["result"]["content"][0]["text"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(text.starts_with("The tool failed (reference "), "{text}");
            assert_eq!(log.containing("handler failed").len(), 1);
            assert_eq!(
                log.containing(&id),
                [""; 0],
                "whoever has the id can read the task"
            );
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the task does not end");
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_logged() {
    let (log, _) = logged(failing(), &[("tools/call", json!({"name": "slow"}))]).await;
    assert_eq!(log.containing("handler timed out").len(), 1);
}

#[tokio::test]
async fn credentials_without_a_principal_are_warned_of_once() {
    let (log, _guard) = LogCollector::start();
    let server = failing().build().unwrap();
    let warned = || {
        log.containing("Authorization header and no principal")
            .len()
    };
    answer(&server, call("tools/call", json!({"name": "admin"}))).await;
    assert_eq!(warned(), 0, "nobody has tried to say who they are");
    for _ in 0..2 {
        let with_token = call_over_http(
            &[("authorization", "Bearer t0ken")],
            "tools/call",
            json!({"name": "admin"}),
        );
        assert_eq!(answer(&server, with_token).await.code(), -32602);
        assert_eq!(warned(), 1);
    }
    assert_eq!(log.containing("t0ken"), [""; 0]);
    let open = Server::new("open", "1")
        .tool(Tool::new("a", async || "ok"))
        .build()
        .unwrap();
    answer(
        &open,
        call_over_http(
            &[("authorization", "Bearer t0ken")],
            "tools/list",
            json!({}),
        ),
    )
    .await;
    assert_eq!(
        warned(),
        1,
        "without restricted entries no principal is needed"
    );
}
