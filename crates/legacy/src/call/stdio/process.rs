//! The processes of one server, from start to exit.

use carryall_proto::CallError;
use carryall_proto::backoff::Backoff;
use carryall_proto::sync::Mutex;
use carryall_transport::stdio::{ServerCommand, ServerProcess, SpawnedServer};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// Between starts, so that a server that cannot run is not started in a loop.
const RESTART_BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
/// The exit of a process that ran this long is not a failed start.
const STABLE_AFTER: Duration = Duration::from_secs(5);

/// Starts processes and makes sure that each of them ends.
pub(super) struct ProcessSupervisor {
    command: ServerCommand,
    stop: watch::Sender<bool>,
    state: Arc<Mutex<SupervisorState>>,
}

#[derive(Default)]
struct SupervisorState {
    restarts: RestartState,
    /// One task per process, which ends with it. Not aborted: it stops and reaps the process.
    tasks: Vec<JoinHandle<Option<ExitStatus>>>,
}

/// When the next process may start.
#[derive(Default)]
struct RestartState {
    /// How many starts in a row have failed.
    failures: u32,
    not_before: Option<Instant>,
}

/// The pipes of a process. When either is dropped, the other is closed and the process stopped.
pub(super) struct ProcessPipes {
    pub(super) stdout: ProcessStdout,
    pub(super) stdin: ProcessStdin,
    pub(super) exit: ExitWatch,
    /// To be set before the pipes of a process that works are dropped: its exit is not a failed
    /// start then, however soon it comes.
    pub(super) released: Arc<AtomicBool>,
}

/// How a process has exited, in words.
#[derive(Clone)]
pub(super) struct ExitWatch(watch::Receiver<Option<String>>);

impl ProcessSupervisor {
    pub(super) fn new(command: ServerCommand) -> Self {
        Self {
            command,
            stop: watch::Sender::new(false),
            state: Arc::default(),
        }
    }

    pub(super) fn command(&self) -> &ServerCommand {
        &self.command
    }

    /// Starts a process, after a delay if earlier starts have failed.
    pub(super) async fn start(&self) -> Result<ProcessPipes, CallError> {
        let mut stop = self.stop.subscribe();
        let not_before = self.state.lock().restarts.not_before;
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {
                return Err(CallError::Refused("the server is shut down".into()));
            }
            () = async { if let Some(time) = not_before { sleep_until(time).await } } => {}
        }
        let SpawnedServer {
            stdin,
            stdout,
            process,
            ..
        } = self.command.spawn().map_err(|error| {
            self.state.lock().restarts.record(false);
            CallError::unreachable(format!(
                "cannot start {:?}: {error}",
                self.command.program()
            ))
        })?;
        let (stdout_guard, stdout_dropped) = oneshot::channel();
        let (stdin_guard, stdin_dropped) = oneshot::channel();
        let (exit_sender, exit) = watch::channel(None);
        let stdin = Arc::new(Mutex::new(Some(stdin)));
        let released = Arc::new(AtomicBool::new(false));
        let supervision = Supervision {
            process,
            stop,
            stdout_dropped,
            stdin_dropped,
            stdin: Arc::clone(&stdin),
            exit: exit_sender,
            released: Arc::clone(&released),
        };
        let task = tokio::spawn(supervision.run(Arc::clone(&self.state)));
        let mut state = self.state.lock();
        state.tasks.retain(|task| !task.is_finished());
        state.tasks.push(task);
        Ok(ProcessPipes {
            stdout: ProcessStdout {
                stdout,
                _guard: stdout_guard,
            },
            stdin: ProcessStdin {
                stdin,
                _guard: stdin_guard,
            },
            exit: ExitWatch(exit),
            released,
        })
    }

    /// Stops all processes and starts no more.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until all processes have exited. Returns the status of the one started last.
    pub(super) async fn wait(&self) -> Option<ExitStatus> {
        let tasks = std::mem::take(&mut self.state.lock().tasks);
        let mut last = None;
        for task in tasks {
            last = task.await.ok().flatten();
        }
        last
    }
}

/// One process and the reasons to stop it.
struct Supervision {
    process: ServerProcess,
    stop: watch::Receiver<bool>,
    stdout_dropped: oneshot::Receiver<()>,
    stdin_dropped: oneshot::Receiver<()>,
    stdin: Arc<Mutex<Option<ChildStdin>>>,
    exit: watch::Sender<Option<String>>,
    released: Arc<AtomicBool>,
}

impl Supervision {
    async fn run(self, state: Arc<Mutex<SupervisorState>>) -> Option<ExitStatus> {
        let Self {
            process,
            mut stop,
            stdout_dropped,
            stdin_dropped,
            stdin,
            exit,
            released,
        } = self;
        let started = Instant::now();
        let stopped = async move {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                _ = stdout_dropped => {}
                _ = stdin_dropped => {}
            }
            drop(stdin.lock().take());
        };
        let status = process.supervise(stopped).await;
        let succeeded = started.elapsed() >= STABLE_AFTER || released.load(Ordering::Relaxed);
        state.lock().restarts.record(succeeded);
        let shown = status.map_or("its status is unknown".to_owned(), |status| {
            status.to_string()
        });
        tracing::debug!(status = %shown, "the server process has exited");
        exit.send_replace(Some(shown));
        status
    }
}

impl ExitWatch {
    /// How the process has exited, for display. Waits for at most `limit`.
    pub(super) async fn describe(mut self, limit: Duration) -> String {
        let exited = timeout(limit, self.0.wait_for(Option::is_some)).await;
        let status = exited
            .ok()
            .and_then(Result::ok)
            .and_then(|status| status.clone());
        status.unwrap_or_else(|| "it closed its standard output".to_owned())
    }
}

impl RestartState {
    /// Records the result of a start.
    fn record(&mut self, succeeded: bool) {
        if succeeded {
            *self = Self::default();
            return;
        }
        // The first restart is immediate.
        self.not_before = self.failures.checked_sub(1).map(|attempt| {
            let random = RandomState::new().hash_one(attempt);
            Instant::now() + RESTART_BACKOFF.delay(attempt, random)
        });
        self.failures = self.failures.saturating_add(1);
    }
}

/// The standard output of a process.
pub(super) struct ProcessStdout {
    stdout: ChildStdout,
    _guard: oneshot::Sender<()>,
}

/// The standard input of a process. The supervisor closes it to stop the process.
pub(super) struct ProcessStdin {
    stdin: Arc<Mutex<Option<ChildStdin>>>,
    _guard: oneshot::Sender<()>,
}

impl AsyncRead for ProcessStdout {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stdout).poll_read(cx, buf)
    }
}

impl ProcessStdin {
    /// Returns a function that tells how many of the bytes written the process has not read yet.
    /// `None` where the system does not tell.
    pub(super) fn unread(&self) -> impl Fn() -> Option<u64> + Send + Sync + use<> {
        let stdin = Arc::clone(&self.stdin);
        move || {
            let stdin = stdin.lock();
            let pipe = stdin.as_ref().filter(|_| cfg!(target_os = "linux"))?;
            rustix::io::ioctl_fionread(pipe).ok()
        }
    }

    fn poll_with<T>(
        &self,
        poll: impl FnOnce(Pin<&mut ChildStdin>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut *self.stdin.lock() {
            Some(stdin) => poll(Pin::new(stdin)),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

impl AsyncWrite for ProcessStdin {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(|stdin| stdin.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(|stdin| stdin.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        drop(self.stdin.lock().take());
        Poll::Ready(Ok(()))
    }
}
