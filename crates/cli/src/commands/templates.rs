//! `carryall templates`: lists resource templates.

use super::{empty, no_more};
use crate::connection::{self, ConnectOptions};
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::output::{OutputFormat, render};

/// List resource templates
#[derive(Debug, clap::Args)]
pub(crate) struct TemplatesCommand {
    /// Server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Command that starts the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) options: ConnectOptions,
}

impl TemplatesCommand {
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
                let templates = empty::if_not_offered(
                    server,
                    server
                        .list(
                            server.client.list_resource_templates(),
                            "resource templates",
                        )
                        .await,
                )?;
                if templates.is_empty() {
                    empty::explain(server, "resource templates", |offers| {
                        offers.resources.is_some()
                    })
                    .await;
                }
                match server.output.format {
                    OutputFormat::Json => server
                        .output
                        .json(&serde_json::json!({ "resourceTemplates": templates }))?,
                    OutputFormat::Human if templates.is_empty() => {}
                    OutputFormat::Human => {
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
                        server.output.print(&render::table(
                            &server.output,
                            ["TEMPLATE", "TYPE", "DESCRIPTION"],
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
