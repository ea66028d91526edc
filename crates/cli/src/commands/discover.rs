//! `carryall discover`: what a server is and can do.

use super::no_more;
use crate::connect::{self, Server, ServerOptions};
use crate::fail::{Exit, Fail};
use crate::render;
use crate::screen::Format;
use carryall::proto::{EraDecision, key};
use carryall::types::{DiscoverResult, Implementation, ServerCapabilities};
use serde::Deserialize as _;

/// The member of `_meta` under which JSON output says which era the server is of.
const ERA_KEY: &str = "carryall/era";

/// Show what a server is and what it can do
#[derive(Debug, clap::Args)]
pub(crate) struct Discover {
    /// The server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// A command to start as the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

impl Discover {
    pub(crate) async fn run(self) -> Result<Exit, Fail> {
        let (target, words) = self.server.split(self.target, Vec::new(), self.command)?;
        no_more(&words)?;
        connect::with(target, &self.server, Exit::Interrupted, async |server| {
            let busy = server.busy("asking what the server is");
            let request = server.client.discover().with(server.options());
            let found = busy
                .during(request.into_future())
                .await
                .map_err(|error| server.failed(&error))?;
            match server.screen.format {
                Format::Json => server.screen.json(&with_era(found, server.client.era()))?,
                Format::Human => server.screen.print(&shown(server, &found))?,
            }
            Ok(Exit::Ok)
        })
        .await
    }
}

/// The result, with what was found out about the server's era beside what it says about itself.
fn with_era(mut found: DiscoverResult, era: Option<EraDecision>) -> DiscoverResult {
    if let Some(EraDecision { version, why }) = era {
        let told = serde_json::json!({"version": version.as_str(), "modern": version.is_modern(), "why": why});
        found
            .meta
            .get_or_insert_default()
            .insert(ERA_KEY.to_owned(), told);
    }
    found
}

fn shown(server: &Server, found: &DiscoverResult) -> String {
    let info = found
        .meta
        .as_ref()
        .and_then(|meta| meta.get(key::SERVER_INFO));
    let info = info.and_then(|info| Implementation::deserialize(info).ok());
    let mut facts = Vec::new();
    match info {
        Some(info) => {
            facts.push(("Server", format!("{} {}", info.name, info.version)));
            let more = [
                ("Title", info.title),
                ("About", info.description),
                ("Website", info.website_url),
            ];
            facts.extend(
                more.into_iter()
                    .filter_map(|(title, value)| Some((title, value?))),
            );
        }
        None => facts.push(("Server", "does not say what it is".to_owned())),
    }
    facts.push(("At", server.place.clone()));
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
    render::facts(&server.screen, facts)
}

/// What a server offers, in words.
pub(super) fn capabilities(capabilities: &ServerCapabilities) -> Vec<String> {
    let told = |name: &str, extras: &[(&str, Option<bool>)]| {
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
            .map(|tools| told("tools", &[("tells of changes", tools.list_changed)])),
    );
    offers.extend(
        capabilities
            .prompts
            .as_ref()
            .map(|prompts| told("prompts", &[("tells of changes", prompts.list_changed)])),
    );
    offers.extend(capabilities.resources.as_ref().map(|resources| {
        told(
            "resources",
            &[
                ("tells of changes", resources.list_changed),
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
