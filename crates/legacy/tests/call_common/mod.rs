//! Servers of earlier revisions as small shell scripts, and what they were told.

#![allow(dead_code, unreachable_pub)]

use carryall_legacy::call::{Options, Stdio};
use carryall_proto::{Call, CallError, CallSource, ClientId, Principal, Reply};
use carryall_testkit as testkit;
use carryall_transport::stdio::ServerCommand;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tower_service::Service as _;

/// What the shortest of servers does. `$id` is the id of the request as it stands on the line.
const HEAD: &str = r#"
reply() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
fail() { printf '{"jsonrpc":"2.0","id":%s,"error":{"code":%s,"message":"%s"}}\n' "$id" "$1" "$2"; }
say() { printf '%s\n' "$1"; }
hello() { reply '{"protocolVersion":"'"$1"'","capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true},"logging":{},"tasks":{"list":{}}},"serverInfo":{"name":"fake","version":"1"},"instructions":"Be brief."}'; }
modern() { reply '{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"private"}'; }
log=$1
printf 'started\n' >>"$log"
"#;

/// What it answers where the test does not say.
const REST: &str = r#"
*'"method":"initialize"'*) hello 2025-11-25 ;;
*'"method":"notifications/'*) ;;
*'"method":"tools/list"'*) reply '{"tools":[],"vendor":{"z":1,"a":2}}' ;;
*'"method":"tools/call"'*) reply '{"content":[{"type":"text","text":"done"}]}' ;;
*'"method":"logging/setLevel"'*|*'"method":"resources/'*subscribe'"'*) reply '{}' ;;
*'"method":'*) fail -32601 'Method not found' ;;
"#;

/// A server in a process of its own.
pub struct Fake {
    folder: PathBuf,
    script: String,
}

impl Fake {
    /// A server that does something at its start and then handles lines by these `case`s first.
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

    /// One that answers everything as a server of an earlier revision does.
    pub fn plain() -> Self {
        Self::new("", "")
    }

    pub fn command(&self) -> ServerCommand {
        let shell = ServerCommand::new("/bin/sh").args(["-c", &self.script, "fake"]);
        shell
            .arg(self.folder.join("log").into_os_string())
            .grace(Duration::from_millis(500))
    }

    pub async fn spawn(&self, options: Options) -> Result<Stdio, CallError> {
        let spawned =
            tokio::time::timeout(testkit::PATIENCE, Stdio::spawn(self.command(), options));
        spawned.await.expect("a decision in time")
    }

    pub async fn start(&self) -> Stdio {
        self.spawn(quick()).await.expect("a way to the server")
    }

    /// A file that nobody else uses.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The lines that the server has read so far.
    pub fn lines(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// The messages that the server has read so far.
    pub fn messages(&self) -> Vec<Value> {
        self.lines()
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// `started` for each start, then the methods that came, and `ended` where standard input did.
    pub fn methods(&self) -> Vec<String> {
        let method = |line: &String| match serde_json::from_str::<Value>(line) {
            Ok(message) => message["method"].as_str().unwrap_or("answer").to_owned(),
            Err(_) => line.clone(),
        };
        self.lines().iter().map(method).collect()
    }

    /// Waits until the server has read a message of which `is` holds.
    pub async fn told(&self, is: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1000 {
            if let Some(message) = self.messages().into_iter().find(&is) {
                return message;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server was never told: {:?}", self.lines());
    }

    /// Waits until the server has been called so many times with this tool.
    pub async fn told_times(&self, tool: &str, times: usize) {
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

    pub async fn told_method(&self, method: &str) -> Value {
        self.told(|message| message["method"] == method).await
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Options for tests that should not wait long.
pub fn quick() -> Options {
    Options::default()
        .probe_timeout(Duration::from_millis(300))
        .handshake_timeout(Duration::from_secs(5))
}

pub fn tool(name: &str) -> Call {
    testkit::call("tools/call", json!({"name": name}))
}

/// A call with these members in `_meta`.
pub fn tool_with(meta: Value) -> Call {
    testkit::call(
        "tools/call",
        json!({"name": "x", "_meta": testkit::meta_with(&meta)}),
    )
}

/// A call of a legacy client, by its session and the last number of its address.
pub fn from(session: u128, mut call: Call) -> Call {
    let last = u8::try_from(session).expect("a small number");
    call.set_source(CallSource::new(
        Some(ClientId::Legacy(session)),
        Some([10, 0, 0, last].into()),
    ));
    call
}

/// A call of a principal.
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

/// A call of the tool `name` whose caller can be asked anything.
pub fn able(name: &str) -> Call {
    declaring(
        name,
        &json!({"elicitation": {}, "roots": {}, "sampling": {}}),
    )
}

pub async fn call(way: &Stdio, call: Call) -> Result<Reply, CallError> {
    let reply = way.clone().call(call);
    tokio::time::timeout(testkit::PATIENCE, reply)
        .await
        .expect("a reply in time")
}

/// No tool is called before the handshake of its process is over.
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
