//! Clients over HTTP and stdio.

use crate::support::{Does, Seen, Server, done, refuse, refuse_with, text};
use carryall_client::{Client, ClientError, VersionError};
use carryall_transport::{HttpServer, ServerCommand};
use carryall_types::SubscriptionFilter;
use serde_json::json;
use std::future::Future;

/// Serves this behaviour over HTTP while `f` runs with the URL.
async fn over_http<F: Future<Output = ()>>(
    behaviour: impl Fn(&Seen) -> Does + Send + Sync + 'static,
    f: impl FnOnce(String) -> F,
) {
    let listener = HttpServer::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::select! {
        ended = listener.run(Server::new(behaviour)) => panic!("the server ended: {ended:?}"),
        () = f(url) => {}
    }
}

#[tokio::test]
async fn a_client_can_be_made_from_a_url() {
    let add = |seen: &Seen| {
        let numbers = seen.params["arguments"].as_object().unwrap().values();
        done(
            json!({"content": [], "structuredContent": numbers.map(|n| n.as_i64().unwrap()).sum::<i64>()}),
        )
    };
    over_http(add, |url| async move {
        let client = Client::http(&url).unwrap();
        let sum: i64 = client
            .call("add", json!({"a": 2, "b": 3}))
            .typed()
            .await
            .unwrap();
        assert_eq!(sum, 5);
    })
    .await;
    assert!(
        matches!(Client::http("not a url"), Err(ClientError::Request(why)) if why.contains("not a url"))
    );
    assert!(matches!(
        Client::builder().build(),
        Err(ClientError::Request(_))
    ));
}

#[tokio::test]
async fn headers_of_the_builder_are_sent() {
    let behaviour = |seen: &Seen| match (seen.header("authorization"), seen.header("x-tenant")) {
        (Some("Bearer secret"), Some("acme")) => Does::Result(text("ok")),
        other => panic!("{other:?}"),
    };
    over_http(behaviour, |url| async move {
        let client = Client::builder().bearer("secret").http(&url);
        let client = client.header("x-tenant", "acme").build().unwrap();
        client.call("t", ()).await.unwrap();
    })
    .await;
    let invalid = Client::builder().http("http://127.0.0.1/").bearer("a\nb");
    assert!(matches!(invalid.build(), Err(ClientError::Request(_))));
    let unused = Client::builder().service(Server::silent()).bearer("secret");
    assert!(matches!(unused.build(), Err(ClientError::Request(_))));
}

// spec: http-headers-01, http-headers-02, http-headers-08, http-headers-09, http-headers-10
// spec: http-headers-12, http-headers-31, http-headers-32
#[tokio::test]
async fn over_http_headers_are_sent_and_mismatches_recovered_from() {
    let tool = json!({"name": "sql \u{4e16}", "inputSchema": {"type": "object", "properties": {"r": {"type": "string", "x-mcp-header": "R"}}}});
    let behaviour = move |seen: &Seen| {
        assert_eq!(seen.header("mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!(seen.header("mcp-method"), Some(seen.method.as_str()));
        match seen.method.as_str() {
            "tools/list" => done(json!({"tools": [tool], "ttlMs": 0, "cacheScope": "private"})),
            _ if seen.header("mcp-param-r").is_none() => refuse(-32020),
            _ => {
                assert_eq!(seen.header("mcp-name"), Some("=?base64?c3FsIOS4lg==?="));
                Does::Result(text(seen.header("mcp-param-r").unwrap()))
            }
        }
    };
    over_http(behaviour, |url| async move {
        let client = Client::http(&url).unwrap();
        let mirrored: String = client
            .call("sql \u{4e16}", json!({"r": "eu west"}))
            .typed()
            .await
            .unwrap();
        assert_eq!(mirrored, "eu west");
    })
    .await;
}

// spec: versioning-02
#[tokio::test]
async fn over_http_a_version_is_negotiated() {
    let behaviour = |seen: &Seen| match seen.n {
        0 => refuse_with(
            -32022,
            json!({"supported": ["2026-07-28"], "requested": "2026-07-28"}),
        ),
        _ => Does::Result(text("x")),
    };
    over_http(behaviour, |url| async move {
        Client::http(&url).unwrap().call("t", ()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn over_http_changes_are_received() {
    use crate::support::Says;
    let behaviour = |seen: &Seen| {
        Does::Say(vec![
            Says::Note(
                "notifications/subscriptions/acknowledged",
                json!({"notifications": seen.params["notifications"]}),
            ),
            Says::Note("notifications/tools/list_changed", json!({})),
            Says::Result(json!({"resultType": "complete"})),
        ])
    };
    over_http(behaviour, |url| async move {
        let filter = SubscriptionFilter::new().with_tools_list_changed(true);
        let mut listener = Client::http(&url).unwrap().listen(filter).await.unwrap();
        assert_eq!(
            listener.next().await.unwrap().unwrap(),
            carryall_client::Change::Tools
        );
        assert!(listener.next().await.is_none());
    })
    .await;
}

/// Returns a server written in shell that answers `server/discover`, which must come first, as the
/// `case` pattern says.
fn shell(discover: &str) -> ServerCommand {
    let script = r#"
        n=0
        while read -r line; do
            id=$(printf '%s' "$line" | sed 's/.*"id":\([0-9]*\).*/\1/')
            n=$((n + 1))
            case "$n $line" in
                "1 "*server/discover*) body="$DISCOVER" ;;
                "1 "*) exit 7 ;;
                *) body='"result":{"resultType":"complete","content":[{"type":"text","text":"'$n'"}]}' ;;
            esac
            printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$body"
        done"#;
    ServerCommand::new("sh")
        .arg("-c")
        .arg(script)
        .env("DISCOVER", discover)
}

// spec: versioning-13, stdio-20, statelessness-04
#[tokio::test]
async fn over_stdio_discover_is_sent_first() {
    const MODERN: &str = r#""result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{},"ttlMs":0,"cacheScope":"public"}"#;
    let client = Client::stdio(shell(MODERN)).await.unwrap();
    let numbers = futures_util::future::join_all((0..3).map(|_| {
        let client = client.clone();
        async move { client.call("t", ()).typed::<i64>().await.unwrap() }
    }));
    let mut numbers = numbers.await;
    numbers.sort_unstable();
    assert_eq!(
        numbers,
        [2, 3, 4],
        "not all by the process that was asked first"
    );
}

// spec: stdio-18, stdio-19
#[tokio::test]
async fn over_stdio_any_error_that_is_not_modern_means_an_earlier_revision() {
    for code in [-32601, -32600, -32602, -32000, -32002] {
        let error = Client::stdio(shell(&format!(
            r#""error":{{"code":{code},"message":"no"}}"#
        )))
        .await
        .unwrap_err();
        assert!(
            matches!(&error, ClientError::Version(VersionError::NotModern(_))),
            "{code}: {error}"
        );
        assert!(error.to_string().contains("before 2026-07-28"));
    }
    let silent = ServerCommand::new("sh").args(["-c", "while read -r line; do :; done"]);
    let timeout = std::time::Duration::from_millis(200);
    let error = Client::builder()
        .timeout(timeout)
        .stdio(silent)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ClientError::Version(VersionError::NotModern(cause)) if cause.is_timeout()),
        "{error}"
    );
    let unsupported = r#""error":{"code":-32022,"message":"no","data":{"supported":["2099-01-01"],"requested":"2026-07-28"}}"#;
    assert!(matches!(
        Client::stdio(shell(unsupported)).await,
        Err(ClientError::Version(VersionError::NoneInCommon { .. }))
    ));
    let missing =
        r#""error":{"code":-32021,"message":"no","data":{"requiredCapabilities":{"roots":{}}}}"#;
    assert_eq!(
        Client::stdio(shell(missing)).await.unwrap_err().code(),
        Some(-32021)
    );
}

#[tokio::test]
async fn over_stdio_a_server_that_cannot_start_is_a_call_error() {
    let error = Client::stdio(ServerCommand::new("/nonexistent/server"))
        .await
        .unwrap_err();
    assert!(error.is_unsent(), "{error}");
}
