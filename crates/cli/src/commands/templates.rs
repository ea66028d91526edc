//! `carryall templates`: what a server's resource templates are.

use super::{no_more, nothing};
use crate::connect::{self, ServerOptions};
use crate::fail::{Exit, Fail};
use crate::render;
use crate::screen::Format;

/// List resource templates
#[derive(Debug, clap::Args)]
pub(crate) struct Templates {
    /// The server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// A command to start as the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

impl Templates {
    pub(crate) async fn run(self) -> Result<Exit, Fail> {
        let (target, words) = self.server.split(self.target, Vec::new(), self.command)?;
        no_more(&words)?;
        connect::with(target, &self.server, Exit::Interrupted, async |server| {
            let templates = nothing::where_not_offered(
                server,
                server
                    .list(
                        server.client.list_resource_templates(),
                        "resource templates",
                    )
                    .await,
            )?;
            if templates.is_empty() {
                nothing::explain(server, "resource templates", |offers| {
                    offers.resources.is_some()
                })
                .await;
            }
            match server.screen.format {
                Format::Json => server
                    .screen
                    .json(&serde_json::json!({ "resourceTemplates": templates }))?,
                Format::Human if templates.is_empty() => {}
                Format::Human => {
                    let rows = templates.into_iter().map(|template| {
                        let about = template
                            .description
                            .or(template.title)
                            .unwrap_or(template.name);
                        [
                            template.uri_template,
                            template.mime_type.unwrap_or_default(),
                            about,
                        ]
                    });
                    server.screen.print(&render::table(
                        &server.screen,
                        ["TEMPLATE", "TYPE", "DESCRIPTION"],
                        rows,
                    ))?;
                }
            }
            Ok(Exit::Ok)
        })
        .await
    }
}
