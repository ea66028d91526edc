//! Replicas of the demo server as child processes of this one.
//!
//! The standard input of a child is a pipe from this process, and the child exits when it is
//! closed. So it also exits when this process is killed.

use crate::error::CliError;
use crate::replica::KEYRING;
use carryall::gateway::{ReplicaHandle, Upstream};
use carryall::proto::SharedService;
use carryall::proto::backoff::Backoff;
use carryall::transport::http::HttpClient;
use data_encoding::HEXLOWER;
use futures_util::future::join_all;
use std::io;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Time for a replica to announce its address.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// Time to exit after standard input is closed, and again after SIGTERM.
const EXIT_TIMEOUT: Duration = Duration::from_secs(3);
/// Delay before a restart.
const RESTART_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// Time that a request waits if all replicas are being restarted.
const RESTART_TIMEOUT: Duration = Duration::from_secs(3);
/// A replica that has run this long counts as healthy, which resets the backoff.
const HEALTHY_AFTER: Duration = Duration::from_secs(5);
/// The announcement is not read beyond this size, in bytes.
const MAX_ANNOUNCEMENT: u64 = 4096;

/// The replicas, each with a task that supervises its process.
#[derive(Default)]
pub(super) struct DemoReplicas {
    supervisors: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl DemoReplicas {
    pub(super) fn count(&self) -> usize {
        self.supervisors.len()
    }

    /// Starts replicas and waits until each of them listens. Replicas that exit later are
    /// restarted.
    ///
    /// # Errors
    /// A replica that does not start. The others have to be stopped.
    pub(super) async fn start(&mut self, count: u16) -> Result<Upstream, CliError> {
        let internal = |error: &dyn std::fmt::Display| CliError::local(error.to_string());
        let upstream = Upstream::new("demo")
            .map_err(|error| internal(&error))?
            .restart_timeout(RESTART_TIMEOUT);
        let keyring = new_keyring().map_err(|error| internal(&error))?;
        let mut starting = Vec::new();
        for number in 1..=count {
            let (started, start) = oneshot::channel();
            let label = format!("demo-{number}");
            let supervisor = ReplicaSupervisor {
                handle: upstream.replica(&label),
                label,
                keyring: keyring.clone(),
                stop: self.stop.subscribe(),
            };
            self.supervisors.push(tokio::spawn(supervisor.run(started)));
            starting.push(start);
        }
        for started in join_all(starting).await {
            started
                .map_err(|error| internal(&error))?
                .map_err(|error| {
                    CliError::local(format!(
                        "cannot start a replica of the demo server: {error}"
                    ))
                    .hint("check that `carryall demo` runs by itself")
                })?;
        }
        Ok(upstream)
    }

    /// Stops all replicas and waits until their processes have exited.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        join_all(self.supervisors).await;
    }
}

/// Creates a keyring for the lifetime of this process. All replicas share it, so that each can open
/// what another has sealed.
fn new_keyring() -> io::Result<String> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    Ok(format!("1 {}", HEXLOWER.encode(&secret)))
}

/// Runs one replica, restarting its process if it exits.
struct ReplicaSupervisor {
    label: String,
    /// The keyring of all replicas, as text.
    keyring: String,
    handle: ReplicaHandle,
    stop: watch::Receiver<bool>,
}

/// A process that listens.
struct ReplicaProcess {
    child: Child,
    stdin: ChildStdin,
    /// Kept open, since the child would fail to write to a closed pipe.
    _stdout: BufReader<ChildStdout>,
}

impl ReplicaSupervisor {
    /// Runs until told to stop. Reports the first start to `started`.
    async fn run(self, started: oneshot::Sender<io::Result<()>>) {
        let mut started = Some(started);
        let mut failures = 0;
        loop {
            let launched_at = Instant::now();
            let launched = tokio::select! {
                launched = self.launch() => launched,
                () = stopped(self.stop.clone()) => return,
            };
            match launched {
                Ok(process) => {
                    if let Some(started) = started.take() {
                        let _ = started.send(Ok(()));
                    } else {
                        tracing::info!(
                            "replica {} is running again (process {})",
                            self.label,
                            process.child.id().unwrap_or_default()
                        );
                    }
                    if self.supervise(process).await {
                        return;
                    }
                }
                Err(error) => {
                    if let Some(started) = started.take() {
                        let _ = started.send(Err(error));
                        return;
                    }
                    tracing::warn!("cannot start replica {}: {error}", self.label);
                }
            }
            failures = if launched_at.elapsed() >= HEALTHY_AFTER {
                0
            } else {
                failures + 1
            };
            let pause = RESTART_BACKOFF.delay(failures, launched_at.elapsed().as_nanos() as u64);
            tokio::select! {
                () = sleep(pause) => {}
                () = stopped(self.stop.clone()) => return,
            }
        }
    }

    /// Starts a process and waits until it listens.
    async fn launch(&self) -> io::Result<ReplicaProcess> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args([
                "demo",
                "--listen",
                "127.0.0.1:0",
                "--announce",
                "json",
                "--replica",
                &self.label,
            ])
            .env(KEYRING, &self.keyring)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        // A process group of its own, so that Ctrl-C at the terminal reaches only this process,
        // which stops the children once they are idle.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        let missing = || io::Error::other("the process has no standard streams");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let url = timeout(START_TIMEOUT, announced(&mut stdout))
            .await
            .map_err(|_| io::Error::other("it does not announce its address"))??;
        self.handle.up(SharedService::new(
            HttpClient::new(&url).map_err(io::Error::other)?,
        ));
        Ok(ReplicaProcess {
            child,
            stdin,
            _stdout: stdout,
        })
    }

    /// Waits until the process exits or is told to stop. Returns whether it was told to stop.
    async fn supervise(&self, mut process: ReplicaProcess) -> bool {
        tokio::select! {
            status = process.child.wait() => {
                self.handle.down();
                let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                tracing::warn!("replica {} exited ({how}) and is restarted", self.label);
                false
            }
            () = stopped(self.stop.clone()) => {
                self.handle.down();
                process.stop(&self.label).await;
                true
            }
        }
    }
}

impl ReplicaProcess {
    /// Closes standard input, then sends SIGTERM, then SIGKILL; and reaps the process.
    async fn stop(mut self, label: &str) {
        drop(self.stdin);
        if timeout(EXIT_TIMEOUT, self.child.wait()).await.is_ok() {
            return;
        }
        terminate(&self.child);
        if timeout(EXIT_TIMEOUT, self.child.wait()).await.is_ok() {
            return;
        }
        tracing::warn!("replica {label} does not exit and is killed");
        let _ = self.child.kill().await;
    }
}

#[cfg(unix)]
fn terminate(child: &Child) {
    use rustix::process::{Pid, Signal, kill_process};
    if let Some(pid) = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw)
    {
        // Fails if the process has exited already.
        let _ = kill_process(pid, Signal::TERM);
    }
}

#[cfg(not(unix))]
fn terminate(_: &Child) {}

/// Reads the announcement, `{"listening":"http://127.0.0.1:PORT/mcp"}`.
async fn announced(stdout: &mut BufReader<ChildStdout>) -> io::Result<String> {
    #[derive(serde::Deserialize)]
    struct Announcement {
        listening: String,
    }
    let mut line = Vec::new();
    stdout
        .take(MAX_ANNOUNCEMENT)
        .read_until(b'\n', &mut line)
        .await?;
    if line.is_empty() {
        return Err(io::Error::other("it exits immediately"));
    }
    let announcement: Announcement = serde_json::from_slice(&line).map_err(io::Error::other)?;
    Ok(announcement.listening)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // A closed channel means to stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}
