//! Connected, and the list is empty: why.

use super::discover::capabilities;
use crate::connect::Server;
use crate::fail::{Fail, TargetKind};
use crate::notes;
use carryall::client::ClientError;
use carryall::types::ServerCapabilities;

/// Says on standard error why a list is empty.
pub(super) async fn explain(server: &Server, what: &str, offered: fn(&ServerCapabilities) -> bool) {
    let found = server.client.discover().with(server.options()).await;
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
            let more = match server.reach {
                TargetKind::Http => "; it may show more to callers with credentials (--header)",
                TargetKind::Child => {
                    "; it may show more with credentials in its environment (--env)"
                }
                TargetKind::Socket => "",
            };
            format!("the server offers {what}, but its list is empty{more}")
        }
        Err(error) => {
            format!("the list is empty, and the server does not say what it offers: {error}")
        }
    };
    let dropped = notes::dropped();
    if what == "tools" && !dropped.is_empty() {
        let all: Vec<String> = dropped
            .iter()
            .map(|(tool, problem)| format!("{tool} ({problem})"))
            .collect();
        server.screen.note(&format!(
            "Connected to {}, but no tools: all {} were left out, because they break the protocol: {}",
            server.place,
            dropped.len(),
            all.join("; ")
        ));
    } else {
        server.screen.note(&format!(
            "Connected to {}, but no {what}: {reason}.",
            server.place
        ));
    }
}

/// What was listed; nothing when the server does not have such things.
pub(super) fn where_not_offered<T>(
    server: &Server,
    listed: Result<Vec<T>, ClientError>,
) -> Result<Vec<T>, Fail> {
    match listed {
        Err(error) if error.is_method_not_found() => Ok(Vec::new()),
        listed => listed.map_err(|error| server.failed(&error)),
    }
}
