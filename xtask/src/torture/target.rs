//! The process under attack, and its memory.

use super::AttackEnv;
use crate::process::{ChildGroup, log_to};
use crate::{CommandResult, files, net};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A `carryall` process that listens on its own port.
pub(super) struct TortureTarget {
    group: ChildGroup,
    pub(super) port: u16,
    pub(super) log: PathBuf,
}

impl TortureTarget {
    /// Starts `carryall demo`.
    pub(super) fn demo(env: &AttackEnv, name: &str) -> CommandResult<Self> {
        Self::start(env, name, &["demo"], "warn")
    }

    /// Starts `carryall up` with the misbehaving upstream over stdio.
    pub(super) fn edge(env: &AttackEnv, name: &str, more: &[&str]) -> CommandResult<Self> {
        let command = upstream_command()?;
        let args: Vec<&str> = ["up", "--stdio", &command]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        Self::start(env, name, &args, "warn")
    }

    /// Starts `carryall ARGS --listen ADDRESS`, logging at `level`.
    pub(super) fn start(
        env: &AttackEnv,
        name: &str,
        args: &[&str],
        level: &str,
    ) -> CommandResult<Self> {
        let port = net::free_port()?;
        let log = env.logs.join(format!("{name}.log"));
        let mut command = Command::new(&env.binary);
        command
            .args(args)
            .args(["--listen", &format!("127.0.0.1:{port}")]);
        command
            .env("RUST_LOG", level)
            .env("NO_COLOR", "1")
            .env_remove("CARRYALL_KEYRING");
        // A cache of other runs must not influence this one.
        command
            .env("HOME", &env.logs)
            .env("XDG_CACHE_HOME", env.logs.join("cache"));
        // Measures the memory in use, not what glibc keeps for reuse.
        command.env("MALLOC_MMAP_THRESHOLD_", "131072");
        log_to(&mut command, &log)?;
        let mut group = ChildGroup::spawn(&mut command)?;
        net::wait_until_listening(&mut group, port, &log)?;
        Ok(Self { group, port, log })
    }

    /// Returns the resident memory of the process in MiB.
    pub(super) fn memory(&self) -> CommandResult<u64> {
        let status = files::read(&PathBuf::from(format!("/proc/{}/status", self.group.id())))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .and_then(|kib| kib.trim().parse::<u64>().ok());
        kib.map(|kib| kib / 1024)
            .ok_or_else(|| "the process has exited".to_owned())
    }

    /// Sends SIGTERM and returns the time until the process exits, or `None` after `limit`.
    pub(super) fn terminate(mut self, limit: Duration) -> Option<Duration> {
        let started = Instant::now();
        self.group.signal("TERM");
        self.group.wait(limit).map(|_| started.elapsed())
    }
}

/// Returns the command line of the misbehaving upstream for `--stdio`.
pub(super) fn upstream_command() -> CommandResult<String> {
    let program =
        std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    Ok(format!("bad={} torture --upstream", program.display()))
}

/// Discards input and output of a command.
pub(super) fn quiet(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}
