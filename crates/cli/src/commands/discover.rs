//! `carryall discover`: shows what a server is and offers.

use super::no_more;
use crate::connection::{self, ConnectOptions, ConnectedServer};
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::output::{OutputFormat, render};
use carryall::proto::{EraDecision, key};
use carryall::types::{DiscoverResult, Implementation, ServerCapabilities};
use serde::Deserialize as _;

/// The member of `_meta` with the detected era in JSON output.
const ERA_KEY: &str = "carryall/era";

/// Show what a server is and what it offers
#[derive(Debug, clap::Args)]
pub(crate) struct DiscoverCommand {
    /// Server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Command that starts the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) options: ConnectOptions,
}

impl DiscoverCommand {
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
                let spinner = server.spinner("discovering the server");
                let request = server.client.discover().with(server.call_options());
                let found = spinner
                    .during(request.into_future())
                    .await
                    .map_err(|error| server.error(&error))?;
                match server.output.format {
                    OutputFormat::Json => {
                        server.output.json(&with_era(found, server.client.era()))?
                    }
                    OutputFormat::Human => server.output.print(&render(server, &found))?,
                }
                Ok(ExitStatus::Ok)
            },
        )
        .await
    }
}

/// Adds the detected era to the result.
fn with_era(mut found: DiscoverResult, era: Option<EraDecision>) -> DiscoverResult {
    if let Some(EraDecision { version, why }) = era {
        let detected = serde_json::json!({"version": version.as_str(), "modern": version.is_modern(), "why": why});
        found
            .meta
            .get_or_insert_default()
            .insert(ERA_KEY.to_owned(), detected);
    }
    found
}

fn render(server: &ConnectedServer, found: &DiscoverResult) -> String {
    let info = found
        .meta
        .as_ref()
        .and_then(|meta| meta.get(key::SERVER_INFO));
    let info = info.and_then(|info| Implementation::deserialize(info).ok());
    let mut facts = Vec::new();
    match info {
        Some(info) => {
            facts.push(("Server", format!("{} {}", info.name, info.version)));
            let details = [
                ("Title", info.title),
                ("About", info.description),
                ("Website", info.website_url),
            ];
            facts.extend(
                details
                    .into_iter()
                    .filter_map(|(title, value)| Some((title, value?))),
            );
        }
        None => facts.push(("Server", "(unnamed)".to_owned())),
    }
    facts.push(("Target", server.label.clone()));
    facts.push(("Versions", found.supported_versions.join(", ")));
    facts.extend(server.client.era().map(|era| ("Era", era.to_string())));
    let offers = capabilities(&found.capabilities);
    facts.push((
        "Offers",
        if offers.is_empty() {
            "nothing".to_owned()
        } else {
            offers.join("\n")
        },
    ));
    if let Some(extensions) = found
        .capabilities
        .extensions
        .as_ref()
        .filter(|extensions| !extensions.is_empty())
    {
        facts.push((
            "Extensions",
            extensions.keys().cloned().collect::<Vec<_>>().join("\n"),
        ));
    }
    facts.extend(
        found
            .instructions
            .clone()
            .map(|instructions| ("Instructions", instructions)),
    );
    render::facts(&server.output, facts)
}

/// Describes the capabilities of a server.
pub(super) fn capabilities(capabilities: &ServerCapabilities) -> Vec<String> {
    let describe = |name: &str, extras: &[(&str, Option<bool>)]| {
        let extras: Vec<&str> = extras
            .iter()
            .filter(|(_, on)| *on == Some(true))
            .map(|(extra, _)| *extra)
            .collect();
        if extras.is_empty() {
            name.to_owned()
        } else {
            format!("{name} ({})", extras.join(", "))
        }
    };
    let mut offers = Vec::new();
    offers.extend(
        capabilities
            .tools
            .as_ref()
            .map(|tools| describe("tools", &[("notifies of changes", tools.list_changed)])),
    );
    offers.extend(
        capabilities
            .prompts
            .as_ref()
            .map(|prompts| describe("prompts", &[("notifies of changes", prompts.list_changed)])),
    );
    offers.extend(capabilities.resources.as_ref().map(|resources| {
        describe(
            "resources",
            &[
                ("notifies of changes", resources.list_changed),
                ("subscriptions", resources.subscribe),
            ],
        )
    }));
    offers.extend(
        capabilities
            .completions
            .as_ref()
            .map(|_| "completions".to_owned()),
    );
    offers.extend(capabilities.logging.as_ref().map(|_| "logging".to_owned()));
    offers
}
