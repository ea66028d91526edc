//! The Inspector's spelling: `TARGET --method tools/call --tool-name x --tool-arg k=v`.
//!
//! It becomes one of our own commands, and behaves as that in everything.

use crate::answers::Answers;
use crate::cli::Command;
use crate::commands::{call, discover, prompt, prompts, read, resources, templates, tools};
use crate::connect::ServerOptions;
use crate::fail::Fail;
use crate::screen::{Output, OutputOptions};
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

/// The Inspector's options, those that mean something here.
#[derive(Debug, Parser)]
#[command(
    name = "carryall",
    override_usage = "carryall TARGET --method METHOD [OPTIONS]\n       carryall COMMAND [ARG]... --method METHOD [OPTIONS]"
)]
struct Inspector {
    /// The server: a TARGET, or a command and its arguments
    #[arg(value_name = "TARGET")]
    target: Vec<String>,
    /// Accepted and without effect: this is a command line already
    #[arg(long)]
    cli: bool,
    /// The method to call
    #[arg(long, value_parser = METHODS)]
    method: String,
    /// The tool to call
    #[arg(long, value_name = "NAME")]
    tool_name: Option<String>,
    /// Its arguments
    #[arg(long = "tool-arg", value_name = "KEY=VALUE", num_args = 1..)]
    tool_args: Vec<String>,
    /// The prompt to get
    #[arg(long, value_name = "NAME")]
    prompt_name: Option<String>,
    /// Its arguments
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    prompt_args: Vec<String>,
    /// The resource to read
    #[arg(long)]
    uri: Option<String>,
    /// The name of the server in an mcp.json
    #[arg(long = "server", value_name = "NAME")]
    name: Option<String>,
    /// Accepted where it fits: the target says how it is reached
    #[arg(long, value_parser = ["http", "stdio"])]
    transport: Option<String>,
    /// Accepted: this command speaks the modern era
    #[arg(long, value_parser = ["modern", "auto"])]
    protocol_era: Option<String>,
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    answers: Answers,
    /// A command to start as the server
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Whether a command line is written in this spelling.
pub(crate) fn is_meant(words: &[OsString]) -> bool {
    let ours = words.iter().skip(1).take_while(|word| *word != "--");
    let mut ours = ours.filter_map(|word| word.to_str());
    ours.any(|word| word == "--method" || word.starts_with("--method="))
}

/// Our own command that it means; ends the process when it means none.
pub(crate) fn parse(words: Vec<OsString>) -> Command {
    let inspector = Inspector::parse_from(words);
    let screen = inspector.server.screen;
    match translate(inspector) {
        Ok(command) => command,
        Err(fail) => refuse(screen, &fail),
    }
}

fn refuse(screen: OutputOptions, fail: &Fail) -> ! {
    Output::new(screen).fail(fail);
    std::process::exit(fail.exit as i32)
}

/// For tests of the definition.
#[cfg(test)]
pub(crate) fn command() -> clap::Command {
    <Inspector as clap::CommandFactory>::command()
}

fn translate(inspector: Inspector) -> Result<Command, Fail> {
    let (target, command) = place(inspector.target, inspector.name, inspector.command)?;
    let needs = |value: Option<String>, option: &str| {
        value.ok_or_else(|| Fail::usage(format!("--method {} needs {option}", inspector.method)))
    };
    let (server, answers) = (inspector.server, inspector.answers);
    // With a command at the end the first word after it is no TARGET but belongs to our command.
    let shifted = |mut words: Vec<String>| match &target {
        Some(target) => (Some(target.clone()), words),
        None if words.is_empty() => (None, words),
        None => (Some(words.remove(0)), words),
    };
    Ok(match inspector.method.as_str() {
        "server/discover" => Command::Discover(discover::Discover {
            target,
            command,
            server,
        }),
        "tools/list" => Command::Tools(tools::Tools {
            target,
            names: Vec::new(),
            command,
            server,
        }),
        "prompts/list" => Command::Prompts(prompts::Prompts {
            target,
            command,
            server,
        }),
        "resources/list" => Command::Resources(resources::Resources {
            target,
            command,
            server,
        }),
        "resources/templates/list" => Command::Templates(templates::Templates {
            target,
            command,
            server,
        }),
        "tools/call" => {
            let name = needs(inspector.tool_name, "--tool-name NAME")?;
            let (target, words) = shifted([vec![name], inspector.tool_args].concat());
            Command::Call(call::Call {
                target,
                words,
                no_wait: false,
                answers,
                command,
                server,
            })
        }
        "prompts/get" => {
            let name = needs(inspector.prompt_name, "--prompt-name NAME")?;
            let (target, words) = shifted([vec![name], inspector.prompt_args].concat());
            Command::Prompt(prompt::Prompt {
                target,
                words,
                answers,
                command,
                server,
            })
        }
        _ => {
            let (target, words) = shifted(vec![needs(inspector.uri, "--uri URI")?]);
            Command::Read(read::Read {
                target,
                words,
                output: None,
                answers,
                command,
                server,
            })
        }
    })
}

/// TARGET, or the command to start: several words are a command, as is what follows `--`.
fn place(
    mut words: Vec<String>,
    name: Option<String>,
    command: Vec<String>,
) -> Result<(Option<String>, Vec<String>), Fail> {
    let given = usize::from(!words.is_empty())
        + usize::from(name.is_some())
        + usize::from(!command.is_empty());
    match given {
        0 => Err(Fail::usage("no server was given")
            .hint("write a TARGET in front of --method, or --server NAME")),
        1 if words.len() > 1 => Ok((None, words)),
        1 => Ok((words.pop().or(name), command)),
        _ => Err(Fail::usage("more than one server was given")
            .hint("use one of TARGET, --server NAME and a command after `--`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> Result<Command, Fail> {
        let words = std::iter::once("carryall").chain(line.split_whitespace());
        translate(Inspector::try_parse_from(words).unwrap())
    }

    #[test]
    fn the_spelling_is_recognised_by_its_method() {
        let meant = |line: &str| is_meant(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(
            meant("carryall http://x/ --method tools/list")
                && meant("carryall --method=tools/list x")
        );
        assert!(
            !meant("carryall tools -- server --method x") && !meant("carryall call x --methods")
        );
    }

    #[test]
    fn a_call_becomes_our_own() {
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
    fn what_a_method_needs_is_asked_for() {
        for (line, option) in [
            ("tools/call", "--tool-name"),
            ("prompts/get", "--prompt-name"),
            ("resources/read", "--uri"),
        ] {
            let fail = translated(&format!("http://x/ --method {line}")).unwrap_err();
            assert!(fail.what.contains(option), "{fail}");
        }
    }
}
