//! `carryall prompts`: lists prompts.

use super::{empty, no_more};
use crate::connection::{self, ConnectOptions, ConnectedServer};
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::output::{OutputFormat, render};
use carryall::types::{Prompt, PromptArgument};

/// List prompts
#[derive(Debug, clap::Args)]
pub(crate) struct PromptsCommand {
    /// Server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Command that starts the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) options: ConnectOptions,
}

impl PromptsCommand {
    pub(crate) async fn run(self) -> Result<ExitStatus, CliError> {
        let (target, words) = self
            .options
            .resolve(self.target, Vec::new(), self.command)?;
        no_more(&words)?;
        connection::with(
            target,
            &self.options,
            ExitStatus::Interrupted,
            async |server| {
                let prompts = all(server).await?;
                if prompts.is_empty() {
                    empty::explain(server, "prompts", |offers| offers.prompts.is_some()).await;
                }
                match server.output.format {
                    OutputFormat::Json => server
                        .output
                        .json(&serde_json::json!({ "prompts": prompts }))?,
                    OutputFormat::Human if prompts.is_empty() => {}
                    OutputFormat::Human => {
                        let rows = prompts.iter().map(|prompt| {
                            let about = prompt
                                .description
                                .as_ref()
                                .or(prompt.title.as_ref())
                                .cloned()
                                .unwrap_or_default();
                            [prompt.name.clone(), signature(prompt), about]
                        });
                        server.output.print(&render::table(
                            &server.output,
                            ["PROMPT", "ARGUMENTS", "DESCRIPTION"],
                            rows,
                        ))?;
                    }
                }
                Ok(ExitStatus::Ok)
            },
        )
        .await
    }
}

/// Returns all prompts; none if the server does not offer prompts.
pub(super) async fn all(server: &ConnectedServer) -> Result<Vec<Prompt>, CliError> {
    empty::if_not_offered(
        server,
        server.list(server.client.list_prompts(), "prompts").await,
    )
}

/// Returns `name [tone]`, with optional arguments in brackets.
fn signature(prompt: &Prompt) -> String {
    let word = |argument: &PromptArgument| {
        if argument.required == Some(true) {
            argument.name.clone()
        } else {
            format!("[{}]", argument.name)
        }
    };
    prompt
        .arguments
        .iter()
        .flatten()
        .map(word)
        .collect::<Vec<_>>()
        .join(" ")
}
