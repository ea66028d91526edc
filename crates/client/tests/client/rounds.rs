//! Multi round-trip requests, from the client's side.

use crate::support::{Does, Seen, done, serving, serving_with, text};
use carryall_client::{ClientBuilder, ClientError, RoundOutcome};
use carryall_types::{
    ClientCapabilities, CreateMessageResult, ElicitAction, ElicitResult, ElicitationCapability,
    InputResponses, JsonObject, JsonValue, Root, SamplingMessageContent,
    SamplingMessageContentBlock, TextContent,
};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

fn form(message: &str) -> JsonValue {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string", "minLength": 2}}, "required": ["name"]});
    json!({"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}})
}

fn url(address: &str) -> JsonValue {
    json!({"method": "elicitation/create", "params": {"mode": "url", "message": "pay", "url": address}})
}

fn sample() -> JsonValue {
    let message =
        json!({"role": "user", "content": {"type": "text", "text": "capital of France?"}});
    json!({"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": 10}})
}

fn wants(requests: JsonValue, state: Option<&str>) -> Does {
    let mut result = json!({"resultType": "input_required", "inputRequests": requests});
    if let Some(state) = state {
        result["requestState"] = state.into();
    }
    Does::FromResult(result)
}

fn again(state: &str) -> Does {
    Does::FromResult(json!({"resultType": "input_required", "requestState": state}))
}

fn named(name: &str) -> ElicitResult {
    ElicitResult::accept(JsonObject::from_iter([("name".to_owned(), name.into())]))
}

fn answering(builder: ClientBuilder) -> ClientBuilder {
    builder.on_elicit(async |_| named("Ann"))
}

// spec: mrtr-20, mrtr-22, mrtr-24, mrtr-02, tools-08, statelessness-05
#[tokio::test]
async fn a_round_brings_the_inputs_and_the_state_under_a_new_id() {
    // As odd as a state can be: nobody looks into it.
    const STATE: &str = "\u{0}{\"a\":1}\\ \u{1F600} =";
    for ask in ["tools/call", "prompts/get", "resources/read"] {
        let (client, log) = serving_with(answering, |seen| match (seen.n, seen.method.as_str()) {
            (0, _) => wants(json!({"who": form("name?")}), Some(STATE)),
            (_, "tools/call") => Does::FromResult(text("ok")),
            (_, "prompts/get") => done(json!({"messages": []})),
            _ => done(json!({"contents": [], "ttlMs": 0, "cacheScope": "private"})),
        });
        match ask {
            "tools/call" => drop(client.call("t", json!({"k": 1})).await.unwrap()),
            "prompts/get" => drop(client.get_prompt("t", json!({"k": "1"})).await.unwrap()),
            _ => drop(client.read_resource("r:").await.unwrap()),
        }
        let seen = log.all();
        assert_eq!(seen.len(), 2, "{ask}");
        assert_ne!(seen[0].id, seen[1].id);
        assert_eq!(seen[1].params["_meta"], seen[0].params["_meta"]);
        let mut expected = seen[0].params.clone();
        expected["inputResponses"] =
            json!({"who": {"action": "accept", "content": {"name": "Ann"}}});
        expected["requestState"] = STATE.into();
        assert_eq!(seen[1].params, expected);
        assert!(
            seen[0].params.get("inputResponses").is_none()
                && seen[0].params.get("requestState").is_none()
        );
    }
}

// spec: mrtr-23
#[tokio::test]
async fn without_a_state_none_is_sent_and_rounds_do_not_leak_into_each_other() {
    let (client, log) = serving_with(answering, |seen| match seen.n {
        0 => wants(json!({"a": form("1")}), Some("s1")),
        1 => wants(json!({"b": form("2")}), None),
        _ => Does::FromResult(text("ok")),
    });
    client.call("t", ()).await.unwrap();
    let seen = log.all();
    assert_eq!(seen[1].params["requestState"], "s1");
    assert!(seen[2].params.get("requestState").is_none());
    let keys: Vec<_> = seen[2].params["inputResponses"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(keys, ["b"]);
}

// spec: mrtr-03, mrtr-22
#[tokio::test]
async fn the_state_goes_back_letter_by_letter() {
    for state in [r#""a\u0062\/""#, r#""""#, r#""eyJhIjoxfQ""#] {
        let raw = Arc::new(std::sync::Mutex::new(None));
        let kept = raw.clone();
        let service = tower_service_fn(move |call: carryall_proto::Call| {
            let first = call.params().get_str("requestState").is_none();
            *kept.lock().unwrap() = call.params().get_str("requestState").map(str::to_owned);
            let result = if first {
                format!(r#"{{"resultType":"input_required","requestState":{state}}}"#)
            } else {
                text("ok").to_string()
            };
            carryall_proto::Response::result(
                call.id().clone(),
                carryall_types::RawJson::parse(result).unwrap(),
            )
            .into()
        });
        let client = carryall_client::Client::builder()
            .service(service)
            .build()
            .unwrap();
        client.call("t", ()).await.unwrap();
        assert_eq!(raw.lock().unwrap().as_deref(), Some(state));
    }
}

// spec: mrtr-21
#[tokio::test(start_paused = true)]
async fn a_round_with_nothing_but_state_goes_out_at_once_then_with_pauses() {
    let (client, log) = serving(|seen| {
        if seen.n < 4 {
            again(&seen.n.to_string())
        } else {
            Does::FromResult(text("ok"))
        }
    });
    let started = Instant::now();
    client.call("t", ()).await.unwrap();
    let seen = log.all();
    assert_eq!(seen.len(), 5);
    assert_eq!(seen[4].params["requestState"], "3");
    assert!(seen[1].params.get("inputResponses").is_none());
    let waited = started.elapsed();
    assert!(
        waited >= Duration::from_millis(40) && waited < Duration::from_secs(1),
        "{waited:?}"
    );

    let (client, _) = serving(|seen| {
        if seen.n == 0 {
            again("s")
        } else {
            Does::FromResult(text("ok"))
        }
    });
    let started = Instant::now();
    client.call("t", ()).await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn rounds_are_bounded() {
    let (client, log) = serving_with(answering, |_| wants(json!({"a": form("1")}), None));
    let error = client.call("t", ()).max_rounds(3).await.unwrap_err();
    assert!(matches!(error, ClientError::Rounds { limit: 3 }));
    assert_eq!(log.len(), 4);
    let (client, log) = serving(|_| again("s"));
    assert!(matches!(
        client.call("t", ()).await,
        Err(ClientError::Rounds { limit: 8 })
    ));
    assert_eq!(log.len(), 9);
}

// spec: mrtr-25
#[tokio::test]
async fn parallel_calls_are_never_mixed_up() {
    let behaviour = |seen: &Seen| {
        let name = seen.params["name"].as_str().unwrap().to_owned();
        match seen.params.get("requestState") {
            None => wants(json!({name.clone(): form(&name)}), Some(&name)),
            Some(state) => {
                assert_eq!(*state, name.as_str());
                assert_eq!(
                    seen.params["inputResponses"][&name]["content"]["name"],
                    name.as_str()
                );
                Does::FromResult(text(&name))
            }
        }
    };
    let slow = |form: carryall_types::ElicitRequestFormParams| async move {
        tokio::task::yield_now().await;
        named(&form.message)
    };
    let (client, log) = serving_with(|builder| builder.on_elicit(slow), behaviour);
    let calls = (10..40).map(|n| {
        let client = client.clone();
        async move {
            let name = format!("t{n}");
            assert_eq!(
                client.call(&name, ()).typed::<String>().await.unwrap(),
                name
            );
        }
    });
    futures_util::future::join_all(calls).await;
    assert_eq!(log.len(), 60);
}

// spec: elicitation-07, elicitation-08, sampling-05, sampling-03, roots-02
#[tokio::test]
#[allow(deprecated)]
async fn capabilities_follow_the_handlers() {
    type Setup = fn(ClientBuilder) -> ClientBuilder;
    let cases: [(Setup, JsonValue); 7] = [
        (|builder| builder, json!({})),
        (
            |builder| builder.on_elicit(async |_| ElicitResult::decline()),
            json!({"elicitation": {"form": {}}}),
        ),
        (
            |builder| builder.on_elicit_url(async |_| ElicitResult::decline()),
            json!({"elicitation": {"url": {}}}),
        ),
        (
            |builder| {
                builder
                    .on_elicit(async |_| ElicitResult::decline())
                    .on_elicit_url(async |_| ElicitResult::decline())
            },
            json!({"elicitation": {"form": {}, "url": {}}}),
        ),
        (
            |builder| builder.on_sample(async |_| paris()),
            json!({"sampling": {}}),
        ),
        (
            |builder| builder.on_sample_with_tools(async |_| paris()),
            json!({"sampling": {"tools": {}}}),
        ),
        (
            |builder| builder.roots([Root::new("file:///a")]),
            json!({"roots": {}}),
        ),
    ];
    for (setup, declared) in cases {
        let (client, log) = serving_with(setup, |_| Does::FromResult(text("x")));
        client.call("t", ()).await.unwrap();
        client.call("t", ()).await.unwrap();
        for seen in log.all() {
            assert_eq!(
                *seen.meta("io.modelcontextprotocol/clientCapabilities"),
                declared
            );
        }
    }
}

#[allow(deprecated)]
fn paris() -> CreateMessageResult {
    CreateMessageResult::new(
        "m",
        SamplingMessageContent::One(SamplingMessageContentBlock::Text(TextContent::new("Paris"))),
    )
}

// spec: sampling-09
#[tokio::test]
#[allow(deprecated)]
async fn what_was_not_declared_is_refused_before_any_handler_runs() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let setup = move |builder: ClientBuilder| {
        let count = count.clone();
        builder
            .on_elicit(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
                async { named("Ann") }
            })
            .on_sample(async |_| paris())
    };
    let mut with_tools = sample();
    with_tools["params"]["tools"] = json!([{"name": "t", "inputSchema": {"type": "object"}}]);
    let cases = [
        (url("https://example.com/"), "elicitation.url"),
        (with_tools, "sampling.tools"),
        (json!({"method": "roots/list"}), "roots"),
    ];
    for (request, wanted) in cases {
        let (client, log) = serving_with(setup.clone(), move |_| {
            wants(json!({"a": form("1"), "b": request}), None)
        });
        let error = client.call("t", ()).await.unwrap_err();
        assert!(
            matches!(&error, ClientError::Unsupported { capability } if capability == wanted),
            "{error}"
        );
        assert_eq!((log.len(), asked.load(Ordering::SeqCst)), (1, 0));
    }
}

#[tokio::test]
#[allow(deprecated)]
async fn all_kinds_of_input_are_provided_in_one_round() {
    let setup = |builder: ClientBuilder| {
        answering(builder)
            .on_elicit_url(async |page: carryall_types::ElicitRequestURLParams| {
                assert_eq!(page.host().as_deref(), Some("example.com"));
                ElicitResult::new(ElicitAction::Accept)
            })
            .on_sample(async |_| Ok::<_, std::io::Error>(paris()))
            .roots([Root::new("file:///srv/docs")])
    };
    let requests = json!({"z": form("1"), "u": url("https://example.com/pay"), "s": sample(), "r": {"method": "roots/list"}});
    let (client, log) = serving_with(setup, move |seen| {
        if seen.n == 0 {
            wants(requests.clone(), None)
        } else {
            Does::FromResult(text("ok"))
        }
    });
    client.call("t", ()).await.unwrap();
    let responses = log.all()[1].params["inputResponses"].clone();
    assert_eq!(
        responses,
        json!({
            "z": {"action": "accept", "content": {"name": "Ann"}},
            "u": {"action": "accept"},
            "s": {"role": "assistant", "content": {"type": "text", "text": "Paris"}, "model": "m"},
            "r": {"roots": [{"uri": "file:///srv/docs"}]},
        })
    );
}

// spec: elicitation-12
#[tokio::test]
async fn an_elicitation_without_a_mode_is_a_form() {
    let mut request = form("1");
    request["params"].as_object_mut().unwrap().remove("mode");
    let (client, _) = serving_with(answering, move |seen| {
        if seen.n == 0 {
            wants(json!({"a": request}), None)
        } else {
            Does::FromResult(text("ok"))
        }
    });
    client.call("t", ()).await.unwrap();
}

// spec: elicitation-04, elicitation-17
#[tokio::test]
async fn declining_and_cancelling_are_answers_without_content() {
    for (answer, action) in [
        (ElicitResult::decline(), "decline"),
        (ElicitResult::cancel(), "cancel"),
    ] {
        let (client, log) = serving_with(
            |builder| builder.on_elicit(move |_| std::future::ready(answer.clone())),
            |seen| {
                if seen.n == 0 {
                    wants(json!({"a": form("1")}), None)
                } else {
                    Does::FromResult(text("ok"))
                }
            },
        );
        client.call("t", ()).await.unwrap();
        assert_eq!(
            log.all()[1].params["inputResponses"],
            json!({"a": {"action": action}})
        );
    }
}

// spec: elicitation-38
#[tokio::test]
async fn content_that_does_not_match_the_form_is_not_sent() {
    for bad in [json!({"name": "x"}), json!({"name": 5}), json!({})] {
        let answer = ElicitResult::accept(bad.as_object().unwrap().clone());
        let (client, log) = serving_with(
            |builder| builder.on_elicit(move |_| std::future::ready(answer.clone())),
            |_| wants(json!({"who": form("1")}), None),
        );
        let error = client.call("t", ()).await.unwrap_err();
        assert!(
            matches!(&error, ClientError::Input { key, .. } if key == "who"),
            "{error}"
        );
        assert_eq!(log.len(), 1);
    }
}

// spec: security-bp-19
#[tokio::test]
async fn addresses_that_are_not_plain_web_addresses_never_reach_the_user() {
    let setup = |builder: ClientBuilder| {
        builder.on_elicit_url(async |_| -> ElicitResult {
            unreachable!("the handler was shown the address")
        })
    };
    for bad in [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "data:text/html,x",
        "https://user:pw@example.com/",
        "vbscript:x",
        "",
    ] {
        let (client, _) = serving_with(setup, move |_| wants(json!({"u": url(bad)}), None));
        assert!(
            matches!(client.call("t", ()).await, Err(ClientError::Input { .. })),
            "{bad}"
        );
    }
}

// spec: roots-03
#[tokio::test]
#[allow(deprecated)]
async fn only_file_uris_leave_as_roots() {
    for bad in ["https://example.com/", "file:///a/../b"] {
        let (client, log) = serving_with(
            |builder| builder.roots([Root::new(bad)]),
            |_| wants(json!({"r": {"method": "roots/list"}}), None),
        );
        assert!(
            matches!(client.call("t", ()).await, Err(ClientError::Input { .. })),
            "{bad}"
        );
        assert_eq!(log.len(), 1);
    }
}

#[tokio::test]
async fn a_handler_that_fails_ends_the_call_here() {
    let (client, log) = serving_with(
        |builder| builder.on_elicit(async |_| Err("no terminal")),
        |_| wants(json!({"a": form("1")}), None),
    );
    let error = client.call("t", ()).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Input { .. }) && error.to_string().contains("no terminal")
    );
    assert_eq!(log.len(), 1);
}

#[tokio::test]
async fn malformed_requests_for_input_are_invalid_responses() {
    let many: JsonObject = (0..65).map(|n| (n.to_string(), form("x"))).collect();
    for bad in [
        json!({"resultType": "input_required"}),
        json!({"resultType": "input_required", "requestState": 5}),
        json!({"resultType": "input_required", "inputRequests": {"a": {"method": "tools/call", "params": {}}}}),
        json!({"resultType": "input_required", "inputRequests": {"a": {"method": "elicitation/create"}}}),
        json!({"resultType": "input_required", "inputRequests": many}),
    ] {
        let (client, log) = serving_with(answering, move |_| Does::FromResult(bad.clone()));
        assert!(matches!(
            client.call("t", ()).await,
            Err(ClientError::Protocol { .. })
        ));
        assert_eq!(log.len(), 1);
    }
}

#[tokio::test]
async fn rounds_can_be_answered_by_hand() {
    let form_only = ClientCapabilities::new().with_elicitation(ElicitationCapability::new());
    let (client, log) = serving_with(
        |builder| builder.capabilities(form_only),
        |seen| match seen.n {
            0 => wants(json!({"who": form("name?")}), Some("s")),
            1 => again("t"),
            _ => Does::FromResult(text("5")),
        },
    );
    let RoundOutcome::InputRequired(first) = client
        .call("t", json!({"k": 1}))
        .typed::<i64>()
        .once()
        .await
        .unwrap()
    else {
        panic!("not asked");
    };
    assert_eq!(
        first
            .requests()
            .iter()
            .map(|(key, _)| key)
            .collect::<Vec<_>>(),
        ["who"]
    );
    let mut responses = InputResponses::new();
    responses.insert("who", &named("Ann")).unwrap();
    let RoundOutcome::InputRequired(second) = first.answer(responses).once().await.unwrap() else {
        panic!("not asked again")
    };
    assert!(second.requests().is_empty());
    let RoundOutcome::Done(five) = second.answer(InputResponses::new()).once().await.unwrap()
    else {
        panic!("asked once more")
    };
    assert_eq!(five, 5);
    let seen = log.all();
    assert_eq!(
        seen[1].own_params(),
        json!({
            "name": "t", "arguments": {"k": 1}, "requestState": "s",
            "inputResponses": {"who": {"action": "accept", "content": {"name": "Ann"}}},
        })
    );
    assert_eq!(
        seen[2].own_params(),
        json!({"name": "t", "arguments": {"k": 1}, "requestState": "t"})
    );
}

#[tokio::test]
async fn by_hand_too_only_what_was_declared_may_be_asked() {
    let (client, _) = serving(|_| wants(json!({"who": form("name?")}), Some("s")));
    assert!(matches!(
        client.call("t", ()).once().await,
        Err(ClientError::Unsupported { .. })
    ));
}

/// A service from a function.
fn tower_service_fn(
    f: impl Fn(carryall_proto::Call) -> carryall_proto::Reply + Clone + Send + Sync + 'static,
) -> impl tower_service::Service<
    carryall_proto::Call,
    Response = carryall_proto::Reply,
    Error = std::convert::Infallible,
    Future = std::future::Ready<Result<carryall_proto::Reply, std::convert::Infallible>>,
> + Clone
+ Send
+ Sync {
    #[derive(Clone)]
    struct ServiceFn<F>(F);
    impl<F: Fn(carryall_proto::Call) -> carryall_proto::Reply>
        tower_service::Service<carryall_proto::Call> for ServiceFn<F>
    {
        type Response = carryall_proto::Reply;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Self::Error>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn call(&mut self, call: carryall_proto::Call) -> Self::Future {
            std::future::ready(Ok((self.0)(call)))
        }
    }
    ServiceFn(f)
}
