//! A server as a child process, and everything that process starts.

use rustix::process::{Pid, Signal, kill_process_group};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// What a child inherits of the environment: what programs need to run at all, and none of the
/// secrets.
const INHERITED: [&str; 17] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
];
/// A longer line of standard error is cut here.
const MAX_STDERR_LINE: usize = 8 * 1024;
/// So much of a line is logged, in characters.
const MAX_STDERR_CHARS: usize = 2000;

/// Takes a line that the server wrote to standard error.
pub(super) type OnStderr = Arc<dyn Fn(&str) + Send + Sync>;

/// How to start a server that speaks MCP on its standard streams.
///
/// The child inherits of the environment what programs need to run (`PATH`, `HOME`, locale,
/// temporary and XDG directories) and nothing else; give it the rest with [`env`](Self::env).
#[derive(Clone)]
pub struct ServerCommand {
    program: OsString,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    dir: Option<PathBuf>,
    grace: Duration,
    on_stderr: OnStderr,
}

impl ServerCommand {
    /// Starts `program`, looked up in `PATH`.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            dir: None,
            grace: Duration::from_secs(2),
            on_stderr: Arc::new(
                |line| tracing::info!(target: "carryall::stderr", "{}", carryall_proto::Printable(line).clipped(MAX_STDERR_CHARS)),
            ),
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Its working directory.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// How long to wait for it to exit by itself, and again after `SIGTERM`. 2 s unless set.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long it gets to exit by itself.
    #[must_use]
    pub fn grace_time(&self) -> Duration {
        self.grace
    }

    /// What to do with the lines it writes to standard error. They are logs, not errors. Unless set
    /// they go to `tracing`.
    #[must_use]
    pub fn on_stderr(mut self, take: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_stderr = Arc::new(take);
        self
    }

    /// The program, for messages: its arguments often hold secrets.
    #[must_use]
    pub fn program(&self) -> Cow<'_, str> {
        self.program.to_string_lossy()
    }

    /// The program and its arguments, to tell commands apart. Not for messages, files or logs:
    /// arguments often hold secrets.
    #[must_use]
    pub fn command_line(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        words
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Starts the server, for whoever speaks another protocol with it than
    /// [`StdioClient`](super::StdioClient) does. Needs a runtime.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(&self) -> std::io::Result<SpawnedServer> {
        let mut command = Command::new(&self.program);
        let inherited = INHERITED
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        command
            .args(&self.args)
            .env_clear()
            .envs(inherited)
            .envs(&self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: what the child starts can be ended with it, and a Ctrl-C at the
            // terminal is ours.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let mut child = command.spawn()?;
        let missing = || std::io::Error::other("the child has no standard streams");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(forward(stderr, Arc::clone(&self.on_stderr)));
        }
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        Ok(SpawnedServer {
            stdin,
            stdout,
            process: ServerProcess {
                group: Group(group),
                child,
                grace: self.grace,
            },
        })
    }
}

impl fmt::Debug for ServerCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and environment of servers often hold secrets.
        f.debug_struct("ServerCommand")
            .field("program", &self.program)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// A running server and the two ends to talk to it.
#[derive(Debug)]
pub struct SpawnedServer {
    /// Where it reads.
    pub stdin: ChildStdin,
    /// Where it writes.
    pub stdout: ChildStdout,
    /// The process itself.
    pub process: ServerProcess,
}

/// A process and its group. Dropping it kills them; [`supervise`](Self::supervise) is kinder.
#[derive(Debug)]
pub struct ServerProcess {
    group: Group,
    child: Child,
    grace: Duration,
}

/// Dropped before the child is: the group's id is not free for others until its leader is reaped.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // Fails when nobody is left in the group, which is what is wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl ServerProcess {
    /// Waits for the process to exit, or for `stop`, after which it gets the grace time, `SIGTERM`,
    /// the grace time again, and `SIGKILL` (`basic/transports/stdio#shutdown`). Its standard input
    /// must be closed by then. Whatever it left behind in its group is ended too. It is reaped in
    /// any case.
    pub async fn supervise(mut self, stop: impl Future<Output = ()>) -> Option<ExitStatus> {
        let by_itself = tokio::select! {
            status = self.child.wait() => Some(status),
            () = stop => None,
        };
        if let Some(status) = by_itself {
            return self.bury(status);
        }
        for signal in [None, Some(Signal::TERM)] {
            if let Some(signal) = signal {
                self.group.signal(signal);
            }
            if let Ok(status) = timeout(self.grace, self.child.wait()).await {
                return self.bury(status);
            }
        }
        self.group.signal(Signal::KILL);
        let status = self.child.wait().await;
        self.bury(status)
    }

    fn bury(self, status: std::io::Result<ExitStatus>) -> Option<ExitStatus> {
        // Dropping the group ends what the server has left running.
        status.ok()
    }
}

/// Hands on lines until the stream ends.
async fn forward(stderr: impl AsyncRead, take: OnStderr) {
    let mut stderr = std::pin::pin!(stderr);
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = stderr.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        for &byte in &buffer[..count] {
            if byte == b'\n' {
                take(String::from_utf8_lossy(&line).trim_end());
                line.clear();
            } else if line.len() < MAX_STDERR_LINE {
                line.push(byte);
            }
        }
    }
    if !line.is_empty() {
        take(String::from_utf8_lossy(&line).trim_end());
    }
}
