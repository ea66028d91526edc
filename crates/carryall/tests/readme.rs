//! The README's server and client: short, the same as the examples, and they work.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// More than this is not minimal.
const MOST_LINES: usize = 15;
/// How long starting may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The Rust blocks of the README, in their order.
fn blocks() -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in read("../../README.md").lines() {
        match (&mut block, line) {
            (None, "```rust") => block = Some(String::new()),
            (Some(_), "```") => blocks.extend(block.take()),
            (Some(text), line) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, _) => {}
        }
    }
    assert!(block.is_none(), "a Rust block of the README is not closed");
    blocks
}

/// An example without what stands above its first `use`: documentation and lints.
fn shown(example: &str) -> String {
    let text = read(&format!("examples/{example}.rs"));
    let start = text.find("\nuse ").expect("an example uses something");
    text[start + 1..].to_owned()
}

#[test]
fn the_readme_shows_a_minimal_server_and_a_minimal_client_that_are_compiled() {
    assert_eq!(blocks(), [shown("minimal_server"), shown("minimal_client")]);
}

#[test]
fn the_server_and_the_client_of_the_readme_have_at_most_15_lines() {
    for block in blocks() {
        assert!(
            block.lines().count() <= MOST_LINES,
            "{} lines:\n{block}",
            block.lines().count()
        );
    }
}

#[test]
fn the_server_and_the_client_of_the_readme_work_together() {
    let (_server, address) = start_server();
    let url = format!("http://{address}/mcp");
    let client = Command::new(example("minimal_client"))
        .arg(&url)
        .output()
        .expect("the client starts");
    let (out, err) = (
        String::from_utf8_lossy(&client.stdout),
        String::from_utf8_lossy(&client.stderr),
    );
    assert!(client.status.success(), "{out}{err}");
    assert_eq!(out, "add: Adds two numbers.\n2 + 3 = 5\n");
}

/// Ends the process with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server on a port that was free. Somebody else may take the port in between; then another one
/// is tried.
fn start_server() -> (Running, SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let free = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let mut command = Command::new(example("minimal_server"));
        let child = command
            .arg(free.to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut server = Running(child.expect("the server starts"));
        while server
            .0
            .try_wait()
            .expect("a child can be waited for")
            .is_none()
        {
            if TcpStream::connect(free).is_ok() {
                return (server, free);
            }
            assert!(
                Instant::now() < deadline,
                "the server does not listen on {free}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut said = String::new();
        let _ = server
            .0
            .stderr
            .take()
            .expect("it is piped")
            .read_to_string(&mut said);
        assert!(said.contains("AddrInUse"), "the server stopped: {said}");
    }
}

/// The executable of an example. `cargo test` builds examples, but not when it is asked for this
/// test alone.
fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    let profile = own.ancestors().nth(2).expect("tests are built in `deps`");
    let path = profile
        .join("examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if !path.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "--package",
            "carryall",
            "--examples",
            "--target-dir",
        ]);
        assert!(
            build
                .arg(profile.parent().expect("a target folder"))
                .status()
                .is_ok_and(|status| status.success())
        );
    }
    path
}
