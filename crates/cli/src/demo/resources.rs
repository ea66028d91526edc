//! Resources: text, bytes, a template with completion, one that changes, and the files in a
//! directory.

use super::{DemoState, media};
use carryall::server::{
    CompletionQuery, Contents, FileRoot, HandlerError, Resource, ServerBuilder, State,
    UriVariables, matching,
};
use carryall::types::{Annotations, Role};
use std::sync::Arc;
use std::time::Duration;

/// Describes the demo.
pub(super) const README: &str = "demo://readme";
/// Changes with the tool `post_notice`.
pub(super) const NOTICE: &str = "demo://notice";
/// Changes when a `nap` is cancelled.
pub(super) const NAPS: &str = "demo://naps";
const CAPITALS: &str = "demo://capitals/{country}";
/// Larger files are refused, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

pub(super) const README_TEXT: &str = "# The carryall demo\n\n\
    A stateless MCP server: every request carries all it needs, and any replica can answer it.\n\n\
    - `whoami` returns the replica that answers\n\
    - `add`, `forecast` have typed arguments and structured results\n\
    - `countdown` reports progress, `nap` takes a while, `chatter` logs\n\
    - `bake` runs as a task for clients that support tasks, and asks the user halfway through\n\
    - `book_table` asks the user for input, `ask_model` the model, `show_roots` the client\n\
    - `surprise` and `post_notice` change something; subscribe to be notified\n";

const COUNTRIES: [(&str, &str); 8] = [
    ("denmark", "Copenhagen"),
    ("finland", "Helsinki"),
    ("france", "Paris"),
    ("germany", "Berlin"),
    ("italy", "Rome"),
    ("norway", "Oslo"),
    ("portugal", "Lisbon"),
    ("spain", "Madrid"),
];

pub(super) fn add(builder: ServerBuilder, files: Option<FileRoot>) -> ServerBuilder {
    let builder = builder
        .resource(
            Resource::new(README, "readme", async || README_TEXT)
                .title("About this demo")
                .description("What to try")
                .mime("text/markdown")
                .annotations(
                    Annotations::new()
                        .with_audience(vec![Role::User, Role::Assistant])
                        .with_priority(0.8),
                )
                .ttl(Duration::from_secs(3600))
                .public(),
        )
        .resource(
            Resource::new("demo://logo", "logo", async || media::LOGO.to_vec())
                .title("The logo")
                .description("A binary resource: a small image")
                .mime("image/png")
                .icon(media::icon())
                .ttl(Duration::from_secs(3600))
                .public(),
        )
        .resource(
            Resource::new(NOTICE, "notice", async |demo: State<Arc<DemoState>>| {
                demo.board.read().notice
            })
            .title("The notice board")
            .description("Changes with the tool post_notice; subscribe to be notified")
            .mime("text/plain"),
        )
        .resource(
            Resource::new(NAPS, "naps", async |demo: State<Arc<DemoState>>| {
                format!("{} naps were broken off.", demo.board.read().cancelled_naps)
            })
            .title("Naps")
            .description("The number of cancelled calls of the tool nap")
            .mime("text/plain"),
        )
        .resource(
            Resource::template(CAPITALS, "capital", async |variables: UriVariables| {
                capital(&variables)
            })
            .title("Capitals")
            .description("The capital of a country")
            .mime("text/plain")
            .ttl(Duration::from_secs(3600))
            .public(),
        )
        .complete_template(CAPITALS, "country", async |typed: CompletionQuery| {
            matching(COUNTRIES.map(|(country, _)| country), &typed.value)
        });
    match files {
        Some(root) => builder.resource(directory(root)),
        None => builder,
    }
}

fn capital(variables: &UriVariables) -> Result<&'static str, HandlerError> {
    let country = variables.text("country").unwrap_or_default();
    let found = COUNTRIES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(country));
    found
        .map(|(_, capital)| *capital)
        .ok_or_else(|| HandlerError::resource_not_found(&format!("demo://capitals/{country}")))
}

fn directory(root: FileRoot) -> Resource {
    Resource::template("file:///{+path}", "file", move |variables: UriVariables| {
        let root = root.clone();
        async move { read_file(&root, variables.text("path").unwrap_or_default()).await }
    })
    .title("Files")
    .description("The files in the directory of --files")
}

async fn read_file(root: &FileRoot, path: &str) -> Result<Contents, HandlerError> {
    let not_found = |_| HandlerError::resource_not_found(&format!("file:///{path}"));
    let file = root.resolve(path)?;
    let metadata = tokio::fs::metadata(&file).await.map_err(not_found)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(HandlerError::invalid_params(format!(
            "file:///{path} is not a file of at most {MAX_FILE} bytes"
        )));
    }
    let bytes = tokio::fs::read(&file).await.map_err(not_found)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Contents::Text(text),
        Err(error) => Contents::Bytes(error.into_bytes()),
    })
}
