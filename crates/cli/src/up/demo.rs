//! Replicas of the demo server as child processes of this one.
//!
//! A child holds the other end of a pipe as its standard input and exits when that ends. So it goes
//! when it is told to, and also when this process is killed and can tell nobody anything.

use crate::fail::{Exit, Fail};
use crate::replica::KEYRING;
use carryall::gateway::{ReplicaHandle, Upstream};
use carryall::proto::SharedService;
use carryall::proto::backoff::Backoff;
use carryall::transport::http::HttpClient;
use futures_util::future::join_all;
use std::io;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// How long a replica may take to say where it listens.
const START: Duration = Duration::from_secs(15);
/// How long it may take to exit when told to, and again when told more firmly.
const GRACE: Duration = Duration::from_secs(3);
const RESTART: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// How long a request waits for a replica when all of them have died.
const RESTARTED: Duration = Duration::from_secs(3);
/// A replica that has lived this long was not broken from the start.
const LASTED: Duration = Duration::from_secs(5);
/// The announcement is one short line.
const MAX_ANNOUNCEMENT: u64 = 4096;

/// The tasks that look after one child each.
#[derive(Default)]
pub(super) struct Children(Vec<JoinHandle<()>>);

impl Children {
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Waits until all are gone and reaped.
    pub(super) async fn gone(self) {
        join_all(self.0).await;
    }
}

/// Starts the replicas and waits until each of them listens. From then on they are started again
/// when they die.
pub(super) async fn start(
    count: u16,
    children: &mut Children,
    stop: watch::Receiver<bool>,
) -> Result<Upstream, Fail> {
    let internal = |error: &dyn std::fmt::Display| Fail::new(Exit::Local, error.to_string());
    let upstream = Upstream::new("demo")
        .map_err(|error| internal(&error))?
        .restart_timeout(RESTARTED);
    let keyring = new_keyring().map_err(|error| internal(&error))?;
    let mut first = Vec::new();
    for number in 1..=count {
        let (started, starting) = oneshot::channel();
        let label = format!("demo-{number}");
        let place = Place {
            replica: upstream.replica(&label),
            label,
            keyring: keyring.clone(),
            stop: stop.clone(),
        };
        children.0.push(tokio::spawn(place.look_after(started)));
        first.push(starting);
    }
    for started in join_all(first).await {
        started
            .map_err(|error| internal(&error))?
            .map_err(|error| {
                Fail::new(
                    Exit::Local,
                    format!("cannot start a replica of the demo server: {error}"),
                )
                .hint("see whether `carryall demo` runs by itself")
            })?;
    }
    Ok(upstream)
}

/// Keys for as long as this process lives: whoever is asked by one replica may answer to another.
fn new_keyring() -> io::Result<String> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("1 {hex}"))
}

/// Where one replica belongs, whichever process it is at the moment.
struct Place {
    label: String,
    /// What all replicas seal with, as text.
    keyring: String,
    replica: ReplicaHandle,
    stop: watch::Receiver<bool>,
}

/// A child that listens.
struct Running {
    child: Child,
    stdin: ChildStdin,
    /// Kept open: a child that cannot write any more would fail.
    _stdout: BufReader<ChildStdout>,
}

impl Place {
    async fn look_after(self, started: oneshot::Sender<io::Result<()>>) {
        let mut started = Some(started);
        let mut failures = 0;
        loop {
            let since = Instant::now();
            let launched = tokio::select! {
                launched = self.launch() => launched,
                () = stopped(self.stop.clone()) => return,
            };
            match launched {
                Ok(running) => {
                    if let Some(started) = started.take() {
                        let _ = started.send(Ok(()));
                    } else {
                        tracing::info!(
                            "replica {} is back (process {})",
                            self.label,
                            running.child.id().unwrap_or_default()
                        );
                    }
                    if self.live(running).await {
                        return;
                    }
                }
                Err(error) => {
                    if let Some(started) = started.take() {
                        let _ = started.send(Err(error));
                        return;
                    }
                    tracing::warn!("replica {} cannot be started: {error}", self.label);
                }
            }
            failures = if since.elapsed() >= LASTED {
                0
            } else {
                failures + 1
            };
            let pause = RESTART.delay(failures, since.elapsed().as_nanos() as u64);
            tokio::select! {
                () = sleep(pause) => {}
                () = stopped(self.stop.clone()) => return,
            }
        }
    }

    /// Starts a process and waits until it listens.
    async fn launch(&self) -> io::Result<Running> {
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
        // Ctrl-C at the terminal is for this process; the children are told when they have nothing
        // to do any more.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        let missing = || io::Error::other("the process has no standard streams");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let url = timeout(START, announced(&mut stdout))
            .await
            .map_err(|_| io::Error::other("it does not say where it listens"))??;
        self.replica.up(SharedService::new(
            HttpClient::new(&url).map_err(io::Error::other)?,
        ));
        Ok(Running {
            child,
            stdin,
            _stdout: stdout,
        })
    }

    /// Until the process dies or is to stop, which the result says.
    async fn live(&self, mut running: Running) -> bool {
        tokio::select! {
            status = running.child.wait() => {
                self.replica.down();
                let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                tracing::warn!("replica {} died ({how}); it is started again", self.label);
                false
            }
            () = stopped(self.stop.clone()) => {
                self.replica.down();
                running.end(&self.label).await;
                true
            }
        }
    }
}

impl Running {
    /// The end of its input, SIGTERM, SIGKILL; and it is reaped.
    async fn end(mut self, label: &str) {
        drop(self.stdin);
        if timeout(GRACE, self.child.wait()).await.is_ok() {
            return;
        }
        terminate(&self.child);
        if timeout(GRACE, self.child.wait()).await.is_ok() {
            return;
        }
        tracing::warn!("replica {label} does not stop and is killed");
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
        // Fails when it is gone, which is what is wanted.
        let _ = kill_process(pid, Signal::TERM);
    }
}

#[cfg(not(unix))]
fn terminate(_: &Child) {}

/// `{"listening":"http://127.0.0.1:PORT/mcp"}`
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
        return Err(io::Error::other("it exits at once"));
    }
    let announcement: Announcement = serde_json::from_slice(&line).map_err(io::Error::other)?;
    Ok(announcement.listening)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // Whoever could say stop is gone: that says it too.
    let _ = stop.wait_for(|stop| *stop).await;
}
