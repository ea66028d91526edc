//! The `carryall` binary.

mod allow;
mod args;
mod cli;
mod commands;
mod config;
mod connection;
mod demo;
mod duration;
mod elicitation;
mod era;
mod error;
mod exit;
mod input;
mod output;
mod replica;
mod request;
mod shell;
mod signals;
mod suggest;
mod target;
mod task;
mod terminal_modes;
mod up;

use clap::CommandFactory as _;
use cli::{Cli, Command};
use error::CliError;
use exit::ExitStatus;
use output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    let invocation = cli::parse();
    match run(invocation.command) {
        Ok(status) => status.into(),
        Err(error) => {
            Output::new(invocation.output).error(&error);
            error.status.into()
        }
    }
}

fn run(command: Command) -> Result<ExitStatus, CliError> {
    // Servers handle many calls at once; other commands make one.
    let mut runtime = match command {
        Command::Up(_) | Command::Demo(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|error| CliError::local(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(async {
        match command {
            Command::Up(up) => up::run(up).await,
            Command::Demo(demo) => demo::run(demo).await,
            Command::Discover(command) => command.run().await,
            Command::Tools(command) => command.run().await,
            Command::Prompts(command) => command.run().await,
            Command::Resources(command) => command.run().await,
            Command::Templates(command) => command.run().await,
            Command::Call(command) => command.run().await,
            Command::Tasks(command) => command.run().await,
            Command::Read(command) => command.run().await,
            Command::Prompt(command) => command.run().await,
            Command::Complete(command) => command.run().await,
            Command::Listen(command) => command.run().await,
            Command::Cache(command) => command.run(),
            Command::Trust(command) => command.run(),
            Command::Completions(command) => command.run(Cli::command()),
        }
    })
}
