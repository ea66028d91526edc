//! Templates that list their instances.

use carryall_proto::Principal;
use carryall_server::{Ctx, HandlerError, ListQuery, Resource, Server, ServerBuilder, State};
use carryall_testkit::{answer, call, call_as, next_notification, stream};
use carryall_types::Resource as Definition;
use serde_json::{Value, json};

fn note(id: usize) -> Definition {
    Definition::new(format!("note://{id:03}"), format!("Note {id}"))
}

fn template() -> Resource {
    Resource::template("note://{id}", "notes", async || "a note")
}

fn builder(page_size: usize) -> ServerBuilder {
    Server::new("notes", "1").page_size(page_size)
}

/// The URIs of all pages.
async fn pages(server: &Server, subject: Option<&str>) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut params = json!({});
    loop {
        let call = match subject {
            Some(subject) => call_as(subject, &[], "resources/list", params),
            None => call("resources/list", params),
        };
        let reply = answer(server, call).await;
        let list = reply.result()["resources"].as_array().unwrap().clone();
        let uri = |entry: Value| entry["uri"].as_str().unwrap().to_owned();
        pages.push(list.into_iter().map(uri).collect());
        match reply.result().get("nextCursor") {
            Some(cursor) => params = json!({"cursor": cursor}),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn instances_are_listed_among_the_other_resources_in_order() {
    let server = builder(3)
        .resource(template().list(async || vec![note(5), note(1), note(3)]))
        .resource(Resource::new("note://002", "two", async || ""))
        .resource(Resource::new("note://003", "three", async || ""))
        .resource(Resource::new("a:first", "first", async || ""))
        .resource(Resource::new("z:last", "last", async || ""))
        .build()
        .unwrap();
    assert_eq!(
        pages(&server, None).await,
        [
            vec!["a:first", "note://001", "note://002"],
            vec!["note://003", "note://005", "z:last"],
        ]
    );
    let reply = answer(&server, call("resources/list", json!({}))).await;
    assert_eq!(
        reply.result()["resources"][1],
        json!({"uri": "note://001", "name": "Note 1"})
    );
}

#[tokio::test]
async fn a_handler_may_return_one_part_at_a_time() {
    let part = async |query: ListQuery| {
        let all = (0..10).map(note);
        let after = all.filter(|note| query.after.as_ref().is_none_or(|after| note.uri > *after));
        after.take(query.limit).collect::<Vec<_>>()
    };
    let server = builder(4).resource(template().list(part)).build().unwrap();
    let pages = pages(&server, None).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
    assert_eq!(
        pages.concat(),
        (0..10).map(|id| note(id).uri).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn what_is_listed_may_depend_on_the_caller() {
    let of_caller = async |State(count): State<usize>, caller: Option<Principal>| {
        let count = if caller.is_some() { count } else { 0 };
        (0..count).map(note).collect::<Vec<_>>()
    };
    let server = builder(10)
        .state(2usize)
        .resource(template().list(of_caller))
        .resource(
            Resource::template("secret://{id}", "secrets", async || "")
                .list(async || vec![Definition::new("secret://1", "One")])
                .requires_scope("admin"),
        )
        .build()
        .unwrap();
    assert_eq!(pages(&server, None).await, [Vec::<String>::new()]);
    assert_eq!(
        pages(&server, Some("alice")).await,
        [["note://000", "note://001"]]
    );
    let admin = call_as("root", &["admin"], "resources/list", json!({}));
    let reply = answer(&server, admin).await;
    assert_eq!(reply.result()["resources"].as_array().unwrap().len(), 3);
    assert_eq!(reply.result()["cacheScope"], "private");
}

#[tokio::test]
async fn failures_and_instances_that_do_not_match_are_internal_errors() {
    let listing = |list: fn() -> Result<Vec<Definition>, HandlerError>| {
        let server = builder(10).resource(template().list(move || async move { list() }));
        server.build().unwrap()
    };
    let list =
        |server: Server| async move { answer(&server, call("resources/list", json!({}))).await };
    let failed = list(listing(|| Err("no database")?)).await;
    assert_eq!(
        failed.error(),
        &json!({"code": -32603, "message": "Internal error"})
    );
    let other = list(listing(|| Ok(vec![Definition::new("other://1", "Other")]))).await;
    assert_eq!(other.code(), -32603);
}

#[test]
fn only_templates_list_instances() {
    let resource = Resource::new("note://1", "one", async || "").list(async || vec![note(1)]);
    let error = builder(10)
        .resource(resource)
        .build()
        .unwrap_err()
        .to_string();
    assert!(error.contains("only a template lists instances"), "{error}");
    let template = template().list(async |_: State<u8>| vec![note(1)]);
    let error = builder(10)
        .resource(template)
        .build()
        .unwrap_err()
        .to_string();
    assert!(error.contains("State<u8>"), "{error}");
}

#[tokio::test]
async fn a_handler_announces_changes() {
    let server = builder(10)
        .resource(template().list(async || vec![note(1)]))
        .tool(carryall_server::Tool::new("add", async |ctx: Ctx| {
            ctx.server().resource_list_changed();
            ctx.resource_updated("note://001");
        }))
        .build()
        .unwrap();
    let filter = json!({"notifications": {"resourcesListChanged": true, "resourceSubscriptions": ["note://001"]}});
    let mut subscription = stream(&server, call("subscriptions/listen", filter)).await;
    next_notification(&mut subscription).await;
    answer(&server, call("tools/call", json!({"name": "add"}))).await;
    let mut methods = [
        next_notification(&mut subscription).await.0,
        next_notification(&mut subscription).await.0,
    ];
    methods.sort();
    assert_eq!(
        methods,
        [
            "notifications/resources/list_changed",
            "notifications/resources/updated"
        ]
    );
}
