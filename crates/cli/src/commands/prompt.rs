//! `carryall prompt`: gets a prompt, filled in.

use super::{first, prompts};
use crate::answers::Answers;
use crate::args;
use crate::connect::{self, Server, ServerOptions};
use crate::fail::{Exit, Fail};
use crate::near;
use crate::render;
use crate::rounds;
use crate::screen::{Format, TITLE};
use carryall::types::{GetPromptResult, Prompt as Definition};
use std::collections::BTreeMap;

/// Get a prompt, filled in
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Arguments are written as for `carryall call`; they are always text.\n\nExample:\n  carryall prompt localhost:8080 greet name=Ann language=French",
    override_usage = "carryall prompt [OPTIONS] TARGET PROMPT [ARGUMENT]...\n       carryall prompt [OPTIONS] PROMPT [ARGUMENT]... -- COMMAND [ARG]..."
)]
pub(crate) struct Prompt {
    /// The server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// The prompt and its arguments
    #[arg(value_name = "PROMPT [ARGUMENT]")]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) answers: Answers,
    /// A command to start as the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

impl Prompt {
    pub(crate) async fn run(self) -> Result<Exit, Fail> {
        let (target, mut words) = self.server.split(self.target, self.words, self.command)?;
        let name = first(
            &mut words,
            "PROMPT",
            "carryall prompt localhost:8080 greet name=Ann",
        )?;
        let arguments: BTreeMap<String, String> = args::as_strings(&words)?.into_iter().collect();
        connect::answering(
            target,
            &self.server,
            &self.answers,
            Exit::Interrupted,
            async |server| {
                let all = prompts::all(server).await?;
                check(server, named(server, &all, &name)?, &arguments)?;
                let busy = server.busy(&format!("getting {name}"));
                let request = server
                    .client
                    .get_prompt(&name, &arguments)
                    .with(server.patient_options(&busy));
                let result = busy
                    .during(rounds::complete(
                        server,
                        &busy,
                        &name,
                        request,
                        &self.answers,
                    ))
                    .await?;
                match server.screen.format {
                    Format::Json => server.screen.json(&result)?,
                    Format::Human => server.screen.print(&shown(server, &result))?,
                }
                Ok(Exit::Ok)
            },
        )
        .await
    }
}

fn named<'a>(
    server: &Server,
    prompts: &'a [Definition],
    name: &str,
) -> Result<&'a Definition, Fail> {
    prompts
        .iter()
        .find(|prompt| prompt.name == name)
        .ok_or_else(|| {
            let mut fail = Fail::usage(format!("{}: there is no prompt {name:?}", server.place));
            fail.hints.extend(near::did_you_mean(
                name,
                prompts.iter().map(|prompt| prompt.name.as_str()),
            ));
            fail.hint("`carryall prompts` lists them")
        })
}

fn check(
    server: &Server,
    prompt: &Definition,
    given: &BTreeMap<String, String>,
) -> Result<(), Fail> {
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
    let strangers = given
        .keys()
        .filter(|name| !declared.iter().any(|argument| argument.name == **name));
    let hints = strangers.filter_map(|stranger| {
        let hint = near::did_you_mean(
            stranger,
            declared.iter().map(|argument| argument.name.as_str()),
        )?;
        Some(format!("{stranger}: {hint}"))
    });
    if rows.is_empty() {
        for hint in hints {
            server.screen.warn(&format!(
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
    let mut fail = Fail::usage(format!(
        "{}: prompt {}: required arguments are missing:\n{}",
        server.place,
        prompt.name,
        lines.join("\n")
    ));
    fail.hints.extend(hints);
    Err(fail)
}

fn shown(server: &Server, result: &GetPromptResult) -> String {
    let messages = result.messages.iter().map(|message| {
        let role = server
            .screen
            .paint(TITLE, &format!("{}:", render::role(message.role)));
        format!(
            "{role}\n{}",
            render::content(&server.screen, std::slice::from_ref(&message.content))
        )
    });
    messages.collect::<Vec<_>>().join("\n\n")
}
