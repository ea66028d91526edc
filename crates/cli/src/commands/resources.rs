//! `carryall resources`: lists resources.

use super::{empty, no_more};
use crate::connection::{self, ConnectOptions};
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::output::{OutputFormat, render};

/// List resources
#[derive(Debug, clap::Args)]
pub(crate) struct ResourcesCommand {
    /// Server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Command that starts the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) options: ConnectOptions,
}

impl ResourcesCommand {
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
                let resources = empty::if_not_offered(
                    server,
                    server
                        .list(server.client.list_resources(), "resources")
                        .await,
                )?;
                if resources.is_empty() {
                    empty::explain(server, "resources", |offers| offers.resources.is_some()).await;
                }
                match server.output.format {
                    OutputFormat::Json => server
                        .output
                        .json(&serde_json::json!({ "resources": resources }))?,
                    OutputFormat::Human if resources.is_empty() => {}
                    OutputFormat::Human => {
                        let rows = resources.into_iter().map(|resource| {
                            let about = resource
                                .description
                                .or(resource.title)
                                .unwrap_or(resource.name);
                            let kind: Vec<String> = resource
                                .mime_type
                                .into_iter()
                                .chain(resource.size.map(render::size))
                                .collect();
                            [resource.uri, kind.join(", "), about]
                        });
                        server.output.print(&render::table(
                            &server.output,
                            ["RESOURCE", "TYPE", "DESCRIPTION"],
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
