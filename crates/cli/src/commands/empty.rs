//! Explains why a list is empty.

use super::discover::capabilities;
use crate::connection::ConnectedServer;
use crate::error::{CliError, TargetKind};
use crate::output::warnings;
use carryall::client::ClientError;
use carryall::types::ServerCapabilities;

/// Explains on standard error why the list of `what` is empty.
pub(super) async fn explain(
    server: &ConnectedServer,
    what: &str,
    offered: fn(&ServerCapabilities) -> bool,
) {
    let found = server.client.discover().with(server.call_options()).await;
    let reason = match found {
        Ok(found) if !offered(&found.capabilities) => {
            let offers = capabilities(&found.capabilities);
            let offers = if offers.is_empty() {
                "nothing".to_owned()
            } else {
                offers.join(", ")
            };
            format!("the server does not offer {what}; it offers {offers}")
        }
        Ok(_) => {
            let more = match server.kind {
                TargetKind::Http => "; it may list more for callers with credentials (--header)",
                TargetKind::Stdio => {
                    "; it may list more with credentials in its environment (--env)"
                }
                TargetKind::Unix => "",
            };
            format!("the server offers {what}, but the list is empty{more}")
        }
        Err(error) => {
            format!("the list is empty, and discovery failed: {error}")
        }
    };
    let excluded = warnings::excluded_tools();
    if what == "tools" && !excluded.is_empty() {
        let all: Vec<String> = excluded
            .iter()
            .map(|(tool, problem)| format!("{tool} ({problem})"))
            .collect();
        server.output.note(&format!(
            "Connected to {}, but no tools: all {} were excluded because their definitions are invalid: {}",
            server.label,
            excluded.len(),
            all.join("; ")
        ));
    } else {
        server.output.note(&format!(
            "Connected to {}, but no {what}: {reason}.",
            server.label
        ));
    }
}

/// Returns the list; empty if the server does not offer the method.
pub(super) fn if_not_offered<T>(
    server: &ConnectedServer,
    listed: Result<Vec<T>, ClientError>,
) -> Result<Vec<T>, CliError> {
    match listed {
        Err(error) if error.is_method_not_found() => Ok(Vec::new()),
        listed => listed.map_err(|error| server.error(&error)),
    }
}
