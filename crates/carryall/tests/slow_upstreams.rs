//! An edge in front of several servers of an earlier revision that start slowly, each in a process
//! of its own.

#![cfg(unix)]

use carryall::gateway::{Gateway, Upstream};
use carryall::proto::{Message, MessageStream, Reply, SharedService};
use carryall::transport::stdio::ServerCommand;
use carryall::types::Implementation;
use carryall::{DualEraOptions, DualEraStdio};
use carryall_testkit::{answer, call, call_with_id, next};
use serde_json::json;
use std::time::Duration;
use tower_service::Service as _;

/// One tool, offered as late as this.
const SERVER: &str = r#"
printf 'started\n' >>"$3"
sleep "$1"
while IFS= read -r line; do
    id=${line#*'"id":'}; id=${id%%[,\}]*}
    case $line in
    *'"method":"initialize"'*) result='{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"slow","version":"1"}}' ;;
    *'"method":"tools/list"'*) result='{"tools":[{"name":"'$2'","inputSchema":{"type":"object"}}]}' ;;
    *'"method":"notifications/'*) continue ;;
    *) printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"Method not found"}}\n' "$id"; continue ;;
    esac
    printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$result"
done
"#;

async fn tools(gateway: &Gateway) -> Vec<String> {
    let listed = answer(gateway, call("tools/list", json!({}))).await;
    let Some(tools) = listed.response["result"]["tools"].as_array() else {
        return Vec::new();
    };
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap_or_default().to_owned())
        .collect()
}

async fn listen(gateway: &Gateway) -> MessageStream {
    let filter = json!({"notifications": {"toolsListChanged": true}});
    match gateway
        .clone()
        .call(call_with_id(&json!("s"), "subscriptions/listen", filter))
        .await
        .unwrap()
    {
        Reply::Stream(stream) => stream,
        Reply::Once(response) => panic!("no stream: {response:?}"),
    }
}

#[tokio::test]
async fn servers_that_start_slowly_join_the_list_and_are_started_once() {
    let folder = std::env::temp_dir().join(format!("carryall-slow-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let log = |name: &str| folder.join(name);
    let (mut ways, mut upstreams) = (Vec::new(), Vec::new());
    for (name, takes) in [("one", "1"), ("two", "2"), ("three", "2")] {
        let shell = ServerCommand::new("/bin/sh").args(["-c", SERVER, "fake", takes, name]);
        let command = shell
            .arg(log(name).into_os_string())
            .grace(Duration::from_millis(500));
        let way = DualEraStdio::new(
            command,
            DualEraOptions::default().probe_timeout(Duration::from_millis(100)),
        );
        let upstream = Upstream::new(name).unwrap().probe(None).shared_channel();
        upstreams.push(upstream.with_replica(name, SharedService::new_boxed(way.clone())));
        ways.push(way);
    }
    let builder = Gateway::builder(Implementation::new("edge", "1"))
        .fan_out_timeout(Duration::from_millis(200));
    let gateway = upstreams
        .into_iter()
        .fold(builder, |builder, upstream| builder.upstream(upstream))
        .build()
        .unwrap();
    let watching = gateway.clone();
    let watching = tokio::spawn(async move { watching.watch().await });

    assert!(tools(&gateway).await.is_empty(), "none is ready");
    let mut changes = listen(&gateway).await;
    let all = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let Message::Notification(told) = next(&mut changes).await
                && told.method == "notifications/tools/list_changed"
            {
                let tools = tools(&gateway).await;
                if tools.len() == 3 {
                    return tools;
                }
            }
        }
    });
    assert_eq!(
        all.await.expect("all have joined"),
        ["one__one", "two__two", "three__three"]
    );
    watching.abort();
    for way in &ways {
        way.shutdown().await;
    }
    for name in ["one", "two", "three"] {
        assert_eq!(
            std::fs::read_to_string(log(name)).unwrap(),
            "started\n",
            "{name} is started once"
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
