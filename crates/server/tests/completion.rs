//! Completion of prompt arguments and template variables.

use carryall_server::{
    CompletionQuery, HandlerError, Prompt, Resource, Server, Suggestions, matching,
};
use carryall_testkit::{TestReply, answer, call, call_as};
use serde_json::{Value, json};
use std::time::Duration;

fn builder() -> carryall_server::ServerBuilder {
    Server::new("completion", "1")
        .prompt(
            Prompt::new("code", async || "")
                .argument("language", "", true)
                .argument("framework", "", false),
        )
        .prompt(
            Prompt::new("many", async || "")
                .argument("n", "", false)
                .argument("m", "", false),
        )
        .prompt(
            Prompt::new("hidden", async || "")
                .argument("a", "", false)
                .requires_scope("admin"),
        )
        .resource(Resource::template("x://{city}", "city", async || ""))
        .resource(Resource::new("x:one", "one", async || ""))
        .complete_prompt("code", "language", async |typed: CompletionQuery| {
            matching(["rust", "python", "cython", "pycharm"], &typed.value)
        })
        .complete_prompt(
            "code",
            "framework",
            async |typed: CompletionQuery| match typed.resolved.get("language").map(String::as_str)
            {
                Some("python") => vec!["flask"],
                _ => vec!["axum"],
            },
        )
        .complete_prompt("many", "n", async || {
            (0..1000).map(|n| n.to_string()).collect::<Suggestions>()
        })
        .complete_prompt("many", "m", async || Suggestions::from_iter(["a"]).total(7))
        .complete_prompt("hidden", "a", async || vec!["secret"])
        .complete_template("x://{city}", "city", async |typed: CompletionQuery| {
            if typed.value == "!" {
                std::fs::read_to_string("/nowhere/secret-name")?;
            }
            Ok::<_, HandlerError>(vec!["Bern"])
        })
}

fn params(reference: Value, argument: &str, value: &str) -> Value {
    json!({"ref": reference, "argument": {"name": argument, "value": value}})
}

fn prompt(name: &str) -> Value {
    json!({"type": "ref/prompt", "name": name})
}

fn template(uri: &str) -> Value {
    json!({"type": "ref/resource", "uri": uri})
}

async fn complete(params: Value) -> TestReply {
    answer(
        &builder().build().unwrap(),
        call("completion/complete", params),
    )
    .await
}

fn completion(answered: &TestReply) -> &Value {
    &answered.result()["completion"]
}

// spec: completion-04
#[tokio::test]
async fn suggestions_match_the_input_best_first() {
    let answered = complete(params(prompt("code"), "language", "PY")).await;
    assert_eq!(
        completion(&answered),
        &json!({"values": ["python", "pycharm"], "total": 2, "hasMore": false})
    );
    let answered = complete(params(prompt("code"), "language", "th")).await;
    assert_eq!(completion(&answered)["values"], json!(["python", "cython"]));
    let answered = complete(params(template("x://{city}"), "city", "B")).await;
    assert_eq!(completion(&answered)["values"], json!(["Bern"]));
    assert_eq!(answered.result()["resultType"], json!("complete"));
}

#[tokio::test]
async fn resolved_arguments_reach_the_handler() {
    let mut settled = params(prompt("code"), "framework", "");
    settled["context"] = json!({"arguments": {"language": "python"}});
    assert_eq!(
        completion(&complete(settled).await)["values"],
        json!(["flask"])
    );
    assert_eq!(
        completion(&complete(params(prompt("code"), "framework", "")).await)["values"],
        json!(["axum"])
    );
}

// spec: completion-02
#[tokio::test]
async fn a_completion_has_at_most_a_hundred_values() {
    let answered = complete(params(prompt("many"), "n", "")).await;
    assert_eq!(
        completion(&answered)["values"].as_array().unwrap().len(),
        100
    );
    assert_eq!(
        (
            &completion(&answered)["total"],
            &completion(&answered)["hasMore"]
        ),
        (&json!(1000), &json!(true))
    );
    let answered = complete(params(prompt("many"), "m", "")).await;
    assert_eq!(
        completion(&answered),
        &json!({"values": ["a"], "total": 7, "hasMore": true})
    );
}

// spec: completion-03, completion-04, completion-06
#[tokio::test]
async fn wrong_requests_are_invalid_params() {
    for wrong in [
        params(prompt("absent"), "a", ""),
        params(template("x://{other}"), "city", ""),
        params(prompt("code"), "absent", ""),
        params(template("x://{city}"), "absent", ""),
        params(template("x:one"), "absent", ""),
        params(json!({"type": "ref/tool", "name": "code"}), "language", ""),
        params(json!({"type": "ref/prompt"}), "language", ""),
        json!({"ref": prompt("code")}),
        json!({"ref": prompt("code"), "argument": {"name": "language"}}),
        json!({"ref": prompt("code"), "argument": {"name": "language", "value": 1}}),
        json!({"argument": {"name": "language", "value": ""}}),
    ] {
        assert_eq!(complete(wrong.clone()).await.code(), -32602, "{wrong}");
    }
}

// spec: completion-03, completion-06
#[tokio::test]
async fn an_error_of_a_handler_is_an_internal_error_without_its_reason() {
    let answered = complete(params(template("x://{city}"), "city", "!")).await;
    assert_eq!(
        answered.error(),
        &json!({"code": -32603, "message": "Internal error"})
    );
}

// spec: completion-06
#[tokio::test]
async fn restricted_entries_complete_nothing() {
    let server = builder().build().unwrap();
    let hidden = || params(prompt("hidden"), "a", "");
    let refused = answer(&server, call("completion/complete", hidden())).await;
    assert_eq!(
        refused.error(),
        &json!({"code": -32602, "message": "Unknown prompt: hidden"})
    );
    let allowed = answer(
        &server,
        call_as("ann", &["admin"], "completion/complete", hidden()),
    )
    .await;
    assert_eq!(completion(&allowed)["values"], json!(["secret"]));
}

// spec: completion-04, completion-06
#[tokio::test]
async fn completions_are_rate_limited() {
    let server = builder()
        .completion_rate_limit(2, Duration::from_secs(3600))
        .build()
        .unwrap();
    let ask = || {
        answer(
            &server,
            call(
                "completion/complete",
                params(prompt("code"), "language", ""),
            ),
        )
    };
    assert!(ask().await.result().is_object() && ask().await.result().is_object());
    let refused = ask().await;
    assert_eq!(refused.code(), -31002);
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("try again in")
    );
}

#[tokio::test]
async fn an_argument_without_a_handler_has_no_suggestions() {
    let silent = Prompt::new("p", async || "").argument("quiet", "", false);
    let server = builder().prompt(silent).build().unwrap();
    let answered = answer(
        &server,
        call("completion/complete", params(prompt("p"), "quiet", "x")),
    )
    .await;
    assert_eq!(
        completion(&answered),
        &json!({"values": [], "total": 0, "hasMore": false})
    );
}
