//! Changes of the catalogue while the server runs.

use carryall_proto::MessageStream;
use carryall_server::{Prompt, Resource, Server, Tool};
use carryall_testkit::{answer, assert_idle, call, call_as, next_notification, stream};
use serde_json::{Value, json};

fn tool(name: &str, says: &'static str) -> Tool {
    Tool::new(name, move || async move { says })
}

fn server() -> Server {
    Server::new("change", "1")
        .tool(tool("kept", "old"))
        .prompt(Prompt::new("kept", async || "old"))
        .resource(Resource::new("x:kept", "r", async || "old"))
        .resource(Resource::template("y:{v}", "t", async || "old"))
        .build()
        .unwrap()
}

async fn subscribe(server: &Server) -> MessageStream {
    let filter =
        json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true});
    let mut stream = stream(
        server,
        call("subscriptions/listen", json!({"notifications": filter})),
    )
    .await;
    next_notification(&mut stream).await;
    stream
}

/// Asserts that the subscription is notified of these lists, in this order, and of no others.
async fn assert_notified(subscription: &mut MessageStream, lists: &[&str]) {
    for list in lists {
        assert_eq!(
            next_notification(subscription).await.0,
            format!("notifications/{list}/list_changed")
        );
    }
    assert_idle(subscription);
}

async fn names(server: &Server, method: &str, member: &str) -> Vec<Value> {
    let list = answer(server, call(method, json!({}))).await;
    list.result()[member]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].clone())
        .collect()
}

// spec: tools-09, prompts-05, resources-06, tools-04, prompts-03, resources-03
#[tokio::test]
async fn subscribers_are_notified_of_the_lists_that_differ() {
    let server = server();
    let mut subscription = subscribe(&server).await;
    let change = |what: &dyn Fn(&mut carryall_server::CatalogueChange<'_>)| {
        server.change(|c| what(c)).unwrap()
    };

    change(&|c| drop_unit(c.tool(tool("new", "new"))));
    assert_notified(&mut subscription, &["tools"]).await;
    change(&|c| drop_unit(c.prompt(Prompt::new("new", async || ""))));
    assert_notified(&mut subscription, &["prompts"]).await;
    change(&|c| drop_unit(c.resource(Resource::new("x:new", "r", async || ""))));
    assert_notified(&mut subscription, &["resources"]).await;
    change(&|c| drop_unit(c.resource(Resource::template("z:{v}", "t", async || ""))));
    assert_notified(&mut subscription, &["resources"]).await;
    change(&|c| assert!(c.remove_tool("new") && c.remove_prompt("new")));
    assert_notified(&mut subscription, &["tools", "prompts"]).await;
    change(&|c| assert!(c.remove_resource("x:new") && c.remove_resource("z:{v}")));
    assert_notified(&mut subscription, &["resources"]).await;
    // The lists look the same.
    change(&|c| drop_unit(c.tool(tool("kept", "new handler"))));
    change(&|c| {
        assert!(
            !c.remove_tool("absent")
                && !c.remove_prompt("absent")
                && !c.remove_resource("x:absent")
        )
    });
    change(&|c| {
        c.tool(tool("passing", ""));
        c.remove_tool("passing");
    });
    assert_notified(&mut subscription, &[]).await;
    // Lists contain descriptions, and depend on access rules.
    change(&|c| drop_unit(c.tool(tool("kept", "").description("now described"))));
    assert_notified(&mut subscription, &["tools"]).await;
    change(&|c| {
        drop_unit(
            c.tool(
                tool("kept", "")
                    .description("now described")
                    .requires_scope("admin"),
            ),
        )
    });
    assert_notified(&mut subscription, &["tools"]).await;
    assert_eq!(
        names(&server, "tools/list", "tools").await,
        [json!(null); 0]
    );
    let admins = answer(&server, call_as("ann", &["admin"], "tools/list", json!({}))).await;
    assert_eq!(admins.result()["tools"][0]["name"], json!("kept"));
}

fn drop_unit<T>(_: T) {}

// spec: caching-10
#[tokio::test]
async fn a_change_shows_in_lists_and_calls_at_once() {
    let server = server();
    assert_eq!(names(&server, "tools/list", "tools").await, ["kept"]);
    server
        .change(|catalogue| {
            catalogue
                .tool(tool("kept", "new"))
                .tool(tool("added", "added"));
            catalogue.prompt(Prompt::new("kept", async || "new"));
            catalogue.resource(Resource::new("x:kept", "r", async || "new"));
        })
        .unwrap();
    assert_eq!(
        names(&server, "tools/list", "tools").await,
        ["added", "kept"]
    );
    assert_eq!(
        answer(&server, call("tools/call", json!({"name": "kept"})))
            .await
            .text(),
        "new"
    );
    assert_eq!(
        answer(&server, call("tools/call", json!({"name": "added"})))
            .await
            .text(),
        "added"
    );
    let prompt = answer(&server, call("prompts/get", json!({"name": "kept"}))).await;
    assert_eq!(
        prompt.result()["messages"][0]["content"]["text"],
        json!("new")
    );
    let read = answer(&server, call("resources/read", json!({"uri": "x:kept"}))).await;
    assert_eq!(read.result()["contents"][0]["text"], json!("new"));
    assert!(
        server
            .change(|catalogue| catalogue.remove_tool("kept"))
            .unwrap()
    );
    assert_eq!(
        answer(&server, call("tools/call", json!({"name": "kept"})))
            .await
            .code(),
        -32602
    );
}

#[tokio::test]
async fn an_invalid_change_changes_nothing() {
    let server = server();
    let mut subscription = subscribe(&server).await;
    let error = server.change(|catalogue| {
        catalogue.remove_prompt("kept");
        catalogue.tool(tool("fine", "")).tool(tool("not fine", ""));
        catalogue.resource(Resource::new("no uri", "r", async || ""));
    });
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("not fine") && error.contains("no uri"),
        "all problems: {error}"
    );
    assert_eq!(names(&server, "tools/list", "tools").await, ["kept"]);
    assert_eq!(names(&server, "prompts/list", "prompts").await, ["kept"]);
    assert_notified(&mut subscription, &[]).await;
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        server.change(|catalogue| {
            catalogue.remove_tool("kept");
            panic!("in the middle");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(names(&server, "tools/list", "tools").await, ["kept"]);
    server
        .change(|catalogue| drop_unit(catalogue.tool(tool("after", ""))))
        .unwrap();
    assert_notified(&mut subscription, &["tools"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_atomic_for_readers() {
    let server = server();
    let changing = server.clone();
    let changes = tokio::task::spawn_blocking(move || {
        for n in 0..200 {
            let swapped = changing.change(|catalogue| {
                for name in ["a", "b", "c"] {
                    if n % 2 == 0 {
                        catalogue.tool(tool(name, ""));
                    } else {
                        assert!(catalogue.remove_tool(name));
                    }
                }
            });
            swapped.unwrap();
        }
    });
    while !changes.is_finished() {
        let names = names(&server, "tools/list", "tools").await;
        assert!(
            names == ["kept"] || names == ["a", "b", "c", "kept"],
            "{names:?}"
        );
    }
    changes.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_changes_are_not_lost() {
    let server = server();
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let server = server.clone();
            tokio::task::spawn_blocking(move || {
                for n in 0..10 {
                    server
                        .change(|catalogue| {
                            drop_unit(catalogue.tool(tool(&format!("t{thread}-{n}"), "")))
                        })
                        .unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.await.unwrap();
    }
    assert_eq!(names(&server, "tools/list", "tools").await.len(), 81);
}

// spec: discover-06
#[tokio::test]
async fn a_capability_stays_advertised_when_its_list_becomes_empty() {
    let server = Server::new("x", "1").build().unwrap();
    let tools = async || {
        answer(&server, call("server/discover", json!({})))
            .await
            .result()["capabilities"]
            .clone()
    };
    assert_eq!(tools().await, json!({}));
    server
        .change(|catalogue| drop_unit(catalogue.tool(tool("t", ""))))
        .unwrap();
    assert_eq!(tools().await, json!({"tools": {"listChanged": true}}));
    assert!(
        server
            .change(|catalogue| catalogue.remove_tool("t"))
            .unwrap()
    );
    assert_eq!(tools().await, json!({"tools": {"listChanged": true}}));
    assert_eq!(names(&server, "tools/list", "tools").await.len(), 0);
}
