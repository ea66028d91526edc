//! URL elicitation: a page that the server asks the user to open
//! (`client/elicitation#safe-url-handling`).

use super::{PromptError, PromptUi, Tone};
use carryall::types::{ElicitRequestURLParams, ElicitResult};

/// Shows the whole URL with its host highlighted, and opens it if the user agrees. Fetches nothing
/// itself.
pub(super) fn ask(
    ui: &mut dyn PromptUi,
    page: &ElicitRequestURLParams,
) -> Result<ElicitResult, PromptError> {
    // URLs that are no web addresses, or that parsers read differently, are not shown at all.
    page.check().map_err(PromptError::Question)?;
    let host = page.host().unwrap_or_default();
    let (before, named, after) = split_at_host(&page.url, &host);
    ui.print(&[
        (Tone::Plain, "  "),
        (Tone::Plain, before),
        (Tone::Strong, named),
        (Tone::Plain, after),
    ]);
    ui.print(&[
        (
            Tone::Plain,
            "The server asks you to open this page, which belongs to ",
        ),
        (Tone::Strong, &host),
    ]);
    for warning in page.warnings() {
        ui.print(&[(Tone::Warning, warning)]);
    }
    let choices = [
        "Open it in the browser",
        "I will open it myself",
        "Decline",
        "Cancel",
    ];
    match ui.select("Choose", &choices, 2)? {
        0 => {
            if ui.open(&page.url).is_err() {
                ui.print(&[(
                    Tone::Warning,
                    "cannot start a browser: open the page yourself",
                )]);
            }
            Ok(accepted())
        }
        1 => Ok(accepted()),
        2 => Ok(ElicitResult::decline()),
        _ => Ok(ElicitResult::cancel()),
    }
}

/// Reports that the user agreed. What happens on the page is between the user and the server.
fn accepted() -> ElicitResult {
    ElicitResult::new(carryall::types::ElicitAction::Accept)
}

/// Splits the URL around its host. The URL is ASCII ([`ElicitRequestURLParams::check`]).
fn split_at_host<'a>(url: &'a str, host: &str) -> (&'a str, &'a str, &'a str) {
    let start = url.find("://").map_or(0, |at| at + 3);
    match url.get(start..start + host.len()) {
        Some(named) if named.eq_ignore_ascii_case(host) => {
            (&url[..start], named, &url[start + host.len()..])
        }
        _ => (url, "", ""),
    }
}
