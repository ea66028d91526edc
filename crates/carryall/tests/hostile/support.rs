//! The server in a process of its own, ordinary calls, and a client that sends exactly the bytes it
//! is given.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

/// How long an ordinary call may take while somebody is hostile: what "promptly" is on a machine
/// that runs other tests.
pub const PROMPT: Duration = Duration::from_secs(30);

/// A child that ends with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The fixture over HTTP.
pub struct Server {
    process: Running,
    pub address: SocketAddr,
}

impl Server {
    pub fn start() -> Self {
        let mut command = Command::new(fixture());
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the fixture starts");
        let mut process = Running(child);
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let address = line
            .trim()
            .parse()
            .unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { process, address }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.address, PROMPT).expect("the server accepts");
        stream
            .set_read_timeout(Some(PROMPT))
            .expect("a timeout can be set");
        stream
            .set_write_timeout(Some(PROMPT))
            .expect("a timeout can be set");
        stream
    }

    /// An ordinary call on a connection of its own gets its answer, and soon.
    pub fn answers(&self) {
        let start = Instant::now();
        assert_eq!(self.call("echo", json!({"text": "hello"})), "hello");
        assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    }

    /// The text that a tool answers with.
    pub fn call(&self, tool: &str, arguments: Value) -> String {
        let mut stream = self.connect();
        stream
            .write_all(post(tool, &arguments).as_bytes())
            .expect("the request goes out");
        let (status, body) = answer(&mut stream).expect("an answer");
        assert_eq!(status, 200, "{body}");
        text_of(&body)
    }

    /// Sends a body with the headers of `tools/call`.
    pub fn send(&self, tool: &str, body: &[u8]) -> (u16, Value) {
        let mut stream = self.connect();
        let _ = stream.write_all(&[head(tool, body.len()).as_bytes(), body].concat());
        answer(&mut stream).expect("an answer")
    }

    /// The memory of the process, in KiB; `None` where the system does not say.
    pub fn memory(&self) -> Option<u64> {
        resident(self.process.0.id())
    }

    /// Runs `attack`, during and after which calls are answered and memory stays within `mib` more.
    pub fn withstands(&self, mib: u64, attack: impl FnOnce()) {
        self.answers();
        let before = self.memory();
        attack();
        self.answers();
        let after = self.memory();
        if let (Some(before), Some(after)) = (before, after) {
            assert!(after < before + mib * 1024, "from {before} to {after} KiB");
        }
    }
}

/// `VmRSS` of a process, in KiB.
pub fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

pub fn meta() -> Value {
    carryall_testkit::meta()
}

/// A `tools/call` as JSON.
pub fn tool_call(id: impl Into<Value>, tool: &str, arguments: &Value) -> String {
    carryall_testkit::request(
        &id.into(),
        "tools/call",
        json!({"name": tool, "arguments": arguments}),
    )
    .to_string()
}

/// The head of a `tools/call` over HTTP/1.1.
pub fn head(tool: &str, length: usize) -> String {
    format!("{}Content-Length: {length}\r\n\r\n", open_head(tool))
}

/// The same, to be continued.
pub fn open_head(tool: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n\
         Mcp-Name: {tool}\r\n"
    )
}

/// A whole request.
pub fn post(tool: &str, arguments: &Value) -> String {
    let body = tool_call(1, tool, arguments);
    head(tool, body.len()) + &body
}

/// Reads one response that has a length. `None` when the connection ends instead.
pub fn answer(stream: &mut TcpStream) -> Option<(u16, Value)> {
    let mut seen = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().expect("a length"));
            if let Some(body) = seen.get(end + 4..end + 4 + length) {
                let body = serde_json::from_slice(body).unwrap_or(Value::Null);
                return Some((head[9..12].parse().expect("a status"), body));
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(count) => seen.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&seen)),
        }
    }
}

pub fn text_of(response: &Value) -> String {
    response["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("no text: {response}"))
        .to_owned()
}

/// Closes a connection without a word, and without leaving its port behind.
pub fn reset(stream: TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
    drop(stream);
}

/// Lets this process open as many files as it may; returns how many that is.
pub fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The fixture's executable. `cargo test` builds examples, but not when it is asked for these tests
/// alone.
pub fn fixture() -> PathBuf {
    static BUILD: Once = Once::new();
    let own = std::env::current_exe().expect("a test has a path");
    let profile = own.ancestors().nth(2).expect("tests are built in `deps`");
    let path = profile
        .join("examples")
        .join(format!("hostile_fixture{}", std::env::consts::EXE_SUFFIX));
    BUILD.call_once(|| {
        if !path.exists() {
            let mut build = Command::new(env!("CARGO"));
            build.args([
                "build",
                "--quiet",
                "--package",
                "carryall",
                "--example",
                "hostile_fixture",
                "--target-dir",
            ]);
            let target = profile.parent().expect("a target folder");
            assert!(
                build
                    .arg(target)
                    .status()
                    .is_ok_and(|status| status.success())
            );
        }
    });
    path
}
