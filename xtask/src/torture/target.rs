//! A program under attack, and what it costs.

use super::Arena;
use crate::process::{ProcessGroup, log_to};
use crate::{CommandResult, files, net};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A `carryall` process that listens on a port of its own.
pub(super) struct TortureTarget {
    group: ProcessGroup,
    pub(super) port: u16,
    pub(super) log: PathBuf,
}

impl TortureTarget {
    /// `carryall demo`.
    pub(super) fn demo(arena: &Arena, name: &str) -> CommandResult<Self> {
        Self::start(arena, name, &["demo"], "warn")
    }

    /// `carryall up` in front of the misbehaving server, over stdio.
    pub(super) fn edge(arena: &Arena, name: &str, more: &[&str]) -> CommandResult<Self> {
        let command = upstream_command()?;
        let words: Vec<&str> = ["up", "--stdio", &command]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        Self::start(arena, name, &words, "warn")
    }

    /// `carryall WORDS --listen ADDRESS`, logging at `level`.
    pub(super) fn start(
        arena: &Arena,
        name: &str,
        words: &[&str],
        level: &str,
    ) -> CommandResult<Self> {
        let port = net::free_port()?;
        let log = arena.logs.join(format!("{name}.log"));
        let mut command = Command::new(&arena.binary);
        command
            .args(words)
            .args(["--listen", &format!("127.0.0.1:{port}")]);
        command
            .env("RUST_LOG", level)
            .env("NO_COLOR", "1")
            .env_remove("CARRYALL_KEYRING");
        // What other runs have found out of servers has no part in this one.
        command
            .env("HOME", &arena.logs)
            .env("XDG_CACHE_HOME", arena.logs.join("cache"));
        // What is measured is what the process holds, not what glibc keeps of it for reuse.
        command.env("MALLOC_MMAP_THRESHOLD_", "131072");
        log_to(&mut command, &log)?;
        let mut group = ProcessGroup::spawn(&mut command)?;
        net::listens(&mut group, port, &log)?;
        Ok(Self { group, port, log })
    }

    /// The resident memory of the process, in MiB.
    pub(super) fn memory(&self) -> CommandResult<u64> {
        let status = files::read(&PathBuf::from(format!("/proc/{}/status", self.group.id())))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .and_then(|kib| kib.trim().parse::<u64>().ok());
        kib.map(|kib| kib / 1024)
            .ok_or_else(|| "the process is gone".to_owned())
    }

    /// Asks the process to end, and tells how long it took.
    pub(super) fn end(mut self, limit: Duration) -> Option<Duration> {
        let started = Instant::now();
        self.group.signal("TERM");
        self.group.wait(limit).map(|_| started.elapsed())
    }
}

/// The command line of the misbehaving server, as `--stdio` takes it.
pub(super) fn upstream_command() -> CommandResult<String> {
    let program =
        std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    Ok(format!("bad={} torture --upstream", program.display()))
}

/// A command that is run to its end with its output read.
pub(super) fn quiet(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}
