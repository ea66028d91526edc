//! The syntax of the MCP Inspector: `TARGET --method tools/call --tool-name x --tool-arg k=v`. It
//! is translated to one of our own commands.

use super::Command;
use crate::commands::{call, discover, prompt, prompts, read, resources, templates, tools};
use crate::connection::ConnectOptions;
use crate::error::CliError;
use crate::input::AnswerOptions;
use crate::output::Output;
use clap::Parser;
use std::ffi::OsString;

const METHODS: [&str; 8] = [
    "server/discover",
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/read",
    "resources/templates/list",
];

/// The options of the Inspector that have a meaning here.
#[derive(Debug, Parser)]
#[command(
    name = "carryall",
    override_usage = "carryall TARGET --method METHOD [OPTIONS]\n       carryall COMMAND [ARG]... --method METHOD [OPTIONS]"
)]
struct Inspector {
    /// Server: a TARGET, or a command and its arguments
    #[arg(value_name = "TARGET")]
    target: Vec<String>,
    /// Accepted without effect
    #[arg(long)]
    cli: bool,
    /// Method to call
    #[arg(long, value_parser = METHODS)]
    method: String,
    /// Tool to call
    #[arg(long, value_name = "NAME")]
    tool_name: Option<String>,
    /// Its arguments
    #[arg(long = "tool-arg", value_name = "KEY=VALUE", num_args = 1..)]
    tool_args: Vec<String>,
    /// Prompt to get
    #[arg(long, value_name = "NAME")]
    prompt_name: Option<String>,
    /// Its arguments
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    prompt_args: Vec<String>,
    /// Resource to read
    #[arg(long)]
    uri: Option<String>,
    /// Name of the server in an mcp.json
    #[arg(long = "server", value_name = "NAME")]
    name: Option<String>,
    /// Accepted without effect: the transport follows from the target
    #[arg(long, value_parser = ["http", "stdio"])]
    transport: Option<String>,
    /// Accepted without effect: use --era
    #[arg(long, value_parser = ["modern", "auto"])]
    protocol_era: Option<String>,
    /// Command that starts the server
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    answers: AnswerOptions,
    #[command(flatten)]
    options: ConnectOptions,
}

/// Whether a command line uses this syntax.
pub(super) fn matches(words: &[OsString]) -> bool {
    let ours = words.iter().skip(1).take_while(|word| *word != "--");
    let mut ours = ours.filter_map(|word| word.to_str());
    ours.any(|word| word == "--method" || word.starts_with("--method="))
}

/// Parses and translates a command line. Exits with an error if it is invalid.
pub(super) fn parse(words: Vec<OsString>) -> Command {
    let inspector = Inspector::parse_from(words);
    let output = inspector.options.output;
    match translate(inspector) {
        Ok(command) => command,
        Err(error) => {
            Output::new(output).error(&error);
            std::process::exit(error.status as i32)
        }
    }
}

/// For tests of the definition.
#[cfg(test)]
pub(super) fn command() -> clap::Command {
    <Inspector as clap::CommandFactory>::command()
}

fn translate(inspector: Inspector) -> Result<Command, CliError> {
    let (target, command) = server(inspector.target, inspector.name, inspector.command)?;
    let needs = |value: Option<String>, option: &str| {
        value
            .ok_or_else(|| CliError::usage(format!("--method {} needs {option}", inspector.method)))
    };
    let (options, answers) = (inspector.options, inspector.answers);
    // With a command at the end, our commands take their first argument in place of TARGET.
    let shifted = |mut words: Vec<String>| match &target {
        Some(target) => (Some(target.clone()), words),
        None if words.is_empty() => (None, words),
        None => (Some(words.remove(0)), words),
    };
    Ok(match inspector.method.as_str() {
        "server/discover" => Command::Discover(discover::DiscoverCommand {
            target,
            command,
            options,
        }),
        "tools/list" => Command::Tools(tools::ToolsCommand {
            target,
            names: Vec::new(),
            command,
            options,
        }),
        "prompts/list" => Command::Prompts(prompts::PromptsCommand {
            target,
            command,
            options,
        }),
        "resources/list" => Command::Resources(resources::ResourcesCommand {
            target,
            command,
            options,
        }),
        "resources/templates/list" => Command::Templates(templates::TemplatesCommand {
            target,
            command,
            options,
        }),
        "tools/call" => {
            let name = needs(inspector.tool_name, "--tool-name NAME")?;
            let (target, words) = shifted([vec![name], inspector.tool_args].concat());
            Command::Call(call::CallCommand {
                target,
                words,
                no_wait: false,
                answers,
                command,
                options,
            })
        }
        "prompts/get" => {
            let name = needs(inspector.prompt_name, "--prompt-name NAME")?;
            let (target, words) = shifted([vec![name], inspector.prompt_args].concat());
            Command::Prompt(prompt::PromptCommand {
                target,
                words,
                answers,
                command,
                options,
            })
        }
        _ => {
            let (target, words) = shifted(vec![needs(inspector.uri, "--uri URI")?]);
            Command::Read(read::ReadCommand {
                target,
                words,
                output: None,
                answers,
                command,
                options,
            })
        }
    })
}

/// Returns TARGET or the command to start. Several words are a command, as are those after `--`.
fn server(
    mut words: Vec<String>,
    name: Option<String>,
    command: Vec<String>,
) -> Result<(Option<String>, Vec<String>), CliError> {
    let given = usize::from(!words.is_empty())
        + usize::from(name.is_some())
        + usize::from(!command.is_empty());
    match given {
        0 => Err(CliError::usage("no server was given")
            .hint("write a TARGET before --method, or --server NAME")),
        1 if words.len() > 1 => Ok((None, words)),
        1 => Ok((words.pop().or(name), command)),
        _ => Err(CliError::usage("more than one server was given")
            .hint("use one of TARGET, --server NAME and a command after `--`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> Result<Command, CliError> {
        let words = std::iter::once("carryall").chain(line.split_whitespace());
        translate(Inspector::try_parse_from(words).unwrap())
    }

    #[test]
    fn the_syntax_is_recognised_by_its_method() {
        let recognised =
            |line: &str| matches(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(
            recognised("carryall http://x/ --method tools/list")
                && recognised("carryall --method=tools/list x")
        );
        assert!(
            !recognised("carryall tools -- server --method x")
                && !recognised("carryall call x --methods")
        );
    }

    #[test]
    fn a_call_is_translated() {
        let line = "--cli http://h/mcp --method tools/call --tool-name add --tool-arg a=2 b=3 --tool-arg c=4 --transport http";
        let Ok(Command::Call(call)) = translated(line) else {
            panic!()
        };
        assert_eq!(
            (call.target.as_deref(), call.words.join(" ")),
            (Some("http://h/mcp"), "add a=2 b=3 c=4".into())
        );
    }

    #[test]
    fn several_words_are_a_command() {
        let Ok(Command::Read(read)) =
            translated("node server.js --method resources/read --uri x:y")
        else {
            panic!()
        };
        assert_eq!(read.command, ["node", "server.js"]);
        assert_eq!((read.target.as_deref(), read.words.len()), (Some("x:y"), 0));
        let Ok(Command::Prompt(prompt)) =
            translated("--method prompts/get --prompt-name p --prompt-args a=1 -- node s.js")
        else {
            panic!()
        };
        assert_eq!(
            (prompt.target.as_deref(), prompt.words, prompt.command.len()),
            (Some("p"), vec!["a=1".into()], 2)
        );
    }

    #[test]
    fn a_server_is_named_once() {
        let Ok(Command::Tools(tools)) = translated("--server github --method tools/list") else {
            panic!()
        };
        assert_eq!(tools.target.as_deref(), Some("github"));
        for line in [
            "--method tools/list",
            "http://x/ --server y --method tools/list",
            "x --method tools/list -- y",
        ] {
            assert!(translated(line).is_err(), "{line}");
        }
    }

    #[test]
    fn missing_options_of_a_method_are_reported() {
        for (line, option) in [
            ("tools/call", "--tool-name"),
            ("prompts/get", "--prompt-name"),
            ("resources/read", "--uri"),
        ] {
            let error = translated(&format!("http://x/ --method {line}")).unwrap_err();
            assert!(error.message.contains(option), "{error}");
        }
    }
}
