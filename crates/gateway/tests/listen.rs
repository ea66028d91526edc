//! Subscriptions through the gateway.

mod common;

use carryall_gateway::{Gateway, code};
use carryall_proto::{Call, CallError, Message, MessageStream, Reply};
use carryall_testkit::{answer, call_with_id, meta_with, next, params};
use common::*;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tower_service::Service as _;

type Opened = (Call, UnboundedSender<Result<Message, CallError>>);

/// A server whose subscriptions the test feeds.
#[derive(Clone)]
struct Listened {
    fake: Fake,
    /// The call and the way to its stream, for each subscription.
    open: Arc<Mutex<Vec<Opened>>>,
}

impl Listened {
    /// Honours this much of what is asked.
    fn new(honours: Value) -> Self {
        Self::with_resources(honours, &[])
    }

    /// Lists these resources, too.
    fn with_resources(honours: Value, uris: &'static [&'static str]) -> Self {
        let open: Arc<Mutex<Vec<Opened>>> = Arc::default();
        let kept = Arc::clone(&open);
        let fake = Fake::at_once(move |call| {
            match call.method().as_str() {
                "resources/list" => {
                    let resources: Vec<Value> = uris
                        .iter()
                        .map(|uri| json!({"uri": uri, "name": uri}))
                        .collect();
                    return Ok(result(call, json!({ "resources": resources })));
                }
                "subscriptions/listen" => {}
                _ => return Ok(error(call, -32601, "Method not found")),
            }
            let (sender, stream) = channel();
            let acknowledged = json!({"_meta": subscription(call), "notifications": honours});
            sender
                .send(Ok(notification(
                    "notifications/subscriptions/acknowledged",
                    acknowledged,
                )))
                .unwrap();
            kept.lock().unwrap().push((call.clone(), sender));
            Ok(Reply::Stream(stream))
        });
        Self { fake, open }
    }

    /// Tells the subscription that was opened last.
    fn tell(&self, method: &'static str, mut params: Value) {
        let open = self.open.lock().unwrap();
        let (call, sender) = open.last().expect("a subscription");
        params["_meta"] = subscription(call);
        sender.send(Ok(notification(method, params))).unwrap();
    }

    /// Breaks all subscriptions off.
    fn break_off(&self) {
        self.open.lock().unwrap().clear();
    }

    /// Ends the last subscription in good order.
    fn close(&self) {
        let (call, sender) = self.open.lock().unwrap().pop().expect("a subscription");
        let closing = json!({"resultType": "complete", "_meta": subscription(&call)});
        sender.send(Ok(response(&call, closing))).unwrap();
    }
}

fn subscription(call: &Call) -> Value {
    json!({"io.modelcontextprotocol/subscriptionId": call.id()})
}

async fn listen(gateway: &Gateway, id: Value, filter: Value) -> MessageStream {
    let asked = call_with_id(
        &id,
        "subscriptions/listen",
        json!({"notifications": filter}),
    );
    match gateway.clone().call(asked).await.unwrap() {
        Reply::Stream(stream) => stream,
        Reply::Once(response) => panic!("no stream: {response:?}"),
    }
}

async fn told(stream: &mut MessageStream) -> (String, Value) {
    match next(stream).await {
        Message::Notification(notification) => {
            (notification.method.to_string(), params(&notification))
        }
        Message::Response(response) => panic!("ended: {response:?}"),
    }
}

fn all() -> Value {
    json!({"toolsListChanged": true, "resourceSubscriptions": ["a:1"]})
}

// spec: gateway-derived-03, subscriptions-02, subscriptions-06, subscriptions-09
#[tokio::test]
async fn everything_on_the_stream_carries_the_clients_own_id_and_the_acknowledgement_is_first() {
    for id in [json!(1), json!("sub"), json!("1")] {
        let server = Listened::new(all());
        let gateway = one(&[&server.fake]);
        let mut stream = listen(&gateway, id.clone(), all()).await;
        let meta = json!({"io.modelcontextprotocol/subscriptionId": id});
        let acknowledged = json!({"_meta": meta, "notifications": all()});
        assert_eq!(
            told(&mut stream).await,
            (
                "notifications/subscriptions/acknowledged".into(),
                acknowledged
            )
        );
        server.tell(
            "notifications/resources/updated",
            json!({"uri": "a:1", "acme/x": 1}),
        );
        let updated = json!({"_meta": meta, "uri": "a:1", "acme/x": 1});
        assert_eq!(
            told(&mut stream).await,
            ("notifications/resources/updated".into(), updated)
        );
        gateway.close_subscriptions();
        let Message::Response(closing) = next(&mut stream).await else {
            panic!()
        };
        let closing: Value = serde_json::from_slice(&closing.encode().into_bytes()).unwrap();
        assert_eq!(
            closing,
            json!({"jsonrpc": "2.0", "id": id, "result": {"resultType": "complete", "_meta": meta}})
        );
        assert!(stream.next().await.is_none());
    }
}

#[tokio::test]
async fn the_filter_goes_up_as_it_stands() {
    let server = Listened::new(json!({"acme/news": ["x"]}));
    let mut stream = listen(
        &one(&[&server.fake]),
        json!(1),
        json!({"acme/news": ["x"], "toolsListChanged": false}),
    )
    .await;
    assert_eq!(
        server.fake.last_params()["notifications"],
        json!({"acme/news": ["x"], "toolsListChanged": false})
    );
    assert_eq!(
        told(&mut stream).await.1["notifications"],
        json!({"acme/news": ["x"]})
    );
    server.tell("acme/news", json!({"about": "x"}));
    assert_eq!(told(&mut stream).await.0, "acme/news");
}

// spec: subscriptions-11
#[tokio::test(start_paused = true)]
async fn a_subscription_outlives_its_replica_and_no_change_is_missed() {
    for how in [Listened::break_off, Listened::close] {
        let (first, second) = (Listened::new(all()), Listened::new(all()));
        let gateway = one(&[&first.fake, &second.fake]);
        let mut stream = listen(&gateway, json!(1), all()).await;
        told(&mut stream).await;
        how(&first);
        assert_eq!(
            told(&mut stream).await.0,
            "notifications/tools/list_changed",
            "who knows what happened meanwhile"
        );
        let (method, updated) = told(&mut stream).await;
        assert_eq!(
            (method.as_str(), &updated["uri"]),
            ("notifications/resources/updated", &json!("a:1"))
        );
        assert_eq!(
            updated["_meta"],
            json!({"io.modelcontextprotocol/subscriptionId": 1})
        );
        second.tell("notifications/tools/list_changed", json!({}));
        assert_eq!(
            told(&mut stream).await.0,
            "notifications/tools/list_changed"
        );
        assert_eq!(second.fake.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_keeps_breaking_off_is_not_hammered() {
    let asked = std::sync::atomic::AtomicU32::new(0);
    let fake = Fake::at_once(move |call| {
        assert!(
            asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 100,
            "hammered"
        );
        let acknowledged = json!({"_meta": subscription(call), "notifications": {}});
        Ok(stream(vec![Ok(notification(
            "notifications/subscriptions/acknowledged",
            acknowledged,
        ))]))
    });
    let mut stream = listen(&one(&[&fake]), json!(1), json!({})).await;
    told(&mut stream).await;
    let _ = tokio::time::timeout(Duration::from_secs(60), stream.next()).await;
    assert!((4..20).contains(&fake.count()), "{}", fake.count());
}

#[tokio::test]
async fn giving_up_ends_the_subscriptions_upstream() {
    let (a, b) = (Listened::new(all()), Listened::new(all()));
    let gateway = gateway([upstream("a", &[&a.fake]), upstream("b", &[&b.fake])]);
    drop(listen(&gateway, json!(1), all()).await);
    for server in [a, b] {
        assert!(server.open.lock().unwrap()[0].1.is_closed());
    }
}

// spec: subscriptions-04
#[tokio::test]
async fn several_upstreams_are_one_subscription() {
    let a = Listened::new(json!({"toolsListChanged": true}));
    let b = Listened::with_resources(
        json!({"toolsListChanged": true, "resourceSubscriptions": ["a:1"]}),
        &["a:1"],
    );
    let refuses = Fake::at_once(|call| Ok(error(call, -32601, "Method not found")));
    let gateway = gateway([
        upstream("a", &[&a.fake]),
        upstream("b", &[&b.fake]),
        upstream("c", &[&refuses]),
    ]);
    let mut stream = listen(&gateway, json!("s"), all()).await;
    let acknowledged = told(&mut stream).await.1;
    assert_eq!(
        acknowledged,
        json!({"_meta": {"io.modelcontextprotocol/subscriptionId": "s"}, "notifications": all()})
    );
    a.tell("notifications/tools/list_changed", json!({}));
    b.tell("notifications/resources/updated", json!({"uri": "a:1"}));
    let mut methods = [told(&mut stream).await.0, told(&mut stream).await.0];
    methods.sort();
    assert_eq!(
        methods,
        [
            "notifications/resources/updated",
            "notifications/tools/list_changed"
        ]
    );
    assert_eq!(
        refuses
            .seen
            .lock()
            .unwrap()
            .iter()
            .filter(|call| call.method().as_str() == "subscriptions/listen")
            .count(),
        1,
        "who refuses is not asked again"
    );
}

// spec: subscriptions-01
#[tokio::test]
async fn what_was_not_promised_is_not_passed_on() {
    let server = Listened::new(json!({"resourceSubscriptions": ["a:1"]}));
    let mut stream = listen(
        &one(&[&server.fake]),
        json!(1),
        json!({"resourceSubscriptions": ["a:1"]}),
    )
    .await;
    told(&mut stream).await;
    for method in [
        "notifications/tools/list_changed",
        "notifications/subscriptions/acknowledged",
    ] {
        server.tell(method, json!({}));
    }
    server.tell("notifications/resources/updated", json!({"uri": "a:2"}));
    server.tell(
        "notifications/resources/updated",
        json!({"uri": "a:1/part"}),
    );
    assert_eq!(told(&mut stream).await.1["uri"], "a:1/part");
}

// spec: subscriptions-01
#[tokio::test]
async fn what_an_upstream_promises_without_being_asked_is_not_passed_on() {
    let promised = json!({"toolsListChanged": true, "resourceSubscriptions": ["a:1"], "taskIds": ["t"], "acme/news": 1});
    let server = Listened::new(promised);
    let mut stream = listen(
        &one(&[&server.fake]),
        json!(1),
        json!({"resourceSubscriptions": ["a:1"]}),
    )
    .await;
    told(&mut stream).await;
    for (method, params) in [
        ("notifications/tools/list_changed", json!({})),
        ("notifications/tasks", json!({"taskId": "t"})),
        (
            "notifications/progress",
            json!({"progressToken": 1, "progress": 1}),
        ),
        (
            "notifications/message",
            json!({"level": "error", "data": "x"}),
        ),
        ("acme/news", json!({})),
        ("acme/other", json!({})),
    ] {
        server.tell(method, params);
    }
    server.tell("notifications/resources/updated", json!({"uri": "a:1"}));
    assert_eq!(told(&mut stream).await.0, "notifications/resources/updated");
}

#[tokio::test]
async fn task_changes_reach_who_listens_for_the_task() {
    let server = Listened::new(json!({"taskIds": ["t"]}));
    let mut stream = listen(&one(&[&server.fake]), json!(1), json!({"taskIds": ["t"]})).await;
    told(&mut stream).await;
    server.tell("notifications/tasks", json!({"taskId": "other"}));
    server.tell(
        "notifications/tasks",
        json!({"taskId": "t", "status": "working"}),
    );
    assert_eq!(told(&mut stream).await.1["taskId"], "t");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_dead_at_first_joins_later() {
    let a = Listened::new(json!({"toolsListChanged": true}));
    let late = Listened::new(json!({"toolsListChanged": true}));
    let (upstream_a, upstream_b) = (
        upstream("a", &[&a.fake]),
        carryall_gateway::Upstream::new("b").unwrap(),
    );
    let replica = upstream_b.replica("b");
    let gateway = gateway([upstream_a, upstream_b]);
    let mut stream = listen(&gateway, json!(1), json!({"toolsListChanged": true})).await;
    told(&mut stream).await;
    replica.up(late.fake.service());
    assert_eq!(
        told(&mut stream).await.0,
        "notifications/tools/list_changed"
    );
    late.tell("notifications/tools/list_changed", json!({}));
    assert_eq!(
        told(&mut stream).await.0,
        "notifications/tools/list_changed"
    );
}

#[tokio::test]
async fn when_nobody_can_be_listened_to_the_error_says_why() {
    let asked = || {
        call_with_id(
            &json!(1),
            "subscriptions/listen",
            json!({"notifications": {}}),
        )
    };
    let dead = Fake::at_once(|_| Err(dead()));
    assert_eq!(
        answer(&one(&[&dead]), asked()).await.code(),
        code::UPSTREAM_UNREACHABLE
    );
    let refuses = Fake::at_once(|call| Ok(error(call, -32601, "Method not found")));
    assert_eq!(answer(&one(&[&refuses]), asked()).await.code(), -32601);
}

/// What each subscription with this server asked for.
fn asked(server: &Listened) -> Vec<Value> {
    let seen = server.fake.seen.lock().unwrap();
    let subscriptions = seen
        .iter()
        .filter(|call| call.method().as_str() == "subscriptions/listen");
    subscriptions
        .map(|call| {
            call.params()
                .get("notifications")
                .unwrap()
                .decode()
                .unwrap()
        })
        .collect()
}

/// Promises whatever the tests here ask for.
fn everything() -> Value {
    json!({"toolsListChanged": true, "resourceSubscriptions": ["a:1", "b:1", "b:2", "c:1"], "taskIds": ["t"]})
}

// spec: subscriptions-01, subscriptions-04
#[tokio::test]
async fn the_changes_of_a_resource_are_asked_of_its_owner_and_heard_from_nobody_else() {
    let a = Listened::with_resources(everything(), &["a:1"]);
    let b = Listened::with_resources(
        json!({"resourceSubscriptions": ["b:1", "a:1"]}),
        &["b:1", "b:2"],
    );
    let c = Listened::with_resources(everything(), &["c:1"]);
    let gateway = gateway([
        upstream("a", &[&a.fake]),
        upstream("b", &[&b.fake]),
        upstream("c", &[&c.fake]),
    ]);
    let wanted = json!({"resourceSubscriptions": ["a:1", "b:1", "b:2", "unknown:1", "a:1"], "taskIds": ["t"]});
    let mut stream = listen(&gateway, json!(1), wanted).await;
    let mut granted = told(&mut stream).await.1["notifications"].clone();
    granted["resourceSubscriptions"]
        .as_array_mut()
        .unwrap()
        .sort_by_key(ToString::to_string);
    assert_eq!(
        granted,
        json!({"resourceSubscriptions": ["a:1", "b:1"]}),
        "what its owner grants, and no task"
    );
    assert_eq!(asked(&a), [json!({"resourceSubscriptions": ["a:1"]})]);
    assert_eq!(
        asked(&b),
        [json!({"resourceSubscriptions": ["b:1", "b:2"]})]
    );
    assert_eq!(
        asked(&c),
        [] as [Value; 0],
        "nothing of it is of that one's concern"
    );
    b.tell("notifications/resources/updated", json!({"uri": "a:1"}));
    b.tell("notifications/resources/updated", json!({"uri": "b:1"}));
    assert_eq!(told(&mut stream).await.1["uri"], "b:1");
    a.tell("notifications/resources/updated", json!({"uri": "b:1"}));
    a.tell("notifications/resources/updated", json!({"uri": "a:1"}));
    assert_eq!(told(&mut stream).await.1["uri"], "a:1");
}

#[tokio::test]
async fn changes_of_lists_are_asked_of_everybody_and_resources_still_of_their_owner() {
    let a = Listened::with_resources(everything(), &["a:1"]);
    let b = Listened::with_resources(everything(), &["b:1"]);
    let gateway = gateway([upstream("a", &[&a.fake]), upstream("b", &[&b.fake])]);
    let extensions = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    let meta = meta_with(&json!({"io.modelcontextprotocol/clientCapabilities": extensions}));
    let params = json!({"notifications": all(), "_meta": meta});
    let Ok(Reply::Stream(mut stream)) = gateway
        .clone()
        .call(call_with_id(&json!(1), "subscriptions/listen", params))
        .await
    else {
        panic!("no stream")
    };
    assert_eq!(told(&mut stream).await.1["notifications"], all());
    let seen = a.fake.seen.lock().unwrap().last().unwrap().clone();
    assert!(
        !seen
            .meta()
            .client_capabilities()
            .has_extension("io.modelcontextprotocol/tasks"),
        "it leads nowhere"
    );
    assert_eq!(asked(&a), [all()]);
    assert_eq!(asked(&b), [json!({"toolsListChanged": true})]);
}

#[tokio::test(start_paused = true)]
async fn after_a_break_an_owner_is_asked_for_its_own_resources_again() {
    let a = Listened::with_resources(everything(), &["a:1"]);
    let b = Listened::with_resources(everything(), &["b:1"]);
    let gateway = gateway([upstream("a", &[&a.fake]), upstream("b", &[&b.fake])]);
    let mut stream = listen(
        &gateway,
        json!(1),
        json!({"resourceSubscriptions": ["a:1", "b:1"]}),
    )
    .await;
    told(&mut stream).await;
    b.break_off();
    assert_eq!(
        told(&mut stream).await.1["uri"],
        "b:1",
        "it may have changed"
    );
    assert_eq!(
        asked(&b),
        [
            json!({"resourceSubscriptions": ["b:1"]}),
            json!({"resourceSubscriptions": ["b:1"]})
        ]
    );
}

#[tokio::test]
async fn resources_without_an_owner_are_not_granted_and_an_owner_that_may_be_dead_is_an_error() {
    let a = Listened::with_resources(everything(), &["a:1"]);
    let b = Listened::with_resources(everything(), &["b:1"]);
    let both = gateway([upstream("a", &[&a.fake]), upstream("b", &[&b.fake])]);
    let unknown = json!({"resourceSubscriptions": ["unknown:1"]});
    let mut stream = listen(&both, json!(1), unknown.clone()).await;
    assert_eq!(told(&mut stream).await.1["notifications"], json!({}));
    assert!(asked(&a).is_empty() && asked(&b).is_empty());
    let dead = Fake::at_once(|_| Err(dead()));
    let one_dead = gateway([upstream("a", &[&a.fake]), upstream("b", &[&dead])]);
    let asked = call_with_id(
        &json!(1),
        "subscriptions/listen",
        json!({"notifications": unknown}),
    );
    assert_eq!(
        answer(&one_dead, asked).await.code(),
        code::UPSTREAM_UNREACHABLE
    );
}

#[tokio::test]
async fn an_acknowledgement_holds_nothing_that_was_not_asked_for() {
    let promised = json!({"toolsListChanged": true, "promptsListChanged": false, "taskIds": ["t"],
        "resourceSubscriptions": ["a:1", "a:2"], "acme/news": 1});
    let server = Listened::new(promised);
    let mut stream = listen(
        &one(&[&server.fake]),
        json!(1),
        json!({"resourceSubscriptions": ["a:1"]}),
    )
    .await;
    let granted = json!({"promptsListChanged": false, "resourceSubscriptions": ["a:1"]});
    assert_eq!(told(&mut stream).await.1["notifications"], granted);
}

#[tokio::test]
async fn a_filter_that_cannot_be_read_goes_to_nobody_of_several() {
    let (a, b) = (Listened::new(all()), Listened::new(all()));
    let gateway = gateway([upstream("a", &[&a.fake]), upstream("b", &[&b.fake])]);
    let filter = json!({"toolsListChanged": "yes", "resourceSubscriptions": ["a:1"]});
    let asked_for = call_with_id(
        &json!(1),
        "subscriptions/listen",
        json!({"notifications": filter}),
    );
    assert_eq!(answer(&gateway, asked_for).await.code(), -32602);
    assert!(asked(&a).is_empty() && asked(&b).is_empty());
}

#[tokio::test]
async fn what_one_subscription_may_name_is_bounded() {
    let template = |call: &Call| {
        Ok(match call.method().as_str() {
            "resources/templates/list" => result(
                call,
                json!({"resourceTemplates": [{"uriTemplate": "a:{x}"}]}),
            ),
            "subscriptions/listen" => {
                let wanted: Value = call
                    .params()
                    .get("notifications")
                    .unwrap()
                    .decode()
                    .unwrap();
                let acknowledged = json!({"_meta": subscription(call), "notifications": wanted});
                stream(vec![Ok(notification(
                    "notifications/subscriptions/acknowledged",
                    acknowledged,
                ))])
            }
            _ => error(call, -32601, "Method not found"),
        })
    };
    let (a, b) = (Fake::at_once(template), Listened::new(json!({})));
    let gateway = gateway([upstream("a", &[&a]), upstream("b", &[&b.fake])]);
    let mut uris = vec![
        format!("a:{}", "x".repeat(8 * 1024)),
        "a:0".to_owned(),
        "a:0".to_owned(),
    ];
    uris.extend((0..1_100).map(|number| format!("a:{number}")));
    let mut stream = listen(&gateway, json!(1), json!({"resourceSubscriptions": uris})).await;
    let granted = told(&mut stream).await.1["notifications"]["resourceSubscriptions"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(
        (granted.len(), &granted[0], &granted[999]),
        (1_000, &json!("a:0"), &json!("a:999"))
    );
}
