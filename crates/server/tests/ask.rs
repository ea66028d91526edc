//! `ctx.ask` and `ctx.once`: calls in rounds that any replica can take, and the protection of
//! `requestState`.
#![allow(deprecated)]

use carryall_proto::Call;
use carryall_proto::seal::{Keyring, SealingKey};
use carryall_server::{
    Ask, Ctx, ElicitOutcome, Form, HandlerError, Prompt, Resource, Server, ServerBuilder, Tool,
};
use carryall_testkit::{TestReply, answer, call, call_as, meta_with};
use carryall_types::{
    CreateMessageRequestParams, ElicitRequestURLParams, ListRootsRequestParams, Role,
    SamplingMessage,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[derive(Deserialize, JsonSchema)]
struct Confirm {
    /// Really?
    sure: bool,
}

#[derive(Deserialize, JsonSchema)]
struct Named {
    name: String,
}

#[derive(Deserialize, JsonSchema)]
struct Files {
    folder: String,
}

fn keyring(id: u32) -> Keyring {
    Keyring::new(SealingKey::new(id, [id as u8; 32]))
}

/// Counts the effects of `once`, on all replicas together.
#[derive(Clone, Default)]
struct Effects(Arc<AtomicUsize>);

fn builder(effects: &Effects) -> ServerBuilder {
    builder_named("asking", effects)
}

fn builder_named(name: &str, effects: &Effects) -> ServerBuilder {
    Server::new(name, "1")
        .state(effects.clone())
        .tool(Tool::new("delete", async |ctx: Ctx, args: Files| {
            let asked = ctx
                .ask(Form::<Confirm>::new(format!("Delete {}?", args.folder)))
                .await?;
            Ok::<_, HandlerError>(match asked {
                ElicitOutcome::Accepted(Confirm { sure: true }) => {
                    format!("{} is gone", args.folder)
                }
                ElicitOutcome::Accepted(_) => "not sure".into(),
                ElicitOutcome::Declined => "declined".into(),
                ElicitOutcome::Cancelled => "cancelled".into(),
            })
        }))
        .tool(Tool::new("other", async |ctx: Ctx, args: Files| {
            let asked = ctx
                .ask(Form::<Confirm>::new(format!("Delete {}?", args.folder)))
                .await?;
            Ok::<_, HandlerError>(format!("other {}", asked.accepted().is_some()))
        }))
        .tool(Tool::new("twice", async |ctx: Ctx| {
            let effects = ctx.state::<Effects>().unwrap();
            let number = ctx
                .once("reserve", async || {
                    Ok::<_, HandlerError>(effects.0.fetch_add(1, Ordering::Relaxed) + 1)
                })
                .await?;
            let name = ctx.ask(Form::<Named>::new("What is your name?")).await?;
            let again = ctx.ask(Form::<Named>::new("What is your name?")).await?;
            let (ElicitOutcome::Accepted(name), ElicitOutcome::Accepted(again)) = (name, again)
            else {
                return Ok("no name".into());
            };
            Ok::<_, HandlerError>(format!("{number}: {} {}", name.name, again.name))
        }))
        .tool(Tool::new("everything", async |ctx: Ctx| {
            let words =
                CreateMessageRequestParams::new(vec![SamplingMessage::new(Role::User, "hi")], 10);
            let (name, (), said, roots) = {
                let questions = (
                    Form::<Named>::new("Who?"),
                    ElicitRequestURLParams::new("Sign in", "https://example.com/in"),
                    words,
                    ListRootsRequestParams::default(),
                );
                let (name, page, said, roots) = ctx.ask(questions).await?;
                let (ElicitOutcome::Accepted(name), ElicitOutcome::Accepted(())) = (name, page)
                else {
                    return Err(HandlerError::new("somebody said no"));
                };
                (name, (), said, roots)
            };
            Ok(format!(
                "{} {} {}",
                name.name,
                said.content.text(),
                roots.len()
            ))
        }))
        .tool(Tool::new("named", async |ctx: Ctx| {
            let asked = ctx
                .ask_as(
                    "seat",
                    Form::<Named>::new(format!("{:?}", std::time::Instant::now())),
                )
                .await?;
            Ok::<_, HandlerError>(asked.accepted().map(|named| named.name).unwrap_or_default())
        }))
        .tool(Tool::new("moving", async |ctx: Ctx| {
            let asked = ctx
                .ask(Form::<Named>::new(format!(
                    "{:?}",
                    std::time::Instant::now()
                )))
                .await?;
            Ok::<_, HandlerError>(asked.accepted().map(|named| named.name).unwrap_or_default())
        }))
        .prompt(Prompt::new("greet", async |ctx: Ctx| {
            let asked = ctx.ask(Form::<Named>::new("Who?")).await?;
            Ok::<_, HandlerError>(format!(
                "Greet {}",
                asked.accepted().map(|named| named.name).unwrap_or_default()
            ))
        }))
        .resource(Resource::new(
            "asking://secret",
            "secret",
            async |ctx: Ctx| {
                let asked = ctx.ask(Form::<Named>::new("Who?")).await?;
                Ok::<_, HandlerError>(asked.accepted().map(|named| named.name).unwrap_or_default())
            },
        ))
}

fn replica() -> Server {
    builder(&Effects::default())
        .keyring(keyring(1))
        .build()
        .unwrap()
}

/// A client that can answer everything.
fn capable_meta() -> Value {
    let capabilities = json!({"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}});
    meta_with(&json!({"io.modelcontextprotocol/clientCapabilities": capabilities}))
}

fn params(name: &str, arguments: Value) -> Value {
    json!({"name": name, "arguments": arguments, "_meta": capable_meta()})
}

fn accept(content: Value) -> Value {
    json!({"action": "accept", "content": content})
}

/// Returns the state and the keys of an `input_required` result.
fn asked(answered: &TestReply) -> (String, Vec<String>) {
    let result = answered.result();
    assert_eq!(result["resultType"], "input_required", "{result}");
    let keys = result["inputRequests"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    (result["requestState"].as_str().unwrap().to_owned(), keys)
}

/// Returns the next round, with one answer to all questions.
fn next(mut params: Value, before: &TestReply, reply: &Value) -> Value {
    let (state, keys) = asked(before);
    params["requestState"] = state.into();
    params["inputResponses"] = keys
        .into_iter()
        .map(|key| (key, reply.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    params
}

async fn tool(server: &Server, params: Value) -> TestReply {
    answer(server, call("tools/call", params)).await
}

// spec: mrtr-06, mrtr-16, elicitation-10, elicitation-13
#[tokio::test]
async fn another_replica_can_answer_the_second_round() {
    let params = params("delete", json!({"folder": "logs"}));
    let first = tool(&replica(), params.clone()).await;
    let question = first.result()["inputRequests"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap()
        .clone();
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "Delete logs?");
    let sure = json!({"type": "boolean", "description": "Really?"});
    assert_eq!(
        question["params"]["requestedSchema"]["properties"]["sure"],
        sure
    );
    assert_eq!(
        question["params"]["requestedSchema"]["required"],
        json!(["sure"])
    );
    let second = tool(
        &replica(),
        next(params, &first, &accept(json!({"sure": true}))),
    )
    .await;
    assert_eq!(second.text(), "logs is gone");
}

// spec: elicitation-23, elicitation-24
#[tokio::test]
async fn declining_is_an_answer() {
    let params = params("delete", json!({"folder": "logs"}));
    let first = tool(&replica(), params.clone()).await;
    for (reply, said) in [
        (accept(json!({"sure": false})), "not sure"),
        (json!({"action": "decline"}), "declined"),
        (json!({"action": "cancel"}), "cancelled"),
        (
            json!({"action": "decline", "content": {"sure": true}}),
            "declined",
        ),
    ] {
        let second = tool(&replica(), next(params.clone(), &first, &reply)).await;
        assert_eq!(second.text(), said, "{reply}");
    }
}

// spec: mrtr-19
#[tokio::test]
async fn answers_accumulate_and_an_effect_happens_once() {
    let effects = Effects::default();
    let replica = || builder(&effects).keyring(keyring(1)).build().unwrap();
    let params = params("twice", json!({}));
    let first = tool(&replica(), params.clone()).await;
    let second = tool(
        &replica(),
        next(params.clone(), &first, &accept(json!({"name": "Ada"}))),
    )
    .await;
    assert_ne!(
        asked(&first).1,
        asked(&second).1,
        "a repeated question has its own key"
    );
    let third = tool(
        &replica(),
        next(params, &second, &accept(json!({"name": "Bo"}))),
    )
    .await;
    assert_eq!(third.text(), "1: Ada Bo");
    assert_eq!(effects.0.load(Ordering::Relaxed), 1);
}

// spec: mrtr-07
#[tokio::test]
async fn several_questions_are_asked_in_one_round() {
    let params = params("everything", json!({}));
    let first = tool(&replica(), params.clone()).await;
    let (state, keys) = asked(&first);
    assert_eq!(keys.len(), 4);
    let answers = |of: &[usize]| {
        let all = [
            accept(json!({"name": "Ada"})),
            json!({"action": "accept"}),
            json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "hello"}}),
            json!({"roots": [{"uri": "file:///a"}, {"uri": "file:///b"}]}),
        ];
        of.iter()
            .map(|&at| (keys[at].clone(), all[at].clone()))
            .collect::<serde_json::Map<_, _>>()
    };
    let mut complete = params.clone();
    complete["requestState"] = state.clone().into();
    complete["inputResponses"] = answers(&[0, 1, 2, 3]).into();
    assert_eq!(tool(&replica(), complete).await.text(), "Ada hello 2");

    // Some answers are recorded, and only the others are requested again.
    let mut partial = params.clone();
    partial["requestState"] = state.into();
    partial["inputResponses"] = answers(&[0, 2]).into();
    let second = tool(&replica(), partial).await;
    let (state, rest) = asked(&second);
    assert_eq!(rest, [keys[1].clone(), keys[3].clone()]);
    let mut complete = params;
    complete["requestState"] = state.into();
    complete["inputResponses"] = answers(&[1, 3]).into();
    assert_eq!(tool(&replica(), complete).await.text(), "Ada hello 2");
}

// spec: mrtr-26, mrtr-27, mrtr-28, mrtr-29, elicitation-39
#[tokio::test]
async fn missing_answers_are_requested_again_unknown_ones_ignored_and_malformed_ones_refused() {
    let params = params("delete", json!({"folder": "logs"}));
    let first = tool(&replica(), params.clone()).await;
    let (state, keys) = asked(&first);
    let with = |responses: Value| {
        let mut params = params.clone();
        params["requestState"] = state.clone().into();
        params["inputResponses"] = responses;
        params
    };
    let key = keys[0].as_str();
    let flood: serde_json::Map<_, _> = (0..10_000)
        .map(|n| (format!("key-{n}"), accept(json!({"sure": true}))))
        .collect();
    for nothing in [
        json!({}),
        json!({"unknown": accept(json!({"sure": true}))}),
        Value::Object(flood),
    ] {
        let again = tool(&replica(), with(nothing)).await;
        assert_eq!(asked(&again).1, keys);
        assert!(
            asked(&again).0.len() < 512,
            "unrequested answers are not recorded"
        );
    }
    let mut good = with(json!({"unknown": 1}));
    good["inputResponses"][key] = accept(json!({"sure": true}));
    assert_eq!(tool(&replica(), good).await.text(), "logs is gone");
    for bad in [
        json!("yes"),
        json!({"action": "maybe"}),
        json!({"action": "accept"}),
        accept(json!({"sure": "yes"})),
        accept(json!({})),
    ] {
        let refused = tool(&replica(), with(json!({ key: bad.clone() }))).await;
        assert_eq!(refused.code(), -32602, "{bad}");
        assert!(
            refused.error()["message"].as_str().unwrap().contains(key),
            "{}",
            refused.error()
        );
    }
    for bad in [json!([]), json!("x"), json!(1)] {
        assert_eq!(
            tool(&replica(), with(bad.clone())).await.code(),
            -32602,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn the_first_answer_to_a_question_stays() {
    let params = params("twice", json!({}));
    let first = tool(&replica(), params.clone()).await;
    let second = tool(
        &replica(),
        next(params.clone(), &first, &accept(json!({"name": "Ada"}))),
    )
    .await;
    let mut third = next(params, &second, &accept(json!({"name": "Bo"})));
    third["inputResponses"][asked(&first).1[0].as_str()] = accept(json!({"name": "Eve"}));
    assert_eq!(tool(&replica(), third).await.text(), "1: Ada Bo");
}

#[tokio::test]
async fn a_changed_question_is_asked_again_unless_it_is_named() {
    let answer = accept(json!({"name": "Ada"}));
    let moving = params("moving", json!({}));
    let first = tool(&replica(), moving.clone()).await;
    let second = tool(&replica(), next(moving, &first, &answer)).await;
    assert_ne!(asked(&first).1, asked(&second).1);
    let named = params("named", json!({}));
    let first = tool(&replica(), named.clone()).await;
    assert_eq!(asked(&first).1, ["seat"]);
    assert_eq!(
        tool(&replica(), next(named, &first, &answer)).await.text(),
        "Ada"
    );
}

// spec: mrtr-04
#[tokio::test]
async fn prompts_and_resources_can_ask() {
    let answer_with = accept(json!({"name": "Ada"}));
    for (method, params) in [
        (
            "prompts/get",
            json!({"name": "greet", "_meta": capable_meta()}),
        ),
        (
            "resources/read",
            json!({"uri": "asking://secret", "_meta": capable_meta()}),
        ),
    ] {
        let first = answer(&replica(), call(method, params.clone())).await;
        let second = answer(&replica(), call(method, next(params, &first, &answer_with))).await;
        assert!(
            second.result().to_string().contains("Ada"),
            "{}",
            second.result()
        );
    }
}

// spec: mrtr-17, elicitation-09, sampling-04
#[tokio::test]
async fn undeclared_capabilities_are_an_error() {
    let mut params = params("delete", json!({"folder": "logs"}));
    for (capabilities, missing) in [
        (json!({}), json!({"elicitation": {"form": {}}})),
        (
            json!({"elicitation": {"url": {}}}),
            json!({"elicitation": {"form": {}}}),
        ),
    ] {
        params["_meta"] =
            meta_with(&json!({"io.modelcontextprotocol/clientCapabilities": capabilities}));
        let refused = tool(&replica(), params.clone()).await;
        assert_eq!(refused.code(), -32021);
        assert_eq!(refused.error()["data"]["requiredCapabilities"], missing);
    }
}

// spec: mrtr-08, mrtr-09, mrtr-10, mrtr-12, mrtr-14, mrtr-30, elicitation-25
#[tokio::test]
async fn request_state_is_bound_to_the_request_and_its_caller() {
    let params = params("delete", json!({"folder": "logs"}));
    let yes = accept(json!({"sure": true}));
    let ask = async |subject: &str, params: Value| {
        let call = call_as(subject, &[], "tools/call", params);
        answer(&replica(), call).await
    };
    let first = ask("alice", params.clone()).await;
    let second = next(params.clone(), &first, &yes);
    assert_eq!(ask("alice", second.clone()).await.text(), "logs is gone");
    // The order of members does not matter.
    let mut turned =
        json!({"requestState": second["requestState"], "arguments": second["arguments"]});
    turned["inputResponses"] = second["inputResponses"].clone();
    turned["_meta"] = capable_meta();
    turned["name"] = "delete".into();
    assert_eq!(ask("alice", turned).await.text(), "logs is gone");

    let refusal = {
        let mut altered = second.clone();
        altered["requestState"] = "nonsense".into();
        ask("alice", altered).await.error().clone()
    };
    assert_eq!(refusal["code"], -32602);
    let refused =
        |answered: TestReply| assert_eq!(*answered.error(), refusal, "all refusals are the same");
    refused(ask("bob", second.clone()).await);
    refused(answer(&replica(), call("tools/call", second.clone())).await);
    for (member, value) in [
        ("name", json!("other")),
        ("arguments", json!({"folder": "src"})),
    ] {
        let mut altered = second.clone();
        altered[member] = value;
        refused(ask("alice", altered).await);
    }
    let mut prompt = json!({"name": "greet", "_meta": capable_meta(), "inputResponses": {}});
    prompt["requestState"] = second["requestState"].clone();
    refused(answer(&replica(), call_as("alice", &[], "prompts/get", prompt)).await);
}

// spec: mrtr-08, mrtr-10
#[tokio::test]
async fn altered_or_truncated_request_state_is_refused() {
    let params = params("delete", json!({"folder": "logs"}));
    let first = tool(&replica(), params.clone()).await;
    let second = next(params, &first, &accept(json!({"sure": true})));
    let state = second["requestState"].as_str().unwrap().to_owned();
    let server = replica();
    for at in 0..state.len() {
        let mut altered = state.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        for bad in [String::from_utf8(altered).unwrap(), state[..at].to_owned()] {
            let mut params = second.clone();
            params["requestState"] = bad.into();
            assert_eq!(tool(&server, params).await.code(), -32602, "at {at}");
        }
    }
}

// spec: mrtr-13
#[tokio::test]
async fn request_state_and_keys_expire() {
    let params = params("delete", json!({"folder": "logs"}));
    let yes = accept(json!({"sure": true}));
    let brief = builder(&Effects::default())
        .keyring(keyring(1))
        .round_lifetime(Duration::ZERO)
        .build()
        .unwrap();
    let first = tool(&brief, params.clone()).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(
        tool(&replica(), next(params.clone(), &first, &yes))
            .await
            .code(),
        -32602,
        "expired"
    );

    let first = tool(&replica(), params.clone()).await;
    let second = next(params, &first, &yes);
    let with = |keyring| {
        builder(&Effects::default())
            .keyring(keyring)
            .build()
            .unwrap()
    };
    let rotated = keyring(2).with_opening(SealingKey::new(1, [1; 32]));
    assert_eq!(
        tool(&with(rotated), second.clone()).await.text(),
        "logs is gone",
        "the old key still opens"
    );
    assert_eq!(
        tool(&with(keyring(2)), second).await.code(),
        -32602,
        "the old key is retired"
    );
}

#[test]
fn a_replicated_server_needs_a_keyring() {
    let without = builder(&Effects::default())
        .replicated()
        .build()
        .unwrap_err();
    assert!(without.to_string().contains("keyring"), "{without}");
    builder(&Effects::default())
        .replicated()
        .keyring(keyring(1))
        .build()
        .unwrap();
}

#[tokio::test]
async fn without_a_keyring_only_the_sealing_server_opens_request_state() {
    let params = params("delete", json!({"folder": "logs"}));
    let plain = || builder(&Effects::default()).build().unwrap();
    let server = plain();
    let first = tool(&server, params.clone()).await;
    let round = next(params, &first, &accept(json!({"sure": true})));
    assert_eq!(
        tool(&plain(), round.clone()).await.code(),
        -32602,
        "another server in the same process"
    );
    assert_eq!(tool(&server.clone(), round).await.text(), "logs is gone");
}

/// Servers may share a keyring. One must not accept answers that were given to another.
#[tokio::test]
async fn request_state_is_bound_to_the_name_of_the_server() {
    let params = params("delete", json!({"folder": "logs"}));
    let server = |name| {
        builder_named(name, &Effects::default())
            .keyring(keyring(1))
            .build()
            .unwrap()
    };
    let first = tool(&server("staging"), params.clone()).await;
    let round = next(params, &first, &accept(json!({"sure": true})));
    assert_eq!(
        tool(&server("production"), round.clone()).await.code(),
        -32602
    );
    assert_eq!(tool(&server("staging"), round).await.text(), "logs is gone");
}

// spec: mrtr-18
#[tokio::test]
async fn an_unanswered_question_keeps_nothing() {
    let server = replica();
    for _ in 0..2_000 {
        let call: Call = call("tools/call", params("delete", json!({"folder": "logs"})));
        asked(&answer(&server, call).await);
    }
    assert_eq!(
        tool(&server, params("delete", json!({"folder": "logs"})))
            .await
            .result()["resultType"],
        "input_required"
    );
}

// spec: elicitation-13
#[tokio::test]
async fn enums_lists_and_nested_structs_are_asked_for_and_read_back() {
    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Size {
        Small,
        Large,
    }
    #[derive(Debug, Deserialize, JsonSchema)]
    #[allow(dead_code)]
    struct Address {
        street: String,
        floor: Option<u8>,
    }
    #[derive(Debug, Deserialize, JsonSchema)]
    #[allow(dead_code)]
    struct Customer {
        home: Address,
        work: Option<Address>,
    }
    let server = Server::new("forms", "1")
        .tool(Tool::new("one", async |size: Ask<Size>| {
            Ok::<_, HandlerError>(format!("{:?}", size.ask("Which?").await?))
        }))
        .tool(Tool::new("many", async |sizes: Ask<Vec<Size>>| {
            Ok::<_, HandlerError>(format!("{:?}", sizes.ask_as("sizes", "Which?").await?))
        }))
        .tool(Tool::new("nested", async |customer: Ask<Customer>| {
            Ok::<_, HandlerError>(format!("{:?}", customer.ask("Where?").await?))
        }))
        .build()
        .unwrap();
    for (name, content, answer) in [
        ("one", json!({"value": "large"}), "Accepted(Large)"),
        (
            "many",
            json!({"value": ["small", "large"]}),
            "Accepted([Small, Large])",
        ),
        (
            "nested",
            json!({"home.street": "Main", "work.floor": 3}),
            "Accepted(Customer { home: Address { street: \"Main\", floor: None }, work: None })",
        ),
        (
            "nested",
            json!({"home.street": "Main", "work.street": "Side", "work.floor": 3}),
            "Accepted(Customer { home: Address { street: \"Main\", floor: None }, \
             work: Some(Address { street: \"Side\", floor: Some(3) }) })",
        ),
    ] {
        let params = params(name, json!({}));
        let first = tool(&server, params.clone()).await;
        let second = tool(&server, next(params, &first, &accept(content))).await;
        assert_eq!(second.text(), answer);
    }
    let wrong = params("one", json!({}));
    let first = tool(&server, wrong.clone()).await;
    let second = tool(
        &server,
        next(wrong, &first, &accept(json!({"value": "huge"}))),
    )
    .await;
    assert_eq!(second.code(), -32602);
}
