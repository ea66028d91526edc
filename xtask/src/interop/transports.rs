//! How a client comes to a server: over HTTP or stdio, directly or through `carryall up`; and
//! programs run to their end.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use crate::process::ProcessGroup;
use crate::{CommandResult, files, net, process};

/// No program takes longer.
const LIMIT: Duration = Duration::from_secs(90);
/// Where our programs serve HTTP.
const ENDPOINT: &str = "/mcp";
/// `carryall up` drains and ends its children first.
const END: Duration = Duration::from_secs(10);

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

    /// As the programs are told.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Legacy => "legacy",
        }
    }
}

/// One way to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Transport {
    Http,
    HttpUp,
    Stdio,
    StdioUp,
    /// As before, with a server that is not there for its first seconds.
    SlowStdio,
    SlowStdioUp,
    /// `carryall up` in front of several servers, some over HTTP and some over stdio.
    Both,
}

impl Transport {
    /// Those to one server.
    pub(super) const ALL: [Self; 4] = [Self::Http, Self::HttpUp, Self::Stdio, Self::StdioUp];
    /// Those to one server that is slow to start.
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

/// Where a client is to go.
pub(super) enum ClientTarget {
    Url(String),
    Command(Vec<String>),
}

/// Servers that run for as long as this is not dropped. Those in front come first.
pub(super) struct RunningServers(Vec<(String, ProcessGroup)>);

impl RunningServers {
    /// Ends `carryall up`; an error when it did not end in good order.
    pub(super) fn end(self) -> CommandResult {
        let mut failed = Vec::new();
        for (name, group) in self.0 {
            if !group.end(END) && name == "up" {
                failed.push(format!(
                    "`carryall up` did not end with success within {} s of SIGTERM",
                    END.as_secs()
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

/// What a program came to.
pub(super) struct ProgramOutcome {
    /// `None` when it was ended by us, being too slow.
    pub(super) success: Option<bool>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

#[derive(Clone)]
pub(super) struct Ways {
    carryall: String,
    logs: PathBuf,
    home: PathBuf,
    count: Rc<Cell<u32>>,
    /// What `carryall up` is told besides.
    up: Vec<String>,
}

impl Ways {
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
        // Nothing that an earlier run has found out about servers is to help this one.
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
            up: Vec::new(),
        })
    }

    /// The same ways, with a `carryall up` that gets these options.
    pub(super) fn with_up(&self, options: &[&str]) -> Self {
        Self {
            up: with(&self.up, options),
            ..self.clone()
        }
    }

    pub(super) fn logs(&self) -> &Path {
        &self.logs
    }

    /// The way to a server that others wrote: its command goes on with `http PORT` or `stdio`.
    pub(super) fn to_theirs(
        &self,
        server: &[String],
        way: Transport,
    ) -> CommandResult<(ClientTarget, RunningServers)> {
        match way {
            Transport::Stdio
            | Transport::StdioUp
            | Transport::SlowStdio
            | Transport::SlowStdioUp => self.to_command(&with(server, &["stdio"]), way),
            Transport::Http | Transport::HttpUp | Transport::Both => {
                let port = net::free_port()?;
                let running =
                    self.serve("server", &with(server, &["http", &port.to_string()]), port)?;
                self.http(port, ENDPOINT, running, way)
            }
        }
    }

    /// The way to several servers that others wrote, under these names: every other one over stdio,
    /// the rest over HTTP.
    pub(super) fn to_all(
        &self,
        servers: &[(&str, &[String])],
    ) -> CommandResult<(ClientTarget, RunningServers)> {
        let mut args = Vec::new();
        let mut behind = Vec::new();
        for (at, (name, server)) in servers.iter().enumerate() {
            if at % 2 == 0 {
                args.extend([
                    "--stdio".to_owned(),
                    format!("{name}={}", as_one_word(&with(server, &["stdio"]))),
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

    /// The way to a server that serves HTTP when it is started with this word, and takes its port
    /// from `PORT`.
    pub(super) fn to_port(
        &self,
        command: &[String],
        word: &str,
        path: &str,
        way: Transport,
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
        self.http(port, path, running, way)
    }

    /// The way to a server that is started with just this command and speaks on its standard
    /// streams.
    pub(super) fn to_command(
        &self,
        command: &[String],
        way: Transport,
    ) -> CommandResult<(ClientTarget, RunningServers)> {
        let command = if way.is_slow() {
            slow(command)
        } else {
            command.to_vec()
        };
        match way {
            Transport::StdioUp | Transport::SlowStdioUp => {
                self.up(&["--stdio", &as_one_word(&command)])
            }
            _ => Ok((ClientTarget::Command(command), RunningServers(Vec::new()))),
        }
    }

    /// The way to our demo. `carryall up` without more is in front of two replicas of it. The
    /// others make pages.
    pub(super) fn to_demo(&self, way: Transport) -> CommandResult<(ClientTarget, RunningServers)> {
        let stdio = self.ours(&["demo", "--page-size", "5", "--stdio"]);
        match way {
            Transport::Stdio
            | Transport::StdioUp
            | Transport::SlowStdio
            | Transport::SlowStdioUp => self.to_command(&stdio, way),
            Transport::HttpUp | Transport::Both => self.up(&[]),
            Transport::Http => {
                let port = net::free_port()?;
                let listen = format!("127.0.0.1:{port}");
                let command = self.ours(&["demo", "--page-size", "5", "--listen", &listen]);
                let running = self.serve("demo", &command, port)?;
                self.http(port, ENDPOINT, running, way)
            }
        }
    }

    fn http(
        &self,
        port: u16,
        path: &str,
        running: (String, ProcessGroup),
        way: Transport,
    ) -> CommandResult<(ClientTarget, RunningServers)> {
        let url = format!("http://127.0.0.1:{port}{path}");
        if way == Transport::Http {
            return Ok((ClientTarget::Url(url), RunningServers(vec![running])));
        }
        let (target, mut in_front) = self.up(&["--http", &url])?;
        in_front.0.push(running);
        Ok((target, in_front))
    }

    fn up(&self, args: &[&str]) -> CommandResult<(ClientTarget, RunningServers)> {
        let port = net::free_port()?;
        let listen = format!("127.0.0.1:{port}");
        let mut command = with(&self.ours(&["up", "--listen", &listen]), args);
        command.extend(self.up.iter().cloned());
        let running = self.serve("up", &command, port)?;
        Ok((
            ClientTarget::Url(format!("http://{listen}/mcp")),
            RunningServers(vec![running]),
        ))
    }

    fn serve(
        &self,
        name: &str,
        words: &[String],
        port: u16,
    ) -> CommandResult<(String, ProcessGroup)> {
        let log = self.log(name);
        let mut command = self.command(words)?;
        process::log_to(&mut command, &log)?;
        let mut group = ProcessGroup::spawn(&mut command)?;
        net::listens(&mut group, port, &log)?;
        Ok((name.to_owned(), group))
    }

    /// Our binary with these arguments.
    pub(super) fn ours(&self, args: &[&str]) -> Vec<String> {
        with(std::slice::from_ref(&self.carryall), args)
    }

    /// Runs a program to its end and says what it came to.
    pub(super) fn run(&self, name: &str, words: &[String]) -> CommandResult<ProgramOutcome> {
        let (out, err) = (
            self.log(&format!("{name}.out")),
            self.log(&format!("{name}.err")),
        );
        let mut command = self.command(words)?;
        process::log_to(&mut command, &err)?;
        command.stdout(fs::File::create(&out).map_err(|e| format!("{}: {e}", out.display()))?);
        let mut group = ProcessGroup::spawn(&mut command)?;
        let success = group.wait(LIMIT);
        drop(group);
        let read = |path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let fail = |e: std::io::Error| format!("{}: {e}", out.display());
        Ok(ProgramOutcome {
            success,
            stdout: read(&out).map_err(fail)?,
            stderr: read(&err).map_err(fail)?,
        })
    }

    fn command(&self, words: &[String]) -> CommandResult<Command> {
        let (program, args) = words.split_first().ok_or("no program")?;
        let mut command = Command::new(program);
        // Nothing of what the user has configured counts here, and everything is on the loopback.
        command
            .args(args)
            .env("HOME", &self.home)
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1");
        Ok(command)
    }

    /// A file of its own for each program, in the order in which they ran.
    fn log(&self, name: &str) -> PathBuf {
        self.count.set(self.count.get() + 1);
        self.logs
            .join(format!("{:04}-{name}.log", self.count.get()))
    }
}

pub(super) fn with(words: &[String], more: &[&str]) -> Vec<String> {
    words
        .iter()
        .cloned()
        .chain(more.iter().map(|&word| word.to_owned()))
        .collect()
}

/// The command with a start as slow as that of a package that is fetched first. Everything that is
/// sent meanwhile waits.
fn slow(command: &[String]) -> Vec<String> {
    let shell = ["/bin/sh", "-c", "sleep 2.5; exec \"$@\"", "sh"].map(str::to_owned);
    shell.into_iter().chain(command.iter().cloned()).collect()
}

/// A command line that `carryall` reads back as these words.
fn as_one_word(words: &[String]) -> String {
    let quoted = words
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', "'\\''")));
    quoted.collect::<Vec<_>>().join(" ")
}
