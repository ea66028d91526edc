//! A server that this command starts.

use crate::error::{CliError, TargetKind};
use crate::exit::ExitStatus;
use crate::output::{Output, text};
use crate::target::StdioCommand;
use carryall::proto::sync::Mutex;
use carryall::transport::stdio::ServerCommand;
use carryall::{DualEraOptions, DualEraStdio};
use std::collections::VecDeque;
use std::sync::Arc;

/// Number of lines of a server's standard error that are shown if it fails.
const STDERR_LINES: usize = 12;

/// A child process, and the last lines of its standard error.
pub(super) struct ChildServer {
    pub(super) client: DualEraStdio,
    stderr: Arc<Mutex<VecDeque<String>>>,
}

impl ChildServer {
    /// Starts the server. `env` are the values of `--env`.
    pub(super) async fn spawn(
        command: StdioCommand,
        env: &[String],
        options: DualEraOptions,
        output: Output,
    ) -> Result<Self, CliError> {
        let stderr = Arc::new(Mutex::new(VecDeque::new()));
        let (program, lines) = (command.program.clone(), Arc::clone(&stderr));
        let command = server_command(command, env)?;
        let label = format!("`{}`", command.program());
        let command = command.on_stderr(move |line| {
            if output.verbose {
                output.log("stderr", Some(&program), line);
            }
            if line.trim().is_empty() {
                return;
            }
            let mut lines = lines.lock();
            if lines.len() == STDERR_LINES {
                lines.pop_front();
            }
            lines.push_back(line.to_owned());
        });
        match DualEraStdio::spawn(command, options).await {
            Ok(client) => Ok(Self { client, stderr }),
            Err(error) => {
                let error = CliError::client(&label, TargetKind::Stdio, &error.into());
                Err(add_stderr(error, &stderr, output))
            }
        }
    }

    /// Adds the last lines of standard error, which usually state the reason, to an error.
    pub(super) fn explain(&self, error: CliError, output: Output) -> CliError {
        add_stderr(error, &self.stderr, output)
    }
}

fn server_command(command: StdioCommand, env: &[String]) -> Result<ServerCommand, CliError> {
    let mut server = ServerCommand::new(command.program).args(command.args);
    for (name, value) in command.env {
        server = server.env(name, value);
    }
    for variable in env {
        server = match variable.split_once('=') {
            Some((name, value)) => server.env(name, value),
            None => match std::env::var_os(variable) {
                Some(value) => server.env(variable, value),
                None => {
                    return Err(CliError::usage(format!(
                        "--env {variable}: the variable is not set in this environment"
                    )));
                }
            },
        };
    }
    Ok(match command.cwd {
        Some(directory) => server.current_dir(directory),
        None => server,
    })
}

fn add_stderr(mut error: CliError, stderr: &Mutex<VecDeque<String>>, output: Output) -> CliError {
    let lines = stderr.lock();
    let may_explain = matches!(error.status, ExitStatus::Unreachable | ExitStatus::Timeout);
    // With --verbose the lines were shown already.
    if may_explain && !output.verbose && !lines.is_empty() {
        let lines: Vec<String> = lines
            .iter()
            .map(|line| format!("    {}", text::one_line(line)))
            .collect();
        let hint = format!(
            "last lines of the server's standard error:\n{}",
            lines.join("\n")
        );
        error.hints.insert(0, hint);
    }
    error
}
