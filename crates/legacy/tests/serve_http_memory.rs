//! How much memory clients leave pinned that are gone. A test binary of its own: it looks at the
//! whole process.
#![cfg(target_os = "linux")]

mod serve_http_common;

use carryall_legacy::serve::Options;
use carryall_proto::{Call, Response, SharedService};
use carryall_transport::http::{Endpoint, HttpServer};
use carryall_types::RawJson;
use serde_json::json;
use serve_http_common::*;
use std::sync::Arc;

const MIB: usize = 1024 * 1024;

/// The resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim()
        .strip_suffix(" kB")
        .unwrap()
        .trim()
        .parse::<usize>()
        .unwrap()
        * 1024
}

/// A service whose every tool returns 1 MiB.
fn huge() -> SharedService {
    let server = SharedService::new(server(&Arc::default()));
    SharedService::from_fn(move |call: Call| {
        if *call.method() != carryall_types::Method::ToolsCall {
            return server.answer(call);
        }
        let result = json!({"resultType": "complete", "content": [{"type": "text", "text": "x".repeat(MIB)}]});
        let response = Response::result(call.id().clone(), RawJson::from(&result));
        Box::pin(std::future::ready(Ok(response.into())))
    })
}

/// What 48 short requests leave behind when their client is gone.
async fn pinned(options: Options) -> usize {
    let http = HttpServer::bind("127.0.0.1:0").await.unwrap();
    let address = http.local_addr().unwrap();
    let legacy = carryall_legacy::serve::LegacyEndpoint::new(huge(), options);
    let endpoint = Endpoint::new(huge()).alternate(Arc::new(legacy));
    let serving = tokio::spawn(http.run_endpoint(endpoint, std::future::pending()));
    let before = resident();
    let client = Client::open(address, "2025-11-25").await;
    let mut tasks = Vec::new();
    for id in 0..48 {
        let body = request(
            id,
            "tools/call",
            json!({"name": "huge", "arguments": {}, "task": {"ttl": 24 * 60 * 60 * 1000}}),
        );
        assert!(body.len() < 250);
        let begun = client.post(&body).await.json();
        tasks.extend(
            begun["result"]["task"]["taskId"]
                .as_str()
                .map(str::to_owned),
        );
    }
    for task in &tasks {
        for _ in 0..1000 {
            let state = client
                .post(&request("get", "tasks/get", json!({"taskId": task})))
                .await
                .json();
            if state["result"]["status"] != "working" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    let pinned = resident().saturating_sub(before);
    serving.abort();
    pinned
}

#[tokio::test]
async fn results_of_tasks_whose_client_is_gone_pin_no_more_than_their_budget() {
    let pinned = pinned(options().max_tasks(4_096, 16 * MIB)).await;
    // Without bounds 48 MiB. A quarter of 16 MiB is one caller's; the rest is what the allocator
    // keeps of what was freed.
    assert!(pinned < 24 * MIB, "{} MiB", pinned / MIB);
}
