//! The processes of one server, from their start to their end.

use carryall_proto::CallError;
use carryall_proto::backoff::Backoff;
use carryall_proto::sync::Mutex;
use carryall_transport::stdio::{ServerCommand, ServerProcess, SpawnedServer};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// Between starts, so that a server that cannot run is not started in a loop.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
/// A process that lived this long was fine; its end does not count as a failure.
const FINE_AFTER: Duration = Duration::from_secs(5);

/// Starts processes, and sees to it that none is left behind.
pub(super) struct ProcessSupervisor {
    command: ServerCommand,
    stop: watch::Sender<bool>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    failures: u32,
    not_before: Option<Instant>,
    supervisors: Vec<JoinHandle<Option<ExitStatus>>>,
}

/// The two ends of a process. When either is dropped the process finds its standard input closed
/// and is ended.
pub(super) struct ProcessPipes {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) exit: Exit,
    /// To be set before a process is let go that nobody needs any more: its end is no failure then,
    /// however soon it comes.
    pub(super) released: Arc<AtomicBool>,
}

/// How the process ended, once it has.
#[derive(Clone)]
pub(super) struct Exit(watch::Receiver<Option<String>>);

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

    /// Starts a process, after a pause if others have failed.
    pub(super) async fn start(&self) -> Result<ProcessPipes, CallError> {
        let mut stop = self.stop.subscribe();
        let not_before = lock(&self.state).not_before;
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Err(CallError::Refused("the server is shut down".into())),
            () = async { if let Some(time) = not_before { sleep_until(time).await } } => {}
        }
        let SpawnedServer {
            stdin,
            stdout,
            process,
        } = self.command.spawn().map_err(|error| {
            lock(&self.state).note(false);
            CallError::unreachable(format!(
                "cannot start {:?}: {error}",
                self.command.program()
            ))
        })?;
        let (reading, no_reader) = oneshot::channel();
        let (writing, no_writer) = oneshot::channel();
        let (told, exit) = watch::channel(None);
        let stdin = Arc::new(Mutex::new(Some(stdin)));
        let released = Arc::new(AtomicBool::new(false));
        let (stdin_of, released_of) = (Arc::clone(&stdin), Arc::clone(&released));
        let supervisor = Supervisor {
            stop,
            no_reader,
            no_writer,
            stdin: stdin_of,
            told,
            released: released_of,
        };
        let supervisor = tokio::spawn(supervisor.run(process, Arc::clone(&self.state)));
        let mut state = lock(&self.state);
        state
            .supervisors
            .retain(|supervisor| !supervisor.is_finished());
        state.supervisors.push(supervisor);
        Ok(ProcessPipes {
            reader: Reader {
                stdout,
                _reading: reading,
            },
            writer: Writer {
                stdin,
                _writing: writing,
            },
            exit: Exit(exit),
            released,
        })
    }

    /// ProcessPipes them all and starts no more.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until all are gone; gives how the one that was started last ended.
    pub(super) async fn gone(&self) -> Option<ExitStatus> {
        let supervisors = std::mem::take(&mut lock(&self.state).supervisors);
        let mut last = None;
        for supervisor in supervisors {
            last = supervisor.await.ok().flatten();
        }
        last
    }
}

struct Supervisor {
    stop: watch::Receiver<bool>,
    no_reader: oneshot::Receiver<()>,
    no_writer: oneshot::Receiver<()>,
    stdin: Arc<Mutex<Option<ChildStdin>>>,
    told: watch::Sender<Option<String>>,
    released: Arc<AtomicBool>,
}

impl Supervisor {
    async fn run(self, process: ServerProcess, state: Arc<Mutex<State>>) -> Option<ExitStatus> {
        let Self {
            mut stop,
            no_reader,
            no_writer,
            stdin,
            told,
            released,
        } = self;
        let started = Instant::now();
        let stopped = async move {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                // A server whose output nobody reads, or that is told nothing more, cannot be
                // talked to.
                _ = no_reader => {}
                _ = no_writer => {}
            }
            drop(lock(&stdin).take());
        };
        let status = process.supervise(stopped).await;
        lock(&state).note(started.elapsed() >= FINE_AFTER || released.load(Ordering::Relaxed));
        let shown = status.map_or("its status is unknown".to_owned(), |status| {
            status.to_string()
        });
        tracing::debug!(status = %shown, "the server process has exited");
        told.send_replace(Some(shown));
        status
    }
}

impl Exit {
    /// For people: how it ended, if it does within `limit`.
    pub(super) async fn shown(mut self, limit: Duration) -> String {
        let ended = timeout(limit, self.0.wait_for(Option::is_some)).await;
        let status = ended
            .ok()
            .and_then(Result::ok)
            .and_then(|status| status.clone());
        status.unwrap_or_else(|| "it closed its standard output".to_owned())
    }
}

impl State {
    fn note(&mut self, fine: bool) {
        if fine {
            (self.failures, self.not_before) = (0, None);
            return;
        }
        // The first restart is immediate; a server that fails again has to wait.
        self.not_before = self.failures.checked_sub(1).map(|repeated| {
            let random = RandomState::new().hash_one(repeated);
            Instant::now() + BACKOFF.delay(repeated, random)
        });
        self.failures = self.failures.saturating_add(1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// What the process writes.
pub(super) struct Reader {
    stdout: ChildStdout,
    _reading: oneshot::Sender<()>,
}

/// Where the process reads; closed from elsewhere when it is to end.
pub(super) struct Writer {
    stdin: Arc<Mutex<Option<ChildStdin>>>,
    _writing: oneshot::Sender<()>,
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stdout).poll_read(cx, buf)
    }
}

impl Writer {
    /// Tells how many bytes the process has not read yet of what was written, where the system says
    /// that of a pipe's writing end.
    pub(super) fn unread(&self) -> impl Fn() -> Option<u64> + Send + Sync + use<> {
        let stdin = Arc::clone(&self.stdin);
        move || {
            let stdin = lock(&stdin);
            let pipe = stdin.as_ref().filter(|_| cfg!(target_os = "linux"))?;
            rustix::io::ioctl_fionread(pipe).ok()
        }
    }

    fn with<T>(
        &self,
        act: impl FnOnce(Pin<&mut ChildStdin>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut *lock(&self.stdin) {
            Some(stdin) => act(Pin::new(stdin)),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|stdin| stdin.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stdin| stdin.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        drop(lock(&self.stdin).take());
        Poll::Ready(Ok(()))
    }
}
