//! The command line.

mod inspector;

use crate::commands;
use crate::demo::DemoCommand;
use crate::error::CliError;
use crate::output::{Output, OutputOptions};
use crate::suggest;
use crate::up::UpCommand;
use clap::{CommandFactory as _, Parser, Subcommand};
use std::ffi::OsString;

const AFTER_HELP: &str = "\
TARGET is one of
  http://localhost:8080/mcp     a URL; localhost:8080 is short for it
  github                        a name in a configuration file: the file of --config,
                                otherwise ~/.config/carryall/mcp.json,
                                ~/.cursor/mcp.json, Claude Desktop's; then, once
                                approved (carryall trust), ./.mcp.json, ./mcp.json,
                                ./.vscode/mcp.json, ./.cursor/mcp.json
  stdio:'npx server --flag'     a command to start, as one word
  unix:/run/server.sock         a Unix socket
It can be left out if a command is given at the end:
  carryall tools -- npx server --flag

The syntax of the MCP Inspector is accepted too:
  carryall TARGET --method tools/call --tool-name add --tool-arg a=2 b=3

Exit codes:
  0  success                                5  timeout
  1  the tool failed (isError)              6  the server asks for input
  2  wrong command line                     7  failure on this machine
  3  server unreachable                     130  interrupted
  4  the server answered with an error";

/// Stateless MCP: talk to servers, and run a gateway in front of them.
///
/// Results go to standard output, everything else to standard error. On a terminal, results are
/// text for people; elsewhere, and with --format json, they are JSON.
#[derive(Debug, Parser)]
#[command(name = "carryall", version, arg_required_else_help = true, after_long_help = AFTER_HELP, after_help = AFTER_HELP)]
#[command(
    subcommand_required = true,
    disable_help_subcommand = true,
    max_term_width = 110
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(UpCommand),
    Demo(DemoCommand),
    Discover(commands::discover::DiscoverCommand),
    Tools(commands::tools::ToolsCommand),
    Call(commands::call::CallCommand),
    Tasks(commands::tasks::TasksCommand),
    Prompts(commands::prompts::PromptsCommand),
    Prompt(commands::prompt::PromptCommand),
    Resources(commands::resources::ResourcesCommand),
    Templates(commands::templates::TemplatesCommand),
    Read(commands::read::ReadCommand),
    Complete(commands::complete::CompleteCommand),
    Listen(commands::listen::ListenCommand),
    Trust(commands::trust::TrustCommand),
    Cache(commands::cache::CacheCommand),
    Completions(commands::completions::CompletionsCommand),
}

impl Command {
    /// Returns the output options of the command.
    fn output(&self) -> OutputOptions {
        match self {
            Self::Discover(command) => command.options.output,
            Self::Tools(command) => command.options.output,
            Self::Call(command) => command.options.output,
            Self::Tasks(command) => command.output(),
            Self::Prompts(command) => command.options.output,
            Self::Prompt(command) => command.options.output,
            Self::Resources(command) => command.options.output,
            Self::Templates(command) => command.options.output,
            Self::Read(command) => command.options.output,
            Self::Complete(command) => command.options.output,
            Self::Listen(command) => command.options.output,
            Self::Trust(command) => command.output,
            Self::Cache(command) => command.output(),
            Self::Up(_) | Self::Demo(_) | Self::Completions(_) => OutputOptions::default(),
        }
    }
}

/// A parsed command line.
pub(crate) struct Invocation {
    pub(crate) command: Command,
    pub(crate) output: OutputOptions,
}

/// Parses the command line of this process. Exits with help or an error if there is no command to
/// run.
pub(crate) fn parse() -> Invocation {
    let words: Vec<OsString> = std::env::args_os().collect();
    let command = if inspector::matches(&words) {
        inspector::parse(words)
    } else {
        match Cli::try_parse_from(&words) {
            Ok(cli) => cli.command,
            Err(error) => exit_with(&words, &error),
        }
    };
    Invocation {
        output: command.output(),
        command,
    }
}

/// Exits with the message of clap, or for an unknown command with a more helpful one.
fn exit_with(words: &[OsString], error: &clap::Error) -> ! {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    if error.kind() == ErrorKind::InvalidSubcommand
        && let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidSubcommand)
    {
        let error = unknown_command(words, wrong);
        Output::new(OutputOptions::default()).error(&error);
        std::process::exit(error.status as i32)
    }
    error.exit()
}

/// Returns the error for an unknown command, or for an unknown subcommand of `words[1]`.
fn unknown_command(words: &[OsString], wrong: &str) -> CliError {
    let root = Cli::command();
    let group = words
        .get(1)
        .and_then(|word| root.find_subcommand(word))
        .filter(|group| group.has_subcommands());
    let (parent, full) = match group {
        Some(group) => (group, format!("carryall {}", group.get_name())),
        None => (&root, "carryall".to_owned()),
    };
    let names: Vec<&str> = parent
        .get_subcommands()
        .map(clap::Command::get_name)
        .collect();
    let mut error = CliError::usage(match group {
        Some(_) => format!(
            "`{full}` has no command {wrong:?}; its commands are {}",
            names.join(", ")
        ),
        None => format!("there is no command {wrong:?}"),
    });
    if group.is_none() && looks_like_target(wrong) {
        error = error.hint(format!(
            "to list the tools of this server: carryall tools {wrong}"
        ));
    }
    error
        .hints
        .extend(suggest::did_you_mean(wrong, names.iter().copied()));
    if full == "carryall tasks" {
        error = error.hint(
            "servers do not list tasks: `carryall call --no-wait` prints the ID of the task that it starts",
        );
    }
    error.hint(format!("`{full} --help` lists the commands"))
}

fn looks_like_target(word: &str) -> bool {
    word.contains("://")
        || word.starts_with("stdio:")
        || word.starts_with("unix:")
        || word.starts_with("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        inspector::command().debug_assert();
    }
}
