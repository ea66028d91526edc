//! Runs the binary, the demo server, and servers with prepared answers.

// Each test binary uses a part of this.
#![allow(dead_code, missing_docs, unreachable_pub)]

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Time limit of a command.
pub const TIMEOUT: Duration = Duration::from_secs(30);

pub const BINARY: &str = env!("CARGO_BIN_EXE_carryall");

/// The exit code and the output of a command.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Parses standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Parses standard output as JSON, of a command that succeeded.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        self.json()
    }

    /// Asserts the exit code, and parts of standard error.
    #[track_caller]
    pub fn fails(&self, code: i32, because: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for part in because {
            assert!(self.stderr.contains(part), "{part:?} is not in {self:?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:?}");
    }
}

/// A command, run by a user without configuration files.
pub struct Run {
    command: Command,
    input: Option<String>,
}

pub fn carryall(args: &[&str]) -> Run {
    let mut command = Command::new(BINARY);
    let home = std::env::temp_dir();
    command
        .args(args)
        .env("HOME", home.join("carryall-no-home"))
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_STATE_HOME")
        .env_remove("NO_COLOR");
    // Tests do not share a cache of eras.
    command.env("XDG_CACHE_HOME", "/dev/null");
    command.current_dir(home);
    Run {
        command,
        input: None,
    }
}

/// Runs a command.
pub fn run(args: &[&str]) -> Finished {
    carryall(args).run()
}

impl Run {
    pub fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn input(mut self, text: &str) -> Self {
        self.input = Some(text.to_owned());
        self
    }

    /// Runs the command to its end.
    pub fn run(mut self) -> Finished {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = self.input.take().unwrap_or_default();
        // Fails if the command does not read its input.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let (out, err) = (
            drain(child.stdout.take().unwrap()),
            drain(child.stderr.take().unwrap()),
        );
        let code = wait(&mut child, TIMEOUT).unwrap_or_else(|| {
            let _ = child.kill();
            let _ = child.wait();
            panic!("timeout: {:?}", self.command);
        });
        Finished {
            code,
            stdout: out.join().unwrap(),
            stderr: err.join().unwrap(),
        }
    }

    /// Starts the command without waiting for its end.
    pub fn start(mut self) -> Running {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let lines = Lines::of(child.stdout.take().unwrap());
        let err = Lines::of(child.stderr.take().unwrap());
        Running { child, lines, err }
    }
}

fn drain(mut from: impl std::io::Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, timeout: Duration) -> Option<i32> {
    let since = Instant::now();
    while since.elapsed() < timeout {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code().unwrap_or(-1));
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

/// A process that is killed on drop.
pub struct Running {
    pub child: Child,
    pub lines: Lines,
    pub err: Lines,
}

impl Running {
    pub fn wait(&mut self) -> Option<i32> {
        wait(&mut self.child, TIMEOUT)
    }

    /// Sends a signal by name, such as `INT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &id])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines of an output stream.
pub struct Lines(std::sync::mpsc::Receiver<String>);

impl Lines {
    fn of(from: impl std::io::Read + Send + 'static) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self(receiver)
    }

    /// Returns the next line; `None` at the end.
    pub fn next(&self) -> Option<String> {
        self.0.recv_timeout(TIMEOUT).ok()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        let line = self.next().expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

/// A demo server, stopped on drop.
pub struct Demo {
    pub running: Running,
    pub url: String,
    _board: Option<Dir>,
}

/// Starts a demo server with a board of its own.
pub fn demo(args: &[&str]) -> Demo {
    let dir = Dir::new();
    let board = dir.0.join("board.json");
    let mut demo = demo_with_shared_board(&[&["--board", board.to_str().unwrap()], args].concat());
    demo._board = Some(dir);
    demo
}

/// Starts a demo server that shares its board with all others that this process starts in this way.
pub fn demo_with_shared_board(args: &[&str]) -> Demo {
    let args = [
        &["demo", "--listen", "127.0.0.1:0", "--announce", "json"],
        args,
    ]
    .concat();
    let running = carryall(&args).start();
    let url = running.lines.json()["listening"]
        .as_str()
        .unwrap()
        .to_owned();
    Demo {
        running,
        url,
        _board: None,
    }
}

/// A temporary directory, removed on drop.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "carryall-cli-test-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An answer of a canned server.
pub enum Say {
    /// A result; `resultType` is added.
    Result(Value),
    /// A JSON-RPC error.
    Error(i64, &'static str),
    /// Any status, type and body.
    Raw(u16, &'static str, String),
    /// No answer.
    Nothing,
}

/// An HTTP server with prepared answers. It records the head and the body of each request.
pub struct Canned {
    pub url: String,
    pub requests: Arc<Mutex<Vec<(String, Value)>>>,
}

/// Starts a server. `answer` receives method and parameters.
pub fn canned(answer: impl Fn(&str, &Value) -> Say + Send + Sync + 'static) -> Canned {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (answer, recorded) = (Arc::new(answer), requests.clone());
    // Ends with the process of the test.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (answer, recorded) = (answer.clone(), recorded.clone());
            thread::spawn(move || {
                let _ = serve(stream, &*answer, &recorded);
            });
        }
    });
    Canned { url, requests }
}

fn serve(
    stream: TcpStream,
    answer: &dyn Fn(&str, &Value) -> Say,
    recorded: &Mutex<Vec<(String, Value)>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let request: Value = serde_json::from_slice(&body).unwrap_or_default();
        // The era probe is answered here and not recorded.
        let is_era_probe = request["id"] == "era";
        if !is_era_probe {
            recorded.lock().unwrap().push((head, request.clone()));
        }
        let method = request["method"].as_str().unwrap_or_default();
        let said = match is_era_probe {
            true => Say::Result(
                serde_json::json!({"supportedVersions": ["2026-07-28"], "capabilities": {}}),
            ),
            false => answer(method, &request["params"]),
        };
        let (status, kind, body) = match said {
            Say::Result(mut result) => {
                if result.get("resultType").is_none() {
                    result["resultType"] = "complete".into();
                }
                let response =
                    serde_json::json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
                (200, "application/json", response.to_string())
            }
            Say::Error(code, message) => {
                let error = serde_json::json!({"code": code, "message": message});
                let response =
                    serde_json::json!({"jsonrpc": "2.0", "id": request["id"], "error": error});
                (
                    if code == -32601 { 404 } else { 200 },
                    "application/json",
                    response.to_string(),
                )
            }
            Say::Raw(status, kind, body) => (status, kind, body),
            Say::Nothing => {
                thread::sleep(TIMEOUT);
                return Ok(());
            }
        };
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        stream.flush()?;
    }
}
