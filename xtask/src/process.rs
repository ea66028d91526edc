//! Child processes that cannot outlive their welcome.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::CommandResult;

/// A child in a process group of its own; the whole group is gone when this is dropped.
pub(crate) struct ProcessGroup(Child);

impl ProcessGroup {
    pub(crate) fn spawn(command: &mut Command) -> CommandResult<Self> {
        let shown = show(command);
        let child = command
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cannot start `{shown}`: {e}"))?;
        Ok(Self(child))
    }

    /// The process id of the child.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// `None` while it runs, else whether it succeeded.
    pub(crate) fn ended(&mut self) -> Option<bool> {
        match self.0.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.success()),
            Err(_) => Some(false),
        }
    }

    /// Waits for the end, at most `limit`; `None` means that it ran out of time.
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

    /// Sends the child a signal by its name: `INT`, `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let signal = format!("-{name}");
        let _ = Command::new("kill")
            .args([&signal, &self.0.id().to_string()])
            .stderr(Stdio::null())
            .status();
    }

    /// Asks the group to end, and says whether it did so in good order within `limit`.
    pub(crate) fn end(mut self, limit: Duration) -> bool {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill")
            .args(["-TERM", "--", &group])
            .stderr(Stdio::null())
            .status();
        self.wait(limit) == Some(true)
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // Grandchildren may still be there when the child itself has ended, so the group is always
        // told.
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command to its end with its output shown; an error when it fails.
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

/// Runs a command to its end and returns its standard output.
pub(crate) fn output(command: &mut Command) -> CommandResult<String> {
    let shown = show(command);
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot start `{shown}`: {e}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(format!(
            "`{shown}` failed ({}): {}",
            done.status,
            said.trim()
        ));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Both output streams of `command` go to this file.
pub(crate) fn log_to(command: &mut Command, path: &Path) -> CommandResult {
    let fail = |e: std::io::Error| format!("{}: {e}", path.display());
    let file = File::create(path).map_err(fail)?;
    let other = file.try_clone().map_err(fail)?;
    command.stdin(Stdio::null()).stdout(file).stderr(other);
    Ok(())
}

/// Whether a program is there to be run.
pub(crate) fn exists(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// The cargo that runs us.
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
