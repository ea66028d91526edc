//! The `carryall` binary: one file per command.

mod again;
mod allow;
mod answers;
mod args;
mod ask;
mod busy;
mod cli;
mod commands;
mod connect;
mod demo;
mod duration;
mod era;
mod fail;
mod follow;
mod inputs;
mod inspector;
mod jsonc;
mod mcp_json;
mod near;
mod notes;
mod render;
mod replica;
mod rounds;
mod screen;
mod stop;
mod target;
mod text;
mod trust;
mod up;
mod words;

use cli::Command;
use fail::{Exit, Fail};
use screen::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    let invocation = cli::parse();
    match run(invocation.command) {
        Ok(exit) => exit.into(),
        Err(fail) => {
            Output::new(invocation.screen).fail(&fail);
            fail.exit.into()
        }
    }
}

fn run(command: Command) -> Result<Exit, Fail> {
    // A server has many calls to answer; a command has one to make.
    let mut runtime = match command {
        Command::Up(_) | Command::Demo(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build();
    let runtime =
        runtime.map_err(|error| Fail::new(Exit::Local, format!("cannot start: {error}")))?;
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
            Command::Completions(command) => command.run(),
        }
    })
}
