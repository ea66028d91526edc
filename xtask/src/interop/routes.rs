//! Routes from client to server: over HTTP or stdio, directly or through `carryall up`. Starts the
//! servers of a route, and runs programs to completion.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use crate::process::ChildGroup;
use crate::{CommandResult, files, net, process};

/// Maximum run time of a program.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(90);
/// The path of the HTTP endpoint of our programs.
const ENDPOINT: &str = "/mcp";
/// Time limit for shutdown. `carryall up` first drains its calls and ends its children.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// One era of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ProtocolEra {
    Modern,
    Legacy,
}

impl ProtocolEra {
    pub(super) fn named(word: &str) -> Option<Self> {
        [Self::Modern, Self::Legacy]
            .into_iter()
            .find(|era| era.word() == word)
    }

    /// Returns the argument for the programs.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Legacy => "legacy",
        }
    }
}

/// A route to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Route {
    Http,
    HttpUp,
    Stdio,
    StdioUp,
    /// The same with a server that takes seconds to start.
    SlowStdio,
    SlowStdioUp,
    /// `carryall up` in front of several servers, some over HTTP and some over stdio.
    Both,
}

impl Route {
    /// The routes to one server.
    pub(super) const ALL: [Self; 4] = [Self::Http, Self::HttpUp, Self::Stdio, Self::StdioUp];
    /// The routes to one server that is slow to start.
    pub(super) const SLOW: [Self; 2] = [Self::SlowStdio, Self::SlowStdioUp];

    pub(super) fn is_slow(self) -> bool {
        Self::SLOW.contains(&self)
    }

    pub(super) fn transport(self) -> &'static str {
        match self {
            Self::Http | Self::HttpUp => "http",
            Self::Stdio => "stdio",
            Self::StdioUp => "http to stdio",
            Self::SlowStdio => "slow stdio",
            Self::SlowStdioUp => "http to slow stdio",
            Self::Both => "http to both",
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Http | Self::Stdio | Self::SlowStdio => "direct",
            Self::HttpUp | Self::StdioUp | Self::SlowStdioUp | Self::Both => "through up",
        }
    }
}

/// The server that a client connects to.
pub(super) enum ClientTarget {
    Url(String),
    Command(Vec<String>),
}

/// Running servers, those in front first. Dropping it kills them.
pub(super) struct RunningServers(Vec<(String, ChildGroup)>);

impl RunningServers {
    /// Terminates the servers. Fails if `carryall up` does not exit successfully.
    pub(super) fn end(self) -> CommandResult {
        let mut failed = Vec::new();
        for (name, group) in self.0 {
            if !group.terminate(SHUTDOWN_TIMEOUT) && name == "up" {
                failed.push(format!(
                    "`carryall up` did not exit successfully within {} s of SIGTERM",
                    SHUTDOWN_TIMEOUT.as_secs()
                ));
            }
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("; "))
        }
    }
}

/// The exit status and output of a program.
pub(super) struct ProgramOutcome {
    /// `None` if the program timed out and was killed.
    pub(super) success: Option<bool>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Starts servers and programs, with a home folder and log files for the run.
#[derive(Clone)]
pub(super) struct TestEnvironment {
    carryall: String,
    logs: PathBuf,
    home: PathBuf,
    count: Rc<Cell<u32>>,
    /// Additional options of `carryall up`.
    up_options: Vec<String>,
}

impl TestEnvironment {
    pub(super) fn new(dir: &Path) -> CommandResult<Self> {
        let logs = dir.join("logs");
        if logs.exists() {
            fs::remove_dir_all(&logs).map_err(|e| format!("{}: {e}", logs.display()))?;
        }
        fs::create_dir_all(&logs).map_err(|e| format!("{}: {e}", logs.display()))?;
        let carryall = files::target_dir()
            .join("debug/carryall")
            .display()
            .to_string();
        let home = dir.join("home");
        // A cache of an earlier run must not influence this one.
        let cache = home.join(".cache");
        if cache.exists() {
            fs::remove_dir_all(&cache).map_err(|e| format!("{}: {e}", cache.display()))?;
        }
        fs::create_dir_all(&home).map_err(|e| format!("{}: {e}", home.display()))?;
        Ok(Self {
            carryall,
            logs,
            home,
            count: Rc::default(),
            up_options: Vec::new(),
        })
    }

    /// Returns an environment whose `carryall up` gets these additional options.
    pub(super) fn with_up(&self, options: &[&str]) -> Self {
        Self {
            up_options: with(&self.up_options, options),
            ..self.clone()
        }
    }

    pub(super) fn logs(&self) -> &Path {
        &self.logs
    }

    /// Starts a server whose command line is followed by `http PORT` or `stdio`.
    pub(super) fn start_server(
        &self,
        server: &[String],
        route: Route,
    ) -> CommandResult<(ClientTarget, RunningServers)> {
        match route {
            Route::Stdio | Route::StdioUp | Route::SlowStdio | Route::SlowStdioUp => {
                self.start_stdio(&with(server, &["stdio"]), route)
            }
            Route::Http | Route::HttpUp | Route::Both => {
                let port = net::free_port()?;
                let running =
                    self.serve("server", &with(server, &["http", &port.to_string()]), port)?;
                self.http(port, ENDPOINT, running, route)
            }
        }
    }

    /// Starts several servers, with these names, behind one `carryall up`: alternately over stdio and
    /// over HTTP.
    pub(super) fn start_all(
        &self,
        servers: &[(&str, &[String])],
    ) -> CommandResult<(ClientTarget, RunningServers)> {
        let mut args = Vec::new();
        let mut behind = Vec::new();
        for (at, (name, server)) in servers.iter().enumerate() {
            if at % 2 == 0 {
                args.extend([
                    "--stdio".to_owned(),
                    format!("{name}={}", quote_command(&with(server, &["stdio"]))),
                ]);
            } else {
                let port = net::free_port()?;
                behind.push(self.serve(
                    "server",
                    &with(server, &["http", &port.to_string()]),
                    port,
                )?);
                args.extend([
                    "--http".to_owned(),
                    format!("{name}=http://127.0.0.1:{port}/mcp"),
                ]);
            }
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (target, mut running) = self.up(&args)?;
        running.0.extend(behind);
        Ok((target, running))
    }

    /// Starts a server that serves HTTP if it is started with the argument `word`, and that takes its
    /// port from the variable `PORT`.
    pub(super) fn start_http(
        &self,
        command: &[String],
        word: &str,
        path: &str,
        route: Route,
    ) -> CommandResult<(ClientTarget, RunningServers)> {
        let port = net::free_port()?;
        let env = ["/usr/bin/env".to_owned(), format!("PORT={port}")];
        let all: Vec<String> = env
            .iter()
            .chain(command)
            .cloned()
            .chain([word.to_owned()])
            .collect();
        let running = self.serve("server", &all, port)?;
        self.http(port, path, running, route)
    }

    /// Starts a stdio server, or returns the command for a client that starts it.
    pub(super) fn start_stdio(
        &self,
        command: &[String],
        route: Route,
    ) -> CommandResult<(ClientTarget, RunningServers)> {
        let command = if route.is_slow() {
            slow(command)
        } else {
            command.to_vec()
        };
        match route {
            Route::StdioUp | Route::SlowStdioUp => self.up(&["--stdio", &quote_command(&command)]),
            _ => Ok((ClientTarget::Command(command), RunningServers(Vec::new()))),
        }
    }

    /// Starts our demo. Plain `carryall up` serves two replicas of it; on the other routes the demo
    /// paginates its lists.
    pub(super) fn start_demo(&self, route: Route) -> CommandResult<(ClientTarget, RunningServers)> {
        let stdio = self.carryall(&["demo", "--page-size", "5", "--stdio"]);
        match route {
            Route::Stdio | Route::StdioUp | Route::SlowStdio | Route::SlowStdioUp => {
                self.start_stdio(&stdio, route)
            }
            Route::HttpUp | Route::Both => self.up(&[]),
            Route::Http => {
                let port = net::free_port()?;
                let listen = format!("127.0.0.1:{port}");
                let command = self.carryall(&["demo", "--page-size", "5", "--listen", &listen]);
                let running = self.serve("demo", &command, port)?;
                self.http(port, ENDPOINT, running, route)
            }
        }
    }

    fn http(
        &self,
        port: u16,
        path: &str,
        running: (String, ChildGroup),
        route: Route,
    ) -> CommandResult<(ClientTarget, RunningServers)> {
        let url = format!("http://127.0.0.1:{port}{path}");
        if route == Route::Http {
            return Ok((ClientTarget::Url(url), RunningServers(vec![running])));
        }
        let (target, mut in_front) = self.up(&["--http", &url])?;
        in_front.0.push(running);
        Ok((target, in_front))
    }

    fn up(&self, args: &[&str]) -> CommandResult<(ClientTarget, RunningServers)> {
        let port = net::free_port()?;
        let listen = format!("127.0.0.1:{port}");
        let mut command = with(&self.carryall(&["up", "--listen", &listen]), args);
        command.extend(self.up_options.iter().cloned());
        let running = self.serve("up", &command, port)?;
        Ok((
            ClientTarget::Url(format!("http://{listen}/mcp")),
            RunningServers(vec![running]),
        ))
    }

    fn serve(&self, name: &str, args: &[String], port: u16) -> CommandResult<(String, ChildGroup)> {
        let log = self.log(name);
        let mut command = self.command(args)?;
        process::log_to(&mut command, &log)?;
        let mut group = ChildGroup::spawn(&mut command)?;
        net::wait_until_listening(&mut group, port, &log)?;
        Ok((name.to_owned(), group))
    }

    /// Returns the command line of our binary with these arguments.
    pub(super) fn carryall(&self, args: &[&str]) -> Vec<String> {
        with(std::slice::from_ref(&self.carryall), args)
    }

    /// Runs a program to completion.
    pub(super) fn run(&self, name: &str, args: &[String]) -> CommandResult<ProgramOutcome> {
        let (out, err) = (
            self.log(&format!("{name}.out")),
            self.log(&format!("{name}.err")),
        );
        let mut command = self.command(args)?;
        process::log_to(&mut command, &err)?;
        command.stdout(fs::File::create(&out).map_err(|e| format!("{}: {e}", out.display()))?);
        let mut group = ChildGroup::spawn(&mut command)?;
        let success = group.wait(PROGRAM_TIMEOUT);
        drop(group);
        let read = |path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let fail = |e: std::io::Error| format!("{}: {e}", out.display());
        Ok(ProgramOutcome {
            success,
            stdout: read(&out).map_err(fail)?,
            stderr: read(&err).map_err(fail)?,
        })
    }

    fn command(&self, args: &[String]) -> CommandResult<Command> {
        let (program, args) = args.split_first().ok_or("no program")?;
        let mut command = Command::new(program);
        // Ignores the configuration of the user, and proxies: everything is on the loopback.
        command
            .args(args)
            .env("HOME", &self.home)
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1");
        Ok(command)
    }

    /// Returns the path of a new log file. The files are numbered in the order of the programs.
    fn log(&self, name: &str) -> PathBuf {
        self.count.set(self.count.get() + 1);
        self.logs
            .join(format!("{:04}-{name}.log", self.count.get()))
    }
}

pub(super) fn with(args: &[String], more: &[&str]) -> Vec<String> {
    args.iter()
        .cloned()
        .chain(more.iter().map(|&word| word.to_owned()))
        .collect()
}

/// Delays the start of a command, as downloading a package would. Input that is sent meanwhile waits.
fn slow(command: &[String]) -> Vec<String> {
    let shell = ["/bin/sh", "-c", "sleep 2.5; exec \"$@\"", "sh"].map(str::to_owned);
    shell.into_iter().chain(command.iter().cloned()).collect()
}

/// Quotes a command line for `carryall`.
fn quote_command(args: &[String]) -> String {
    let quoted = args
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', "'\\''")));
    quoted.collect::<Vec<_>>().join(" ")
}
