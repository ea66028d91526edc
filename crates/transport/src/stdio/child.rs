//! A server as a child process, with the processes that it starts.

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

/// The environment variables that a child inherits: what programs need to run, and no secrets.
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
/// Limit on the length of a line of standard error in bytes; the rest of the line is dropped.
const MAX_STDERR_LINE: usize = 8 * 1024;
/// Limit on what is logged of a line, in characters.
const MAX_STDERR_CHARS: usize = 2000;

/// Called with each line that the server writes to standard error.
pub(super) type OnStderr = Arc<dyn Fn(&str) + Send + Sync>;

/// How to start a server that speaks MCP on its standard streams.
///
/// Of the environment, the child inherits only what programs need to run (`PATH`, `HOME`, locale,
/// temporary and XDG directories). Set other variables with [`env`](Self::env).
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
    /// Makes a command for `program`, which is looked up in `PATH`.
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

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable of the child.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Sets the working directory of the child. Default: that of this process.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Sets how long to wait for the child to exit once its standard input is closed, and again
    /// after `SIGTERM`. Default: 2 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Returns the time set with [`grace`](Self::grace).
    #[must_use]
    pub fn grace_time(&self) -> Duration {
        self.grace
    }

    /// Sets what is called with each line that the child writes to standard error, which servers
    /// use for logs. Default: logs the line with `tracing`, at level `INFO`.
    #[must_use]
    pub fn on_stderr(mut self, on_line: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_stderr = Arc::new(on_line);
        self
    }

    /// Returns the program, for messages. Arguments are left out, because they often contain
    /// secrets.
    #[must_use]
    pub fn program(&self) -> Cow<'_, str> {
        self.program.to_string_lossy()
    }

    /// Returns the program and its arguments, to tell commands apart. Do not use it in messages,
    /// files or logs: arguments often contain secrets.
    #[must_use]
    pub fn command_line(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        words
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Starts the server, for another protocol than that of [`StdioClient`](super::StdioClient).
    /// Spawns a task that reads its standard error.
    ///
    /// # Errors
    /// When the program cannot be started.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
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
            // With a process group of its own, what the child starts can be ended with it, and a
            // Ctrl-C at the terminal does not reach it.
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
            tokio::spawn(read_lines(stderr, Arc::clone(&self.on_stderr)));
        }
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        Ok(SpawnedServer {
            stdin,
            stdout,
            process: ServerProcess {
                group: ProcessGroup(group),
                child,
                grace: self.grace,
            },
        })
    }
}

impl fmt::Debug for ServerCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and environment often contain secrets.
        f.debug_struct("ServerCommand")
            .field("program", &self.program)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// A running server with its standard streams.
#[derive(Debug)]
#[non_exhaustive]
pub struct SpawnedServer {
    /// The standard input of the server.
    pub stdin: ChildStdin,
    /// The standard output of the server.
    pub stdout: ChildStdout,
    /// The process.
    pub process: ServerProcess,
}

/// A process and its process group. Dropping it kills both; [`supervise`](Self::supervise) ends
/// them gracefully.
#[derive(Debug)]
pub struct ServerProcess {
    group: ProcessGroup,
    child: Child,
    grace: Duration,
}

/// Kills the group when it is dropped. It is dropped before the child, because the id of the group
/// may be reused once the child is reaped and no process of the group is left.
#[derive(Debug)]
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // Fails when the group is empty already.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl ServerProcess {
    /// Waits for the process to exit, or for `stop`. After `stop`, whose caller has closed the
    /// standard input, the process has the grace time to exit, then gets `SIGTERM` and the grace
    /// time again, and finally `SIGKILL` (`basic/transports/stdio#shutdown`). The rest of its group
    /// is killed too. Returns the exit status, if it is known.
    pub async fn supervise(mut self, stop: impl Future<Output = ()>) -> Option<ExitStatus> {
        tokio::select! {
            status = self.child.wait() => return status.ok(),
            () = stop => {}
        }
        if let Ok(status) = timeout(self.grace, self.child.wait()).await {
            return status.ok();
        }
        self.group.signal(Signal::TERM);
        if let Ok(status) = timeout(self.grace, self.child.wait()).await {
            return status.ok();
        }
        self.group.signal(Signal::KILL);
        self.child.wait().await.ok()
    }
}

/// Calls `on_line` with each line of standard error until that ends.
async fn read_lines(stderr: impl AsyncRead, on_line: OnStderr) {
    let mut stderr = std::pin::pin!(stderr);
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = stderr.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        for &byte in &buffer[..count] {
            if byte == b'\n' {
                on_line(String::from_utf8_lossy(&line).trim_end());
                line.clear();
            } else if line.len() < MAX_STDERR_LINE {
                line.push(byte);
            }
        }
    }
    if !line.is_empty() {
        on_line(String::from_utf8_lossy(&line).trim_end());
    }
}
