//! Pagination: pages, and valid and invalid cursors.

use carryall_proto::seal::{Keyring, SealingKey};
use carryall_server::{Prompt, Resource, Server, Tool};
use carryall_testkit::{answer, call, call_as};
use carryall_types::JsonValue;
use serde_json::{Value, json};

const LISTS: [(&str, &str); 4] = [
    ("tools/list", "tools"),
    ("prompts/list", "prompts"),
    ("resources/list", "resources"),
    ("resources/templates/list", "resourceTemplates"),
];

fn tool(name: String) -> Tool {
    Tool::new(name, async || "")
}

fn server(entries: usize, page_size: usize) -> Server {
    let mut builder = Server::new("pages", "1")
        .page_size(page_size)
        .with_tools()
        .with_prompts()
        .with_resources();
    for n in 0..entries {
        builder = builder
            .tool(tool(format!("t{n:03}")))
            .prompt(Prompt::new(format!("p{n:03}"), async || ""))
            .resource(Resource::new(format!("x:r{n:03}"), "r", async || ""))
            .resource(Resource::template(
                format!("y:{n:03}/{{v}}"),
                "t",
                async || "",
            ));
    }
    builder.build().unwrap()
}

/// Returns the names of the entries, page by page.
async fn pages(server: &Server, method: &str, member: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut params = json!({});
    loop {
        let page = answer(server, call(method, params)).await;
        let entries = page.result()[member].as_array().unwrap();
        let key = |entry: &Value| {
            let key = ["uriTemplate", "uri", "name"]
                .iter()
                .find_map(|key| entry[key].as_str());
            key.unwrap().to_owned()
        };
        pages.push(entries.iter().map(key).collect());
        assert!(pages.len() < 100, "the pages do not end");
        match page.result().get("nextCursor").and_then(JsonValue::as_str) {
            Some(cursor) => params = json!({"cursor": cursor}),
            None => return pages,
        }
    }
}

// spec: pagination-02
#[tokio::test]
async fn pages_of_any_size_add_up_to_the_list() {
    for (method, member) in LISTS {
        let whole = pages(&server(10, 100), method, member).await;
        assert_eq!((whole.len(), whole[0].len()), (1, 10), "{method}");
        for size in [1, 3, 5, 9, 10, 11] {
            let paged = pages(&server(10, size), method, member).await;
            assert_eq!(paged.concat(), whole[0], "{method} by {size}");
            assert_eq!(
                paged.len(),
                10usize.div_ceil(size),
                "{method} by {size}: no page is empty"
            );
            assert!(
                paged.iter().all(|page| page.len() <= size),
                "{method} by {size}"
            );
        }
        assert_eq!(
            pages(&server(0, 3), method, member).await,
            [Vec::<String>::new()],
            "{method}"
        );
    }
}

// spec: pagination-05
#[tokio::test]
async fn an_invalid_cursor_is_invalid_params() {
    let server = server(4, 2);
    let first = answer(&server, call("tools/list", json!({}))).await;
    let cursor = first.result()["nextCursor"].as_str().unwrap().to_owned();
    for (method, _) in LISTS {
        for wrong in [
            json!(""),
            json!("x"),
            json!("MQ=="),
            json!(7),
            json!({}),
            json!(format!("{cursor}A")),
        ] {
            let refused = answer(&server, call(method, json!({"cursor": wrong}))).await;
            assert_eq!(refused.code(), -32602, "{method} {wrong}");
        }
        let foreign = answer(&server, call(method, json!({"cursor": cursor}))).await;
        assert_eq!(
            foreign.response.get("error").is_some(),
            method != "tools/list",
            "{method}"
        );
    }
}

// spec: pagination-02
#[tokio::test]
async fn a_cursor_survives_changes_of_the_list() {
    let server = server(6, 2);
    let first = answer(&server, call("tools/list", json!({}))).await;
    let next = json!({"cursor": first.result()["nextCursor"]});
    server
        .change(|catalogue| {
            // Before, at and after the cursor.
            catalogue.tool(tool("a".into())).tool(tool("t0025".into()));
            catalogue.remove_tool("t001");
            catalogue.remove_tool("t003");
        })
        .unwrap();
    let second = answer(&server, call("tools/list", next.clone())).await;
    let names: Vec<&Value> = second.result()["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| &tool["name"])
        .collect();
    assert_eq!(names, ["t002", "t0025"]);
    for gone in ["t002", "t0025", "t004", "t005"] {
        assert!(
            server
                .change(|catalogue| catalogue.remove_tool(gone))
                .unwrap(),
            "{gone}"
        );
    }
    let last = answer(&server, call("tools/list", next)).await;
    assert_eq!(last.result()["tools"], json!([]));
    assert!(last.result().get("nextCursor").is_none());
}

// spec: tools-03, caching-24
#[tokio::test]
async fn each_caller_sees_its_own_pages() {
    let mut builder = Server::new("x", "1").page_size(2).public_lists();
    for n in 0..9 {
        let tool = tool(format!("t{n}"));
        builder = builder.tool(if n % 3 == 2 {
            tool
        } else {
            tool.requires_scope("admin")
        });
    }
    let server = builder.build().unwrap();
    let mut seen = Vec::new();
    let mut params = json!({});
    for _ in 0..2 {
        let page = answer(&server, call_as("eve", &[], "tools/list", params)).await;
        seen.extend(
            page.result()["tools"]
                .as_array()
                .unwrap()
                .iter()
                .map(|tool| tool["name"].clone()),
        );
        assert_eq!(page.result()["cacheScope"], json!("private"));
        params = json!({"cursor": page.result()["nextCursor"]});
    }
    assert_eq!(
        (seen, params),
        (
            vec![json!("t2"), json!("t5"), json!("t8")],
            json!({"cursor": null})
        )
    );
}

/// Returns the second page of the tools, and its cursor.
async fn second_page(
    server: &Server,
    subject: &str,
    cursor: Option<&str>,
) -> (carryall_testkit::TestReply, String) {
    let list = |params: Value| call_as(subject, &["hidden"], "tools/list", params);
    let first = answer(server, list(json!({}))).await;
    let own = first.result()["nextCursor"].as_str().unwrap().to_owned();
    (
        answer(server, list(json!({"cursor": cursor.unwrap_or(&own)}))).await,
        own,
    )
}

#[tokio::test]
async fn cursors_of_restricted_lists_are_bound_to_their_caller() {
    let keyring = |id: u8| Keyring::new(SealingKey::new(u32::from(id), [id; 32]));
    let replica = |id: u8| {
        let tools = ["a", "secret", "z"].map(|name| tool(name.to_owned()).requires_scope("hidden"));
        let builder = Server::new("pages", "1").page_size(1).keyring(keyring(id));
        tools
            .into_iter()
            .fold(builder, carryall_server::ServerBuilder::tool)
            .build()
            .unwrap()
    };
    let (here, there) = (replica(1), replica(1));
    let (page, hers) = second_page(&here, "ada", None).await;
    assert_eq!(page.result()["tools"][0]["name"], "secret");
    assert_eq!(
        second_page(&there, "ada", Some(&hers)).await.0.result()["tools"][0]["name"],
        "secret"
    );
    assert_eq!(
        second_page(&there, "bob", Some(&hers)).await.0.code(),
        -32602,
        "stolen"
    );
    assert_eq!(
        second_page(&replica(2), "ada", Some(&hers)).await.0.code(),
        -32602,
        "sealed with other keys"
    );
    let guessed = carryall_proto::cursor::Cursor::new("tools/list", "a")
        .encode()
        .unwrap();
    assert_eq!(
        second_page(&here, "ada", Some(&guessed)).await.0.code(),
        -32602,
        "guessed"
    );
    let public = Server::new("pages", "1")
        .page_size(1)
        .keyring(keyring(1))
        .tool(tool("a".into()))
        .tool(tool("b".into()));
    let (page, cursor) = second_page(&public.build().unwrap(), "ada", None).await;
    assert_eq!(page.result()["tools"][0]["name"], "b");
    assert!(
        !cursor.starts_with("c1."),
        "cursors of unrestricted lists are not bound"
    );
}
