//! Checks that the server and the client of the README are short, compile and work together.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The most lines that the README's programs may have.
const MOST_LINES: usize = 15;
/// How long the server may take to start on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the Rust blocks of the README, in their order.
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

/// Returns an example from its first `use` on, without the documentation and lints above it.
fn shown(example: &str) -> String {
    let text = read(&format!("examples/{example}.rs"));
    let start = text.find("\nuse ").expect("an example uses something");
    text[start + 1..].to_owned()
}

#[test]
fn the_readme_shows_the_compiled_examples() {
    assert_eq!(blocks(), [shown("minimal_server"), shown("minimal_client")]);
}

#[test]
fn the_programs_of_the_readme_have_at_most_15_lines() {
    for block in blocks() {
        assert!(
            block.lines().count() <= MOST_LINES,
            "{} lines:\n{block}",
            block.lines().count()
        );
    }
}

#[test]
fn the_programs_of_the_readme_work_together() {
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

/// A process that is killed at the end of the test.
struct ServerProcess(Child);

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the server on a free port. If another process takes the port in between, tries another
/// one.
fn start_server() -> (ServerProcess, SocketAddr) {
    let deadline = Instant::now() + TIMEOUT;
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
        let mut server = ServerProcess(child.expect("the server starts"));
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
        let mut stderr = String::new();
        let _ = server
            .0
            .stderr
            .take()
            .expect("it is piped")
            .read_to_string(&mut stderr);
        assert!(stderr.contains("AddrInUse"), "the server stopped: {stderr}");
    }
}

/// Returns the executable of an example. Builds it if this test runs alone: `cargo test --test` does
/// not build examples.
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
