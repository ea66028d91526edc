//! Resources and templates: lists, reading, access, errors.

use carryall_server::{FileRoot, HandlerError, Resource, Server, UriVariables};
use carryall_testkit::{TestReply, answer, call, call_as, next_notification, stream};
use carryall_types::{BlobResourceContents, ResourceContents, TextResourceContents};
use serde_json::{Value, json};

fn server() -> Server {
    Server::new("resources", "1")
        .resource(
            Resource::new("note:one", "one", async || "first")
                .mime("text/plain")
                .title("One"),
        )
        .resource(
            Resource::new("bytes:all", "bytes", async || vec![0u8, 255]).mime("application/x-bin"),
        )
        .resource(Resource::new("dir:///", "dir", async || {
            vec![
                ResourceContents::Text(TextResourceContents::new("dir:///a", "a")),
                ResourceContents::Blob(BlobResourceContents::from_bytes("dir:///b", b"b")),
            ]
        }))
        .resource(Resource::new("bad:blob", "bad", async || {
            vec![ResourceContents::Blob(BlobResourceContents::new(
                "bad:blob",
                "not base64!",
            ))]
        }))
        .resource(Resource::new("broken:x", "broken", async || {
            std::fs::read("/nowhere/secret-name")
        }))
        .resource(
            Resource::new("file:///vault/key", "key", async || "the key").requires_scope("admin"),
        )
        .resource(Resource::template(
            "file:///{+path}",
            "files",
            async |variables: UriVariables| {
                let path: String = variables.get("path")?;
                if path == "gone" {
                    return Err(HandlerError::resource_not_found("file:///gone"));
                }
                Ok(format!("file {path}"))
            },
        ))
        .resource(
            Resource::template(
                "log://{day}/entry",
                "log",
                async |variables: UriVariables| {
                    variables.get::<u32>("day").map(|day| day.to_string())
                },
            )
            .mime("text/x-log"),
        )
        .build()
        .unwrap()
}

async fn read(uri: &str) -> TestReply {
    answer(&server(), call("resources/read", json!({"uri": uri}))).await
}

fn contents(answered: &TestReply) -> &Value {
    &answered.result()["contents"]
}

// spec: resources-02, resources-03
#[tokio::test]
async fn resources_and_templates_are_listed_in_order_for_each_caller() {
    let server = server();
    let uris = |answered: &TestReply| -> Vec<String> {
        answered.result()["resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["uri"].as_str().unwrap().to_owned())
            .collect()
    };
    let list = answer(&server, call("resources/list", json!({}))).await;
    assert_eq!(
        uris(&list),
        ["bad:blob", "broken:x", "bytes:all", "dir:///", "note:one"]
    );
    assert_eq!(
        list.result()["resources"][4],
        json!({"uri": "note:one", "name": "one", "title": "One", "mimeType": "text/plain"})
    );
    assert_eq!(
        answer(&server, call("resources/list", json!({})))
            .await
            .response,
        list.response
    );
    let admins = answer(
        &server,
        call_as("ann", &["admin"], "resources/list", json!({})),
    )
    .await;
    assert_eq!(uris(&admins)[4], "file:///vault/key");
    let templates = answer(&server, call("resources/templates/list", json!({}))).await;
    assert_eq!(
        templates.result()["resourceTemplates"],
        json!([
            {"uriTemplate": "file:///{+path}", "name": "files"},
            {"uriTemplate": "log://{day}/entry", "name": "log", "mimeType": "text/x-log"},
        ])
    );
}

// spec: resources-04, resources-16
#[tokio::test]
async fn text_bytes_and_several_contents_can_be_read() {
    assert_eq!(
        contents(&read("note:one").await),
        &json!([{"uri": "note:one", "mimeType": "text/plain", "text": "first"}])
    );
    assert_eq!(
        contents(&read("bytes:all").await),
        &json!([{"uri": "bytes:all", "mimeType": "application/x-bin", "blob": "AP8="}])
    );
    assert_eq!(
        contents(&read("dir:///").await),
        &json!([{"uri": "dir:///a", "text": "a"}, {"uri": "dir:///b", "blob": "Yg=="}])
    );
    assert_eq!(
        read("bad:blob").await.code(),
        -32603,
        "what is not base64 does not leave"
    );
}

#[tokio::test]
async fn a_template_reads_every_uri_that_it_matches() {
    assert_eq!(
        contents(&read("log://17/entry").await),
        &json!([{"uri": "log://17/entry", "mimeType": "text/x-log", "text": "17"}])
    );
    assert_eq!(
        contents(&read("file:///a%20b/c").await)[0]["text"],
        json!("file a b/c")
    );
    assert_eq!(read("log://seventeen/entry").await.code(), -32602);
}

// spec: resources-10, resources-13, resources-14
#[tokio::test]
async fn an_unknown_resource_is_an_error_with_its_uri() {
    for uri in [
        "note:two",
        "",
        "not a uri",
        "log://1/2/entry",
        "file:///gone",
        "file:///%zz",
        "note:one\n",
        "NOTE:one",
    ] {
        let answered = read(uri).await;
        assert_eq!(answered.code(), -32602, "{uri:?}");
        assert_eq!(answered.error()["data"], json!({"uri": uri}));
    }
    for params in [json!({}), json!({"uri": 5}), json!({"uri": null})] {
        assert_eq!(
            answer(&server(), call("resources/read", params))
                .await
                .code(),
            -32602
        );
    }
}

// spec: resources-11
#[tokio::test]
async fn an_error_of_a_handler_is_an_internal_error_without_its_reason() {
    let answered = read("broken:x").await;
    assert_eq!(
        answered.error(),
        &json!({"code": -32603, "message": "Internal error"})
    );
}

// spec: resources-15, caching-26
#[tokio::test]
async fn no_template_bypasses_the_access_rule_of_a_resource() {
    let server = server();
    let key = || json!({"uri": "file:///vault/key"});
    let absent = read("note:two").await;
    for refused in [
        call("resources/read", key()),
        call_as("eve", &["user"], "resources/read", key()),
    ] {
        let refused = answer(&server, refused).await;
        assert_eq!(
            (refused.code(), &refused.error()["message"]),
            (absent.code(), &absent.error()["message"])
        );
    }
    let allowed = answer(&server, call_as("ann", &["admin"], "resources/read", key())).await;
    assert_eq!(
        contents(&allowed)[0]["text"],
        json!("the key"),
        "the resource, not the template that matches it too"
    );
    assert_eq!(allowed.result()["cacheScope"], json!("private"));
}

// spec: resources-15
#[tokio::test]
async fn subscribers_that_may_not_read_a_resource_are_not_notified_of_it() {
    let server = server();
    let filter = || json!({"notifications": {"resourceSubscriptions": ["file:///vault/key", "file:///vault", "note:one"]}});
    let mut eve = stream(
        &server,
        call_as("eve", &["user"], "subscriptions/listen", filter()),
    )
    .await;
    let mut ann = stream(
        &server,
        call_as("ann", &["admin"], "subscriptions/listen", filter()),
    )
    .await;
    let honoured = |params: Value| params["notifications"]["resourceSubscriptions"].clone();
    assert_eq!(
        honoured(next_notification(&mut eve).await.1),
        json!(["file:///vault", "note:one"])
    );
    assert_eq!(
        honoured(next_notification(&mut ann).await.1),
        filter()["notifications"]["resourceSubscriptions"]
    );
    server.resource_updated("file:///vault/key");
    server.resource_updated("note:one");
    assert_eq!(
        next_notification(&mut eve).await.1["uri"],
        json!("note:one")
    );
    assert_eq!(
        next_notification(&mut ann).await.1["uri"],
        json!("file:///vault/key")
    );
    assert_eq!(
        next_notification(&mut ann).await.1["uri"],
        json!("note:one")
    );
}

// spec: resources-17
#[tokio::test]
async fn only_files_below_the_root_are_served() {
    let directory = std::env::temp_dir().join(format!("carryall-resources-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("root")).unwrap();
    std::fs::write(directory.join("root/a b.txt"), "inside").unwrap();
    std::fs::write(directory.join("secret.txt"), "outside").unwrap();
    let root = FileRoot::new(directory.join("root")).unwrap();
    let files = Resource::template(
        "file:///{+path}",
        "files",
        move |variables: UriVariables| {
            let root = root.clone();
            async move {
                Ok::<_, HandlerError>(std::fs::read_to_string(
                    root.resolve(&variables.get::<String>("path")?)?,
                )?)
            }
        },
    );
    let server = Server::new("x", "1").resource(files).build().unwrap();
    let read = async |uri: &str| answer(&server, call("resources/read", json!({"uri": uri}))).await;
    assert_eq!(
        contents(&read("file:///a%20b.txt").await)[0]["text"],
        json!("inside")
    );
    for uri in [
        "file:///../secret.txt",
        "file:///%2e%2e/secret.txt",
        "file:///..%2Fsecret.txt",
        "file:////etc/passwd",
    ] {
        assert_eq!(read(uri).await.code(), -32602, "{uri}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

// spec: resources-09, resources-14
#[test]
fn malformed_uris_are_errors_of_build() {
    let problem = |resource: Resource| {
        Server::new("x", "1")
            .resource(resource)
            .build()
            .unwrap_err()
            .to_string()
    };
    for uri in ["", "no scheme", "1x:a", "x:a b", "x:{a}", "x:é"] {
        assert!(
            problem(Resource::new(uri, "n", async || "")).contains("RFC 3986"),
            "{uri}"
        );
    }
    for template in ["x:{a", "x:{a}{b}", "x:{?q}", "x:{a}/{a}"] {
        assert!(
            problem(Resource::template(template, "n", async || "")).contains(template),
            "{template}"
        );
    }
    assert!(
        problem(Resource::new(
            format!("x:{}", "a".repeat(5000)),
            "n",
            async || ""
        ))
        .contains("4096")
    );
}
