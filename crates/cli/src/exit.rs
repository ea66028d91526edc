//! The exit codes of the binary.

use std::process::ExitCode;

/// Exit codes. `carryall --help` and `docs/cli.md` list them; scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// The command succeeded.
    Ok = 0,
    /// The tool was called and failed (`isError`).
    ToolFailed = 1,
    /// The command line is wrong: unknown names, missing arguments, unreadable files.
    Usage = 2,
    /// The server cannot be reached, or the connection broke.
    Unreachable = 3,
    /// The server answered with an error, or with something that is not MCP.
    Refused = 4,
    /// No answer within the timeout.
    Timeout = 5,
    /// The server asks for input that was not given.
    InputRequired = 6,
    /// Something failed on this machine: an address in use, output that cannot be written.
    Local = 7,
    /// Ctrl-C or SIGTERM.
    Interrupted = 130,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}
