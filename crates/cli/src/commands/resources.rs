//! `carryall resources`: what a server's resources are.

use super::{no_more, nothing};
use crate::connect::{self, ServerOptions};
use crate::fail::{Exit, Fail};
use crate::render;
use crate::screen::Format;

/// List resources
#[derive(Debug, clap::Args)]
pub(crate) struct Resources {
    /// The server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// A command to start as the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

impl Resources {
    pub(crate) async fn run(self) -> Result<Exit, Fail> {
        let (target, words) = self.server.split(self.target, Vec::new(), self.command)?;
        no_more(&words)?;
        connect::with(target, &self.server, Exit::Interrupted, async |server| {
            let resources = nothing::where_not_offered(
                server,
                server
                    .list(server.client.list_resources(), "resources")
                    .await,
            )?;
            if resources.is_empty() {
                nothing::explain(server, "resources", |offers| offers.resources.is_some()).await;
            }
            match server.screen.format {
                Format::Json => server
                    .screen
                    .json(&serde_json::json!({ "resources": resources }))?,
                Format::Human if resources.is_empty() => {}
                Format::Human => {
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
                    server.screen.print(&render::table(
                        &server.screen,
                        ["RESOURCE", "TYPE", "DESCRIPTION"],
                        rows,
                    ))?;
                }
            }
            Ok(Exit::Ok)
        })
        .await
    }
}
