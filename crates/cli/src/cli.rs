//! The command line.

use crate::commands;
use crate::demo::Demo;
use crate::fail::Fail;
use crate::inspector;
use crate::near;
use crate::screen::OutputOptions;
use crate::up::Up;
use clap::{CommandFactory as _, Parser, Subcommand};
use std::ffi::OsString;

const AFTER_HELP: &str = "\
TARGET is one of
  http://localhost:8080/mcp     a URL; localhost:8080 is understood too
  github                        a name from a configuration file: --config FILE,
                                or else ~/.config/carryall/mcp.json,
                                ~/.cursor/mcp.json, Claude Desktop's; then, once
                                approved (carryall trust), ./.mcp.json, ./mcp.json,
                                ./.vscode/mcp.json, ./.cursor/mcp.json
  stdio:'npx server --flag'     a command to start, in one word
  unix:/run/server.sock         a Unix socket
or left out, with a command at the end: carryall tools -- npx server --flag

The Inspector's spelling works as well:
  carryall TARGET --method tools/call --tool-name add --tool-arg a=2 b=3

Exit codes:
  0  it worked                               5  no answer in time
  1  the tool failed (isError)               6  the server asks for input
  2  the command line is wrong               7  something on this machine failed
  3  the server cannot be reached            130  interrupted
  4  the server answered with an error";

/// Stateless MCP: talk to servers, run them, put an edge in front of them.
///
/// Results go to standard output, everything else to standard error. On a terminal results are made
/// for people; anywhere else, and with --format json, they are JSON.
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

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(Up),
    Demo(Demo),
    Discover(commands::discover::Discover),
    Tools(commands::tools::Tools),
    Call(commands::call::Call),
    Tasks(commands::tasks::Tasks),
    Prompts(commands::prompts::Prompts),
    Prompt(commands::prompt::Prompt),
    Resources(commands::resources::Resources),
    Templates(commands::templates::Templates),
    Read(commands::read::Read),
    Complete(commands::complete::Complete),
    Listen(commands::listen::Listen),
    Trust(commands::trust::Trust),
    Cache(commands::cache::Cache),
    Completions(commands::completions::Completions),
}

impl Command {
    /// How this command prints.
    fn screen(&self) -> OutputOptions {
        match self {
            Self::Discover(command) => command.server.screen,
            Self::Tools(command) => command.server.screen,
            Self::Call(command) => command.server.screen,
            Self::Tasks(command) => command.screen(),
            Self::Prompts(command) => command.server.screen,
            Self::Prompt(command) => command.server.screen,
            Self::Resources(command) => command.server.screen,
            Self::Templates(command) => command.server.screen,
            Self::Read(command) => command.server.screen,
            Self::Complete(command) => command.server.screen,
            Self::Listen(command) => command.server.screen,
            Self::Trust(command) => command.screen,
            Self::Cache(command) => command.screen(),
            Self::Up(_) | Self::Demo(_) | Self::Completions(_) => OutputOptions::default(),
        }
    }
}

/// A command line, understood.
pub(crate) struct Invocation {
    pub(crate) command: Command,
    pub(crate) screen: OutputOptions,
}

/// Parses the command line of this process; ends the process when there is nothing to run.
pub(crate) fn parse() -> Invocation {
    let words: Vec<OsString> = std::env::args_os().collect();
    let command = if inspector::is_meant(&words) {
        inspector::parse(words)
    } else {
        match Cli::try_parse_from(&words) {
            Ok(cli) => cli.command,
            Err(error) => refuse(&words, &error),
        }
    };
    Invocation {
        screen: command.screen(),
        command,
    }
}

/// Ends the process with what clap has to say, or with something better.
fn refuse(words: &[OsString], error: &clap::Error) -> ! {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    if error.kind() == ErrorKind::InvalidSubcommand
        && let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidSubcommand)
    {
        let fail = no_such_command(words, wrong);
        crate::screen::Output::new(OutputOptions::default()).fail(&fail);
        std::process::exit(fail.exit as i32)
    }
    error.exit()
}

/// What to say about a word that is no command: of carryall itself, or of the command that stands
/// before it.
fn no_such_command(words: &[OsString], wrong: &str) -> Fail {
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
    let mut fail = Fail::usage(match group {
        Some(_) => format!(
            "`{full}` has no command {wrong:?}; it has {}",
            names.join(", ")
        ),
        None => format!("there is no command {wrong:?}"),
    });
    if group.is_none() && looks_like_target(wrong) {
        fail = fail.hint(format!(
            "to see what the server has: carryall tools {wrong}"
        ));
    }
    fail.hints
        .extend(near::did_you_mean(wrong, names.iter().copied()));
    if full == "carryall tasks" {
        fail =
            fail.hint("a server does not list its tasks: `carryall call --no-wait` prints the ID of the one it begins");
    }
    fail.hint(format!("`{full} --help` lists the commands"))
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
