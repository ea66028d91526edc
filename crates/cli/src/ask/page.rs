//! A page that the server wants to be opened (`client/elicitation#safe-url-handling`).

use super::{PromptError, Source, Tone};
use carryall::types::{ElicitRequestURLParams, ElicitResult};

/// Shows the whole address, its host above all, and opens it if that is wanted. Nothing is fetched
/// here, before or after.
pub(super) fn ask(
    source: &mut dyn Source,
    page: &ElicitRequestURLParams,
) -> Result<ElicitResult, PromptError> {
    // Nobody is shown what is not a web address, or what parsers understand differently.
    page.check().map_err(PromptError::Question)?;
    let host = page.host().unwrap_or_default();
    let (before, named, after) = around_host(&page.url, &host);
    source.tell(&[
        (Tone::Plain, "  "),
        (Tone::Plain, before),
        (Tone::Strong, named),
        (Tone::Plain, after),
    ]);
    source.tell(&[
        (
            Tone::Plain,
            "It wants you to open this page, which belongs to ",
        ),
        (Tone::Strong, &host),
    ]);
    for warning in page.warnings() {
        source.tell(&[(Tone::Warning, warning)]);
    }
    let choices = [
        "Open it in the browser",
        "I open it myself",
        "Decline",
        "Cancel",
    ];
    match source.one_of("Choose", &choices, 2)? {
        0 => {
            if source.open(&page.url).is_err() {
                source.tell(&[(
                    Tone::Warning,
                    "no browser could be started here: open the page yourself",
                )]);
            }
            Ok(accepted())
        }
        1 => Ok(accepted()),
        2 => Ok(ElicitResult::decline()),
        _ => Ok(ElicitResult::cancel()),
    }
}

/// That the person agreed: what happens on the page is between them and the server.
fn accepted() -> ElicitResult {
    ElicitResult::new(carryall::types::ElicitAction::Accept)
}

/// The address in three parts, the middle one being the host. It is plain ASCII, as
/// [`ElicitRequestURLParams::check`] has seen.
fn around_host<'a>(url: &'a str, host: &str) -> (&'a str, &'a str, &'a str) {
    let start = url.find("://").map_or(0, |at| at + 3);
    match url.get(start..start + host.len()) {
        Some(named) if named.eq_ignore_ascii_case(host) => {
            (&url[..start], named, &url[start + host.len()..])
        }
        _ => (url, "", ""),
    }
}
