//! `carryall prompt`: gets a prompt.

use super::{first, prompts};
use crate::args;
use crate::connection::{ConnectOptions, ConnectedServer};
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::input::AnswerOptions;
use crate::output::{OutputFormat, TITLE, render};
use crate::request;
use crate::suggest;
use carryall::types::{GetPromptResult, Prompt as Definition};
use std::collections::BTreeMap;

/// Get a prompt with its arguments filled in
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Arguments are written as for `carryall call`; they are always text.\n\nExample:\n  carryall prompt localhost:8080 greet name=Ann language=French",
    override_usage = "carryall prompt [OPTIONS] TARGET PROMPT [ARGUMENT]...\n       carryall prompt [OPTIONS] PROMPT [ARGUMENT]... -- COMMAND [ARG]..."
)]
pub(crate) struct PromptCommand {
    /// Server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Prompt and its arguments
    #[arg(value_name = "PROMPT [ARGUMENT]")]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) answers: AnswerOptions,
    /// Command that starts the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) options: ConnectOptions,
}

impl PromptCommand {
    pub(crate) async fn run(self) -> Result<ExitStatus, CliError> {
        let (target, mut words) = self
            .options
            .resolve(self.target, self.words, self.command)?;
        let name = first(
            &mut words,
            "PROMPT",
            "carryall prompt localhost:8080 greet name=Ann",
        )?;
        let arguments: BTreeMap<String, String> = args::as_strings(&words)?.into_iter().collect();
        let work = async |server: &ConnectedServer| {
            let all = prompts::all(server).await?;
            check(server, find(server, &all, &name)?, &arguments)?;
            let spinner = server.spinner(&format!("getting {name}"));
            let request = server
                .client
                .get_prompt(&name, &arguments)
                .with(server.progress_options(&spinner));
            let completed = request::complete(server, &spinner, &name, request, &self.answers);
            let result = spinner.during(completed).await?;
            match server.output.format {
                OutputFormat::Json => server.output.json(&result)?,
                OutputFormat::Human => server.output.print(&render(server, &result))?,
            }
            Ok(ExitStatus::Ok)
        };
        self.answers.connect(target, &self.options, work).await
    }
}

fn find<'a>(
    server: &ConnectedServer,
    prompts: &'a [Definition],
    name: &str,
) -> Result<&'a Definition, CliError> {
    prompts
        .iter()
        .find(|prompt| prompt.name == name)
        .ok_or_else(|| {
            let mut error =
                CliError::usage(format!("{}: there is no prompt {name:?}", server.label));
            error.hints.extend(suggest::did_you_mean(
                name,
                prompts.iter().map(|prompt| prompt.name.as_str()),
            ));
            error.hint("`carryall prompts` lists them")
        })
}

fn check(
    server: &ConnectedServer,
    prompt: &Definition,
    given: &BTreeMap<String, String>,
) -> Result<(), CliError> {
    let declared = prompt.arguments.as_deref().unwrap_or_default();
    let missing = declared
        .iter()
        .filter(|argument| argument.required == Some(true) && !given.contains_key(&argument.name));
    let rows: Vec<[String; 2]> = missing
        .map(|argument| {
            [
                argument.name.clone(),
                argument.description.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let unknown = given
        .keys()
        .filter(|name| !declared.iter().any(|argument| argument.name == **name));
    let hints = unknown.filter_map(|name| {
        let hint =
            suggest::did_you_mean(name, declared.iter().map(|argument| argument.name.as_str()))?;
        Some(format!("{name}: {hint}"))
    });
    if rows.is_empty() {
        for hint in hints {
            server.output.warn(&format!(
                "prompt {} has no such argument; {hint}",
                prompt.name
            ));
        }
        return Ok(());
    }
    let lines: Vec<String> = render::plain_table(rows)
        .lines()
        .map(|line| format!("  {line}"))
        .collect();
    let mut error = CliError::usage(format!(
        "{}: prompt {}: required arguments are missing:\n{}",
        server.label,
        prompt.name,
        lines.join("\n")
    ));
    error.hints.extend(hints);
    Err(error)
}

fn render(server: &ConnectedServer, result: &GetPromptResult) -> String {
    let messages = result.messages.iter().map(|message| {
        let role = server
            .output
            .paint(TITLE, &format!("{}:", render::role(message.role)));
        format!(
            "{role}\n{}",
            render::content(&server.output, std::slice::from_ref(&message.content))
        )
    });
    messages.collect::<Vec<_>>().join("\n\n")
}
