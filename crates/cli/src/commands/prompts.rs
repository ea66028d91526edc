//! `carryall prompts`: what a server's prompts are.

use super::{no_more, nothing};
use crate::connect::{self, Server, ServerOptions};
use crate::fail::{Exit, Fail};
use crate::render;
use crate::screen::Format;
use carryall::types::{Prompt, PromptArgument};

/// List prompts
#[derive(Debug, clap::Args)]
pub(crate) struct Prompts {
    /// The server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// A command to start as the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

impl Prompts {
    pub(crate) async fn run(self) -> Result<Exit, Fail> {
        let (target, words) = self.server.split(self.target, Vec::new(), self.command)?;
        no_more(&words)?;
        connect::with(target, &self.server, Exit::Interrupted, async |server| {
            let prompts = all(server).await?;
            if prompts.is_empty() {
                nothing::explain(server, "prompts", |offers| offers.prompts.is_some()).await;
            }
            match server.screen.format {
                Format::Json => server
                    .screen
                    .json(&serde_json::json!({ "prompts": prompts }))?,
                Format::Human if prompts.is_empty() => {}
                Format::Human => {
                    let rows = prompts.iter().map(|prompt| {
                        let about = prompt
                            .description
                            .as_ref()
                            .or(prompt.title.as_ref())
                            .cloned()
                            .unwrap_or_default();
                        [prompt.name.clone(), signature(prompt), about]
                    });
                    server.screen.print(&render::table(
                        &server.screen,
                        ["PROMPT", "ARGUMENTS", "DESCRIPTION"],
                        rows,
                    ))?;
                }
            }
            Ok(Exit::Ok)
        })
        .await
    }
}

/// All prompts; none when the server does not have such things.
pub(super) async fn all(server: &Server) -> Result<Vec<Prompt>, Fail> {
    nothing::where_not_offered(
        server,
        server.list(server.client.list_prompts(), "prompts").await,
    )
}

/// `name [tone]`: optional arguments in brackets.
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
