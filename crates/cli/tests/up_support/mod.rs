//! Processes and plain HTTP for the tests of `carryall up`.
#![allow(dead_code, reason = "each test binary uses its own part")]

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Time limit of one step.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// A running `carryall` process, killed on drop.
pub(crate) struct Carryall {
    pub(crate) child: Child,
    /// Standard output until `start` returned.
    pub(crate) printed: String,
    /// Standard error so far.
    pub(crate) log: Arc<Mutex<String>>,
    _stdin: Option<ChildStdin>,
}

impl Carryall {
    /// Starts the binary and waits until it prints a line with `until`.
    pub(crate) fn start(args: &[&str], until: &str) -> Self {
        Self::start_command(command(args), until)
    }

    /// Like [`start`](Self::start), with a command.
    pub(crate) fn start_command(mut command: Command, until: &str) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (errors, kept) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let stdin = child.stdin.take();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut started = Self {
            child,
            printed: String::new(),
            log,
            _stdin: stdin,
        };
        while !started.printed.contains(until) {
            let read = out.read_line(&mut started.printed).unwrap();
            assert!(
                read > 0,
                "exited: {} {}",
                started.printed,
                started.log.lock().unwrap()
            );
        }
        started
    }

    /// Starts a demo server.
    pub(crate) fn demo(name: &str) -> Self {
        Self::start(
            &[
                "demo",
                "--listen",
                "127.0.0.1:0",
                "--announce",
                "json",
                "--replica",
                name,
            ],
            "listening",
        )
    }

    pub(crate) fn url(&self) -> String {
        let start = self.printed.find("http://").expect("a URL");
        let end = self.printed[start..].find("/mcp").expect("an endpoint") + "/mcp".len();
        self.printed[start..start + end].to_owned()
    }

    pub(crate) fn signal(&self, signal: &str) {
        send_signal(self.child.id(), signal);
    }

    /// Waits until the process exits.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        eventually("the process exits", || self.child.try_wait().unwrap())
    }

    pub(crate) fn children(&self) -> Vec<u32> {
        children_of(self.child.id())
    }
}

impl Drop for Carryall {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carryall"));
    command.args(args).env_remove("RUST_LOG");
    command
}

pub(crate) fn send_signal(pid: u32, signal: &str) {
    assert!(
        Command::new("kill")
            .args([&format!("-{signal}"), &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

/// Returns the running children of a process.
fn children_of(parent: u32) -> Vec<u32> {
    processes()
        .into_iter()
        .filter(|(_, of, zombie)| *of == parent && !zombie)
        .map(|(pid, ..)| pid)
        .collect()
}

/// Whether the process exists, possibly as a zombie.
pub(crate) fn exists(pid: u32) -> bool {
    processes().iter().any(|(other, ..)| *other == pid)
}

/// Returns ID and parent of all processes, and whether each is a zombie.
fn processes() -> Vec<(u32, u32, bool)> {
    let listed = Command::new("ps")
        .args(["-A", "-o", "pid=,ppid=,stat="])
        .output()
        .unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let line = |line: &str| {
        let mut fields = line.split_whitespace();
        Some((
            fields.next()?.parse().ok()?,
            fields.next()?.parse().ok()?,
            fields.next()?.starts_with('Z'),
        ))
    };
    listed.lines().filter_map(line).collect()
}

/// Polls `probe` until it returns something.
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < TIMEOUT, "timeout: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sends a request. Returns the connection at the start of the response.
pub(crate) fn send(url: &str, headers: &[(String, String)], body: &str) -> BufReader<TcpStream> {
    let rest = url.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut head = format!(
        "POST /{path} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    BufReader::new(stream)
}

/// Sends a request to a server that may close the connection, and returns the response.
pub(crate) fn try_send(url: &str, headers: &[(String, String)], body: &str) -> Option<String> {
    let (url, headers, body) = (url.to_owned(), headers.to_vec(), body.to_owned());
    std::thread::spawn(move || {
        let mut answer = String::new();
        send(&url, &headers, &body)
            .read_to_string(&mut answer)
            .ok()
            .map(|_| answer)
    })
    .join()
    .ok()
    .flatten()
}

/// Starts a server that answers every request with the same result. Returns its URL and the heads
/// of all requests.
pub(crate) fn recording_server() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&heads);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || answer_all(stream, &kept));
        }
    });
    (url, heads)
}

fn answer_all(stream: TcpStream, heads: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            (reader.read_line(&mut head).ok()? > 0).then_some(())?;
        }
        let length = head
            .split("content-length: ")
            .nth(1)?
            .split("\r\n")
            .next()?
            .parse()
            .ok()?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let asked: Value = serde_json::from_slice(&body).ok()?;
        heads.lock().unwrap().push(head);
        // Also a valid answer to the era probe.
        let result = json!({"resultType": "complete", "recorded": true, "supportedVersions": ["2026-07-28"], "capabilities": {}});
        let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        reader
            .get_mut()
            .write_all((head + &answer).as_bytes())
            .ok()?;
    }
}

/// Starts a server that answers every request with the same bytes.
pub(crate) fn always(response: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut head).ok()? == 0 {
                        return None;
                    }
                }
                let length =
                    head.to_lowercase()
                        .split("content-length: ")
                        .nth(1)
                        .map_or(0, |rest| {
                            rest.split("\r\n")
                                .next()
                                .and_then(|length| length.parse().ok())
                                .unwrap_or(0)
                        });
                reader.read_exact(&mut vec![0; length]).ok()?;
                reader.get_mut().write_all(response.as_bytes()).ok()
            });
        }
    });
    url
}

/// Sends a request without body and returns the whole response.
pub(crate) fn plain(method: &str, url: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let authority = rest.split_once('/').unwrap().0;
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    let host = [("Host", authority)];
    let own_host = headers.iter().any(|(name, _)| *name == "Host");
    for (name, value) in host.iter().filter(|_| !own_host).chain(headers) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all((head + "\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Sends a request and returns status and JSON body of the response.
pub(crate) fn exchange(url: &str, headers: &[(String, String)], body: &str) -> (u16, Value) {
    let mut answer = String::new();
    send(url, headers, body)
        .read_to_string(&mut answer)
        .unwrap();
    let status = answer
        .split_whitespace()
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    (
        status,
        serde_json::from_str(body).unwrap_or_else(|_| panic!("not JSON: {answer}")),
    )
}

/// Returns headers and body of a request.
pub(crate) fn request(method: &str, mut params: Value) -> (Vec<(String, String)>, String) {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let name = params
        .get("name")
        .or(params.get("uri"))
        .and_then(Value::as_str)
        .map(str::to_owned);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let mut headers = vec![
        ("Content-Type".to_owned(), "application/json".to_owned()),
        (
            "Accept".to_owned(),
            "application/json, text/event-stream".to_owned(),
        ),
        ("MCP-Protocol-Version".to_owned(), "2026-07-28".to_owned()),
        ("Mcp-Method".to_owned(), method.to_owned()),
    ];
    headers.extend(name.map(|name| ("Mcp-Name".to_owned(), name)));
    (headers, body)
}

/// Sends a request and returns its response.
pub(crate) fn ask(url: &str, method: &str, params: Value) -> Value {
    let (headers, body) = request(method, params);
    exchange(url, &headers, &body).1
}

/// Calls `whoami` and returns its text.
pub(crate) fn whoami(url: &str, tool: &str) -> String {
    let answer = ask(url, "tools/call", json!({"name": tool}));
    answer["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

/// Returns the first event of a stream that contains `text`.
pub(crate) fn event_with(stream: &mut BufReader<TcpStream>, text: &str) -> Value {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(
            stream.read_line(&mut line).unwrap() > 0,
            "the stream ended without {text}"
        );
        if let Some(data) = line
            .strip_prefix("data: ")
            .filter(|data| data.contains(text))
        {
            return serde_json::from_str(data).unwrap();
        }
    }
}
