//! Legacy servers as small shell scripts that record what they read.

#![allow(dead_code, unreachable_pub)]

use carryall_legacy::call::{DualEraOptions, DualEraStdio};
use carryall_proto::{Call, CallError, CallSource, ClientId, Principal, Reply};
use carryall_testkit as testkit;
use carryall_transport::stdio::ServerCommand;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tower_service::Service as _;

/// What every server has. `$id` is the id of the request as it is written on the line.
const HEAD: &str = r#"
reply() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
fail() { printf '{"jsonrpc":"2.0","id":%s,"error":{"code":%s,"message":"%s"}}\n' "$id" "$1" "$2"; }
say() { printf '%s\n' "$1"; }
hello() { reply '{"protocolVersion":"'"$1"'","capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true},"logging":{},"tasks":{"list":{}}},"serverInfo":{"name":"server","version":"1"},"instructions":"Be brief."}'; }
modern() { reply '{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"private"}'; }
log=$1
printf 'started\n' >>"$log"
"#;

/// The default answers.
const REST: &str = r#"
*'"method":"initialize"'*) hello 2025-11-25 ;;
*'"method":"notifications/'*) ;;
*'"method":"tools/list"'*) reply '{"tools":[],"vendor":{"z":1,"a":2}}' ;;
*'"method":"tools/call"'*) reply '{"content":[{"type":"text","text":"done"}]}' ;;
*'"method":"logging/setLevel"'*|*'"method":"resources/'*subscribe'"'*) reply '{}' ;;
*'"method":'*) fail -32601 'Method not found' ;;
"#;

/// A legacy server, one process per session.
pub struct FakeServer {
    folder: PathBuf,
    script: String,
}

impl FakeServer {
    /// A server that runs `start` and then handles lines by `cases` before the default answers.
    pub fn new(start: &str, cases: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!(
            "carryall-call-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        let read = "while IFS= read -r line; do\nprintf '%s\\n' \"$line\" >>\"$log\"\nid=${line#*'\"id\":'}; id=${id%%[,\\}]*}\n\
                    token=${line#*'\"progressToken\":'}; token=${token%%[,\\}]*}\ncase $line in\n";
        let script =
            format!("{HEAD}{start}\n{read}{cases}\n{REST}\nesac\ndone\nprintf 'ended\\n' >>$log\n");
        Self { folder, script }
    }

    /// A server with the default answers only.
    pub fn plain() -> Self {
        Self::new("", "")
    }

    pub fn command(&self) -> ServerCommand {
        let shell = ServerCommand::new("/bin/sh").args(["-c", &self.script, "server"]);
        shell
            .arg(self.folder.join("log").into_os_string())
            .grace(Duration::from_millis(500))
    }

    pub async fn spawn(&self, options: DualEraOptions) -> Result<DualEraStdio, CallError> {
        let spawned = tokio::time::timeout(
            testkit::TIMEOUT,
            DualEraStdio::spawn(self.command(), options),
        );
        spawned.await.expect("a decision in time")
    }

    pub async fn start(&self) -> DualEraStdio {
        self.spawn(quick())
            .await
            .expect("a connection to the server")
    }

    /// A path within the directory of this server.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The lines that the server has read.
    pub fn lines(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// The messages that the server has read.
    pub fn messages(&self) -> Vec<Value> {
        self.lines()
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// `started` for each start, the methods of the messages, and `ended` for each end of standard
    /// input.
    pub fn methods(&self) -> Vec<String> {
        let method = |line: &String| match serde_json::from_str::<Value>(line) {
            Ok(message) => message["method"].as_str().unwrap_or("answer").to_owned(),
            Err(_) => line.clone(),
        };
        self.lines().iter().map(method).collect()
    }

    /// Waits for a message that matches and returns it.
    pub async fn wait_for(&self, is: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1000 {
            if let Some(message) = self.messages().into_iter().find(&is) {
                return message;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server has not read that: {:?}", self.lines());
    }

    /// Waits until this tool has been called so many times.
    pub async fn wait_for_calls(&self, tool: &str, times: usize) {
        for _ in 0..1000 {
            let calls = self.messages();
            if calls
                .iter()
                .filter(|message| message["params"]["name"] == tool)
                .count()
                >= times
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server was not called: {:?}", self.lines());
    }

    pub async fn wait_for_method(&self, method: &str) -> Value {
        self.wait_for(|message| message["method"] == method).await
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Options with short timeouts.
pub fn quick() -> DualEraOptions {
    DualEraOptions::default()
        .probe_timeout(Duration::from_millis(300))
        .handshake_timeout(Duration::from_secs(5))
}

pub fn tool(name: &str) -> Call {
    testkit::call("tools/call", json!({"name": name}))
}

/// A call with these members of `_meta`.
pub fn tool_with(meta: Value) -> Call {
    testkit::call(
        "tools/call",
        json!({"name": "x", "_meta": testkit::meta_with(&meta)}),
    )
}

/// The call as one of a legacy client with this session and address.
pub fn from(session: u128, mut call: Call) -> Call {
    let last = u8::try_from(session).expect("a small number");
    call.set_source(CallSource::new(
        Some(ClientId::Legacy(session)),
        Some([10, 0, 0, last].into()),
    ));
    call
}

/// The call as one of a principal.
pub fn by(subject: &str, mut call: Call) -> Call {
    let (issuer, subject) = ("https://issuer.test".into(), subject.into());
    call.set_principal(Some(Arc::new(Principal {
        issuer,
        subject,
        client: None,
        scopes: Vec::new(),
    })));
    call
}

pub const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// A call of the tool `name` that declares these capabilities.
pub fn declaring(name: &str, capabilities: &Value) -> Call {
    let meta = testkit::meta_with(&json!({CAPABILITIES: capabilities}));
    testkit::call("tools/call", json!({"name": name, "_meta": meta}))
}

/// A call of the tool `name` whose caller supports every question.
pub fn able(name: &str) -> Call {
    declaring(
        name,
        &json!({"elicitation": {}, "roots": {}, "sampling": {}}),
    )
}

pub async fn call(client: &DualEraStdio, call: Call) -> Result<Reply, CallError> {
    let reply = client.clone().call(call);
    tokio::time::timeout(testkit::TIMEOUT, reply)
        .await
        .expect("a reply in time")
}

/// Asserts that no tool is called before the handshake of its process is complete.
pub fn assert_in_order(methods: &[String]) {
    let mut ready = false;
    for method in methods {
        match method.as_str() {
            "started" => ready = false,
            "notifications/initialized" => ready = true,
            "tools/call" => assert!(ready, "a tool was called before the handshake: {methods:?}"),
            _ => {}
        }
    }
}
