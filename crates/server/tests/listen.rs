//! `subscriptions/listen`: acknowledgement, filters, closing.

use carryall_proto::{Message, MessageStream};
use carryall_server::{Ctx, Prompt, Resource, Server, Tool};
use carryall_testkit::{
    answer, assert_idle, call, call_with_id, meta_with, next, next_notification, stream,
};
use serde_json::{Value, json};
use std::future::poll_fn;

fn tool(name: &str) -> Tool {
    Tool::new(name, async || "ok")
}

fn server() -> Server {
    Server::new("listen", "1")
        .tool(tool("first"))
        .prompt(Prompt::new("first", async || ""))
        .resource(Resource::new("x:first", "r", async || ""))
        .build()
        .unwrap()
}

async fn listen(server: &Server, id: &Value, filter: Value) -> MessageStream {
    stream(
        server,
        call_with_id(id, "subscriptions/listen", json!({"notifications": filter})),
    )
    .await
}

/// Opens a subscription and reads its acknowledgement.
async fn subscribe(server: &Server, id: &Value, filter: Value) -> MessageStream {
    let mut stream = listen(server, id, filter).await;
    assert_eq!(
        next_notification(&mut stream).await.0,
        "notifications/subscriptions/acknowledged"
    );
    stream
}

fn change_everything(server: &Server, name: &str) {
    let resource = Resource::new(format!("x:{name}"), "r", async || "");
    let prompt = Prompt::new(name, async || "");
    let change = server.change(|catalogue| {
        catalogue.tool(tool(name)).prompt(prompt).resource(resource);
    });
    change.unwrap();
    server.resource_updated("x:first");
}

// spec: subscriptions-02, subscriptions-06, meta-20
#[tokio::test]
async fn the_acknowledgement_precedes_every_change() {
    let server = server();
    for id in [json!(7), json!("seven"), json!("7")] {
        let mut stream = listen(&server, &id, json!({"toolsListChanged": true})).await;
        let added = server.change(|catalogue| {
            catalogue.tool(tool("second"));
        });
        added.unwrap();
        assert!(
            server
                .change(|catalogue| catalogue.remove_tool("second"))
                .unwrap()
        );
        let meta = json!({"io.modelcontextprotocol/subscriptionId": id});
        assert_eq!(
            next_notification(&mut stream).await,
            (
                "notifications/subscriptions/acknowledged".to_owned(),
                json!({"_meta": meta, "notifications": {"toolsListChanged": true}})
            )
        );
        let (method, params) = next_notification(&mut stream).await;
        assert_eq!(
            (method.as_str(), params),
            ("notifications/tools/list_changed", json!({"_meta": meta}))
        );
        assert_idle(&mut stream);
    }
}

// spec: subscriptions-01, tools-09, prompts-05, resources-06
#[tokio::test]
async fn a_subscriber_is_notified_of_what_its_filter_names() {
    let server = server();
    let cases = [
        (json!({}), vec![]),
        (
            json!({"toolsListChanged": true}),
            vec!["notifications/tools/list_changed"],
        ),
        (
            json!({"promptsListChanged": true}),
            vec!["notifications/prompts/list_changed"],
        ),
        (
            json!({"resourcesListChanged": true}),
            vec!["notifications/resources/list_changed"],
        ),
        (
            json!({"resourceSubscriptions": ["x:first"]}),
            vec!["notifications/resources/updated"],
        ),
        (json!({"resourceSubscriptions": ["x:second"]}), vec![]),
        (
            json!({"toolsListChanged": false, "promptsListChanged": true}),
            vec!["notifications/prompts/list_changed"],
        ),
    ];
    for (n, (filter, told)) in cases.into_iter().enumerate() {
        let mut stream = subscribe(&server, &json!(1), filter.clone()).await;
        change_everything(&server, &format!("n{n}"));
        for expected in told {
            let (method, params) = next_notification(&mut stream).await;
            assert_eq!(method, expected, "{filter}");
            assert_eq!(
                params["_meta"]["io.modelcontextprotocol/subscriptionId"],
                json!(1)
            );
        }
        assert_idle(&mut stream);
    }
}

// spec: subscriptions-04
#[tokio::test]
async fn the_acknowledgement_omits_what_the_server_does_not_offer() {
    let all = json!({
        "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
        "resourceSubscriptions": ["x:a"], "com.example/other": true,
    });
    let acknowledged = async |server: Server| {
        let mut stream = listen(&server, &json!(1), all.clone()).await;
        next_notification(&mut stream).await.1["notifications"].clone()
    };
    assert_eq!(
        acknowledged(Server::new("x", "1").build().unwrap()).await,
        json!({})
    );
    assert_eq!(
        acknowledged(Server::new("x", "1").with_tools().build().unwrap()).await,
        json!({"toolsListChanged": true})
    );
    let resources = json!({"resourcesListChanged": true, "resourceSubscriptions": ["x:a"]});
    assert_eq!(
        acknowledged(Server::new("x", "1").with_resources().build().unwrap()).await,
        resources
    );
}

// spec: subscriptions-12
#[tokio::test]
async fn a_missing_or_malformed_filter_is_invalid() {
    let server = server();
    for params in [
        json!({}),
        json!({"notifications": null}),
        json!({"notifications": []}),
        json!({"notifications": {"toolsListChanged": "yes"}}),
        json!({"notifications": {"resourceSubscriptions": "x:a"}}),
        json!({"notifications": {"resourceSubscriptions": [1]}}),
    ] {
        assert_eq!(
            answer(&server, call("subscriptions/listen", params.clone()))
                .await
                .code(),
            -32602,
            "{params}"
        );
    }
    assert_eq!(server.subscriptions(), 0);
}

// spec: subscriptions-09, subscriptions-06, base-jsonrpc-08, meta-17
#[tokio::test]
async fn closing_sends_pending_changes_the_closing_result_and_the_end() {
    let server = server();
    let mut stream = subscribe(&server, &json!("s"), json!({"toolsListChanged": true})).await;
    change_everything(&server, "last");
    server.close_subscriptions();
    assert_eq!(
        next_notification(&mut stream).await.0,
        "notifications/tools/list_changed"
    );
    let Message::Response(response) = next(&mut stream).await else {
        panic!("no closing result")
    };
    let response: Value = serde_json::from_slice(&response.encode().into_bytes()).unwrap();
    let meta = json!({
        "io.modelcontextprotocol/subscriptionId": "s",
        "io.modelcontextprotocol/serverInfo": {"name": "listen", "version": "1"},
    });
    assert_eq!(
        response,
        json!({"jsonrpc": "2.0", "id": "s", "result": {"resultType": "complete", "_meta": meta}})
    );
    assert!(
        poll_fn(|cx| stream.as_mut().poll_next(cx)).await.is_none(),
        "nothing follows"
    );
    let refused = answer(
        &server,
        call("subscriptions/listen", json!({"notifications": {}})),
    )
    .await;
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("shutting down")
    );
    assert_eq!(
        answer(&server, call("tools/call", json!({"name": "first"})))
            .await
            .text(),
        "ok",
        "calls go on"
    );
}

#[tokio::test]
async fn dropping_the_server_closes_its_subscriptions() {
    let server = server();
    let mut stream = subscribe(&server, &json!(1), json!({})).await;
    let waiting = tokio::spawn(async move { next(&mut stream).await });
    tokio::task::yield_now().await;
    drop(server);
    assert!(matches!(waiting.await.unwrap(), Message::Response(_)));
}

// spec: subscriptions-08, cancellation-13
#[tokio::test]
async fn subscriptions_are_independent_and_a_dropped_one_is_removed() {
    let server = server();
    let mut tools = subscribe(&server, &json!(1), json!({"toolsListChanged": true})).await;
    let prompts = subscribe(&server, &json!(2), json!({"promptsListChanged": true})).await;
    assert_eq!(server.subscriptions(), 2);
    drop(prompts);
    assert_eq!(server.subscriptions(), 1);
    change_everything(&server, "more");
    assert_eq!(
        next_notification(&mut tools).await.0,
        "notifications/tools/list_changed"
    );
    drop(tools);
    assert_eq!(server.subscriptions(), 0);
}

#[tokio::test]
async fn a_waiting_subscriber_is_woken_by_each_change() {
    let server = server();
    let mut stream = subscribe(
        &server,
        &json!(1),
        json!({"resourceSubscriptions": ["x:first"]}),
    )
    .await;
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        for _ in 0..50 {
            sender
                .send(next_notification(&mut stream).await.1["uri"].clone())
                .unwrap();
        }
    });
    for _ in 0..50 {
        server.resource_updated("x:first");
        let uri = tokio::time::timeout(carryall_testkit::TIMEOUT, received.recv())
            .await
            .expect("woken");
        assert_eq!(uri, Some(json!("x:first")));
    }
    task.await.unwrap();
}

// spec: resources-18
#[tokio::test]
async fn a_subscriber_is_notified_of_resources_below_its_own() {
    let server = server();
    let mut stream = subscribe(
        &server,
        &json!(1),
        json!({"resourceSubscriptions": ["file:///p"]}),
    )
    .await;
    server.resource_updated("file:///project");
    server.resource_updated("file:///p/x.json");
    assert_eq!(
        next_notification(&mut stream).await.1["uri"],
        json!("file:///p/x.json")
    );
    assert_idle(&mut stream);
}

// spec: http-receive-05, patterns-02
#[tokio::test]
async fn progress_of_a_call_is_not_sent_to_subscribers() {
    let tool = Tool::new("work", async |ctx: Ctx| ctx.progress(1.0).await);
    let server = Server::new("x", "1").tool(tool).build().unwrap();
    let token = meta_with(&json!({"progressToken": "t"}));
    let filter = json!({"notifications": {"toolsListChanged": true}, "_meta": token});
    let mut listener = stream(&server, call("subscriptions/listen", filter)).await;
    next_notification(&mut listener).await;
    let worked = answer(
        &server,
        call("tools/call", json!({"name": "work", "_meta": token})),
    )
    .await;
    assert_eq!(worked.params_of("notifications/progress").len(), 1);
    assert_idle(&mut listener);
}
