//! Child processes that are killed when their handle is dropped.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::CommandResult;

/// A child in its own process group. Dropping it kills the whole group.
pub(crate) struct ChildGroup(Child);

impl ChildGroup {
    pub(crate) fn spawn(command: &mut Command) -> CommandResult<Self> {
        let shown = show(command);
        let child = command
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cannot start `{shown}`: {e}"))?;
        Ok(Self(child))
    }

    /// Returns the process id of the child.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Returns `None` while the child runs, then whether it succeeded.
    pub(crate) fn ended(&mut self) -> Option<bool> {
        match self.0.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.success()),
            Err(_) => Some(false),
        }
    }

    /// Waits until the child exits and returns whether it succeeded, or `None` after `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<bool> {
        let end = Instant::now() + limit;
        loop {
            if let Some(success) = self.ended() {
                return Some(success);
            }
            if Instant::now() >= end {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends the child a signal by name, such as `INT`, `STOP` or `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let signal = format!("-{name}");
        let _ = Command::new("kill")
            .args([&signal, &self.0.id().to_string()])
            .stderr(Stdio::null())
            .status();
    }

    /// Sends SIGTERM to the group and returns whether the child exited successfully within `limit`.
    pub(crate) fn terminate(mut self, limit: Duration) -> bool {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill")
            .args(["-TERM", "--", &group])
            .stderr(Stdio::null())
            .status();
        self.wait(limit) == Some(true)
    }
}

impl Drop for ChildGroup {
    fn drop(&mut self) {
        // Grandchildren can outlive the child, so the group is killed even after the child has exited.
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command with its output shown. Fails if the command fails.
pub(crate) fn run(command: &mut Command) -> CommandResult {
    let shown = show(command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|e| format!("cannot start `{shown}`: {e}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{shown}` failed ({status})"))
    }
}

/// Runs a command and returns its standard output.
pub(crate) fn output(command: &mut Command) -> CommandResult<String> {
    let shown = show(command);
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot start `{shown}`: {e}"))?;
    if !done.status.success() {
        let stderr = String::from_utf8_lossy(&done.stderr);
        return Err(format!(
            "`{shown}` failed ({}): {}",
            done.status,
            stderr.trim()
        ));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Redirects both output streams of `command` to this file.
pub(crate) fn log_to(command: &mut Command, path: &Path) -> CommandResult {
    let fail = |e: std::io::Error| format!("{}: {e}", path.display());
    let file = File::create(path).map_err(fail)?;
    let other = file.try_clone().map_err(fail)?;
    command.stdin(Stdio::null()).stdout(file).stderr(other);
    Ok(())
}

/// Whether a program is in `PATH`.
pub(crate) fn exists(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// Returns a command for the cargo that runs this program.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsStr::new("cargo").to_owned()))
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|w| w.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
