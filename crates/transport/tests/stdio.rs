//! stdio with real processes: the fixture (`examples/stdio_fixture.rs`) and misbehaving shells.

mod common;

use carryall_proto::{Call, CallError, Outcome, Reply};
use carryall_transport::{ServerCommand, StdioClient};
use common::{call, eventually, tool_call, within};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower_service::Service as _;

/// Returns the path of the fixture, which cargo builds along with the tests.
fn fixture() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/stdio_fixture");
    assert!(
        path.exists(),
        "{} is not built; run the tests of the whole package",
        path.display()
    );
    path
}

async fn ask(client: &StdioClient, call: Call) -> Result<String, CallError> {
    let Reply::Once(response) = within(client.clone().call(call)).await? else {
        panic!("a stream")
    };
    let Outcome::Result(result) = response.outcome else {
        panic!("{response:?}")
    };
    Ok(result.decode::<serde_json::Value>().unwrap()["text"]
        .as_str()
        .unwrap()
        .to_owned())
}

fn is_alive(pid: &str) -> bool {
    // A zombie counts as alive, because it was not reaped.
    PathBuf::from(format!("/proc/{}", pid.trim())).exists()
}

fn is_running(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z ")
}

/// Returns the file that a shell writes process ids to.
fn pid_file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("carryall-{name}-{}.pid", std::process::id()))
}

async fn read_pids(path: &PathBuf, count: usize) -> Vec<String> {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    eventually("the process ids are written", || {
        read().lines().count() == count
    })
    .await;
    let pids = read().lines().map(str::to_owned).collect();
    std::fs::remove_file(path).unwrap();
    pids
}

// spec: stdio-05
#[tokio::test]
async fn stray_prints_cannot_corrupt_the_channel() {
    let mut child = tokio::process::Command::new(fixture())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for (id, tool) in [("1", "print"), ("2", "child"), ("3", "read"), ("4", "last")] {
        stdin
            .write_all(format!("{}\n", tool_call(id, tool)).as_bytes())
            .await
            .unwrap();
    }
    drop(stdin);
    let output = within(child.wait_with_output()).await.unwrap();
    assert!(output.status.success());
    let stdout = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<serde_json::Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let texts: Vec<_> = answers
        .iter()
        .map(|answer| answer["result"]["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["printed", "true", "0 bytes", "last"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    for stray in [
        "half a line before and after",
        "stray output",
        "and half a line",
        "from a child",
    ] {
        assert!(stderr.contains(stray), "{stderr}");
    }
}

// spec: stdio-14
#[tokio::test]
async fn a_server_exits_at_the_end_of_its_input() {
    let mut child = tokio::process::Command::new(fixture())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(format!("{}\n", tool_call("1", "hang")).as_bytes())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(child.try_wait().unwrap().is_none());
    drop(stdin);
    let mut rest = Vec::new();
    within(child.stdout.take().unwrap().read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(within(child.wait()).await.unwrap().success());
    assert!(rest.is_empty());
}

#[tokio::test]
async fn files_and_sockets_serve_as_standard_streams_too() {
    let path = std::env::temp_dir().join(format!("carryall-input-{}.jsonl", std::process::id()));
    std::fs::write(
        &path,
        format!("{}\n{}", tool_call("1", "a"), tool_call("2", "b")),
    )
    .unwrap();
    let output = tokio::process::Command::new(fixture())
        .stdin(std::fs::File::open(&path).unwrap())
        .output();
    let output = within(output).await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    std::fs::remove_file(path).unwrap();
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let mut near = tokio::net::UnixStream::from_std(near).unwrap();
    let mut child = tokio::process::Command::new(fixture())
        .stdin(std::os::fd::OwnedFd::from(far.try_clone().unwrap()))
        .stdout(std::os::fd::OwnedFd::from(far))
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    near.write_all(format!("{}\n", tool_call("1", "large")).as_bytes())
        .await
        .unwrap();
    let mut answer = vec![0; 1024];
    let count = within(near.read(&mut answer)).await.unwrap();
    assert!(
        std::str::from_utf8(&answer[..count])
            .unwrap()
            .contains("\"large\"")
    );
    near.shutdown().await.unwrap();
    assert!(within(child.wait()).await.unwrap().success());
}

// spec: stdio-04, transport-general-02
#[tokio::test]
async fn a_spawned_server_answers_and_its_stderr_is_forwarded() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let command = ServerCommand::new(fixture())
        .on_stderr(move |line| kept.lock().unwrap().push(line.to_owned()));
    let client = StdioClient::spawn(command).await.unwrap();
    let calls = (0..50).map(|n| {
        let client = client.clone();
        async move { ask(&client, call("1", &format!("t{n}"))).await.unwrap() == format!("t{n}") }
    });
    assert!(
        futures_util::future::join_all(calls)
            .await
            .into_iter()
            .all(|right| right)
    );
    assert!(within(client.shutdown()).await.unwrap().success());
    eventually("stderr is forwarded", || {
        lines
            .lock()
            .unwrap()
            .iter()
            .any(|line| line == "fixture ready")
    })
    .await;
    assert!(ask(&client, call("1", "a")).await.unwrap_err().is_unsent());
}

#[tokio::test]
async fn a_server_inherits_no_secrets() {
    // Cargo sets this variable for each test. It stands for any variable that is not inherited.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let client = StdioClient::spawn(ServerCommand::new(fixture()).env("GIVEN", "x"))
        .await
        .unwrap();
    let names = ask(&client, call("1", "env")).await.unwrap();
    let names: Vec<_> = names.split(' ').collect();
    assert!(
        names.contains(&"PATH") && names.contains(&"GIVEN"),
        "{names:?}"
    );
    assert!(!names.contains(&"CARGO_MANIFEST_DIR"), "{names:?}");
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let error = StdioClient::spawn(ServerCommand::new("/does/not/exist"))
        .await
        .unwrap_err();
    assert!(
        error.is_unsent() && error.to_string().contains("/does/not/exist"),
        "{error}"
    );
}

// spec: stdio-16
#[tokio::test]
async fn a_server_that_exits_is_restarted_and_its_calls_are_not_repeated() {
    let client = StdioClient::spawn(ServerCommand::new(fixture()))
        .await
        .unwrap();
    let first = ask(&client, call("1", "pid")).await.unwrap();
    let hanging = tokio::spawn({
        let client = client.clone();
        async move { ask(&client, call("2", "hang")).await }
    });
    tokio::task::yield_now().await;
    let error = ask(&client, call("3", "exit")).await.unwrap_err();
    assert!(matches!(error, CallError::Broken(_)), "{error:?}");
    assert!(matches!(
        within(hanging).await.unwrap().unwrap_err(),
        CallError::Broken(_)
    ));
    let second = ask(&client, call("4", "pid")).await.unwrap();
    assert_ne!(first, second);
    eventually("the first is reaped", || !is_alive(&first)).await;
    within(client.shutdown()).await;
    assert!(!is_alive(&second), "reaped by shutdown");
}

#[tokio::test]
async fn restarts_of_a_server_that_cannot_run_back_off() {
    let path = pid_file("loop");
    let command = ServerCommand::new("sh")
        .args(["-c", "echo $$ >> \"$PIDS\"; exit 1"])
        .env("PIDS", &path);
    let client = StdioClient::spawn(command).await.unwrap();
    let began = Instant::now();
    let mut failures = 0;
    while began.elapsed() < Duration::from_millis(1500) {
        let left = Duration::from_millis(1500).saturating_sub(began.elapsed());
        if let Ok(reply) = tokio::time::timeout(left, client.clone().call(call("1", "a"))).await {
            assert!(reply.is_err());
            failures += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let starts = std::fs::read_to_string(&path).unwrap().lines().count();
    std::fs::remove_file(&path).unwrap();
    assert!(
        failures >= 2 && (2..=9).contains(&starts),
        "{failures} failures, {starts} starts"
    );
}

// spec: stdio-13
#[tokio::test]
async fn shutdown_closes_input_then_sends_sigterm_then_sigkill_to_the_group() {
    let path = pid_file("stubborn");
    // Ignores the end of its input and SIGTERM, and so does its child.
    let script = "trap '' TERM; sh -c \"trap '' TERM; while :; do sleep 0.1; done\" & echo $$ >> \"$PIDS\"; echo $! >> \"$PIDS\"; \
        while :; do sleep 0.1; done";
    let command = ServerCommand::new("sh")
        .args(["-c", script])
        .env("PIDS", &path)
        .grace(Duration::from_millis(150));
    let client = StdioClient::spawn(command).await.unwrap();
    let pids = read_pids(&path, 2).await;
    assert!(pids.iter().all(|pid| is_running(pid)));
    let began = Instant::now();
    let status = within(client.shutdown()).await.unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(300),
        "both grace times have passed"
    );
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9)
    );
    assert!(!is_alive(&pids[0]), "no zombie is left");
    eventually("the grandchild dies", || !is_running(&pids[1])).await;
}

// spec: stdio-13
#[tokio::test]
async fn a_server_that_exits_on_sigterm_is_not_killed() {
    let path = pid_file("polite");
    let script = "trap 'exit 7' TERM; echo $$ >> \"$PIDS\"; while :; do sleep 0.05; done";
    let command = ServerCommand::new("sh")
        .args(["-c", script])
        .env("PIDS", &path)
        .grace(Duration::from_millis(400));
    let client = StdioClient::spawn(command).await.unwrap();
    read_pids(&path, 1).await;
    assert_eq!(within(client.shutdown()).await.unwrap().code(), Some(7));
}

#[tokio::test]
async fn dropping_the_last_client_ends_the_server_and_its_children() {
    let path = pid_file("dropped");
    let script = "sleep 1000 & echo $$ >> \"$PIDS\"; echo $! >> \"$PIDS\"; cat > /dev/null";
    let command = ServerCommand::new("sh")
        .args(["-c", script])
        .env("PIDS", &path);
    let client = StdioClient::spawn(command).await.unwrap();
    let pids = read_pids(&path, 2).await;
    let other = client.clone();
    drop(client);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(is_running(&pids[0]));
    drop(other);
    eventually("the server is reaped", || !is_alive(&pids[0])).await;
    eventually("its child is gone", || !is_running(&pids[1])).await;
}

#[tokio::test]
async fn the_server_ends_with_the_runtime() {
    let path = pid_file("runtime");
    let pids = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let script = "trap '' TERM; sleep 1000 & echo $$ >> \"$PIDS\"; echo $! >> \"$PIDS\"; while :; do sleep 0.1; done";
                let client = StdioClient::spawn(ServerCommand::new("sh").args(["-c", script]).env("PIDS", &path)).await;
                let pids = read_pids(&path, 2).await;
                std::mem::drop(client);
                pids
            })
        })
        .await
        .unwrap()
    };
    for pid in &pids {
        eventually("the process is gone", || !is_running(pid)).await;
    }
}

#[tokio::test]
async fn a_server_that_closes_its_output_is_restarted() {
    let path = pid_file("closing");
    let script = "echo $$ >> \"$PIDS\"; exec 1>&-; while :; do sleep 0.1; done";
    let command = ServerCommand::new("sh")
        .args(["-c", script])
        .env("PIDS", &path)
        .grace(Duration::from_millis(100));
    let client = StdioClient::spawn(command).await.unwrap();
    assert!(within(client.clone().call(call("1", "a"))).await.is_err());
    let pids = read_pids(&path, 1).await;
    eventually("the first is reaped", || !is_alive(&pids[0])).await;
    drop(client);
    let _ = std::fs::remove_file(&path);
}
