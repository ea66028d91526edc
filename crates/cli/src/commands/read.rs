//! `carryall read`: reads a resource.

use super::{first, no_more};
use crate::connection::{ConnectOptions, ConnectedServer};
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::input::AnswerOptions;
use crate::output::{Output, OutputFormat, render};
use crate::request;
use carryall::types::{ReadResourceResult, ResourceContents};
use std::path::{Path, PathBuf};

/// Read a resource
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  carryall read localhost:8080 demo://logo --output logo.png",
    override_usage = "carryall read [OPTIONS] TARGET URI\n       carryall read [OPTIONS] URI -- COMMAND [ARG]..."
)]
pub(crate) struct ReadCommand {
    /// Server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Resource to read
    #[arg(value_name = "URI")]
    pub(crate) words: Vec<String>,
    /// Write the contents to this file; binary contents are decoded
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) answers: AnswerOptions,
    /// Command that starts the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) options: ConnectOptions,
}

impl ReadCommand {
    pub(crate) async fn run(self) -> Result<ExitStatus, CliError> {
        let (target, mut words) = self
            .options
            .resolve(self.target, self.words, self.command)?;
        let uri = first(
            &mut words,
            "URI",
            "carryall read localhost:8080 demo://readme",
        )?;
        no_more(&words)?;
        let work = async |server: &ConnectedServer| {
            let spinner = server.spinner(&format!("reading {uri}"));
            let request = server
                .client
                .read_resource(&uri)
                .with(server.progress_options(&spinner));
            let completed = request::complete(server, &spinner, &uri, request, &self.answers);
            let result = spinner
                .during(completed)
                .await
                .map_err(|error| match error.status {
                    ExitStatus::Refused => error.hint(
                        "`carryall resources` and `carryall templates` list what can be read",
                    ),
                    _ => error,
                })?;
            match (&self.output, server.output.format) {
                (Some(file), _) => {
                    let bytes = bytes(&uri, &result)?;
                    write(file, &bytes)?;
                    let size = render::size(bytes.len() as u64);
                    server
                        .output
                        .note(&format!("Wrote {size} to {}.", file.display()));
                }
                (None, OutputFormat::Json) => server.output.json(&result)?,
                (None, OutputFormat::Human) => print(&server.output, &result)?,
            }
            Ok(ExitStatus::Ok)
        };
        self.answers.connect(target, &self.options, work).await
    }
}

fn print(output: &Output, result: &ReadResourceResult) -> Result<(), CliError> {
    let contents: Vec<String> = result
        .contents
        .iter()
        .map(|contents| render::contents(output, contents))
        .collect();
    output.print(&contents.join("\n"))?;
    if result
        .contents
        .iter()
        .any(|contents| matches!(contents, ResourceContents::Blob(_)))
    {
        output.note("Use --output FILE to save binary contents.");
    }
    Ok(())
}

/// Concatenates all contents.
fn bytes(uri: &str, result: &ReadResourceResult) -> Result<Vec<u8>, CliError> {
    let mut all = Vec::new();
    for contents in &result.contents {
        match contents {
            ResourceContents::Text(text) => all.extend_from_slice(text.text.as_bytes()),
            ResourceContents::Blob(blob) => all.extend(blob.to_bytes().map_err(|error| {
                CliError::new(
                    ExitStatus::Refused,
                    format!("{uri}: invalid base64: {error}"),
                )
            })?),
        }
    }
    Ok(all)
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), CliError> {
    std::fs::write(file, bytes).map_err(|error| {
        CliError::new(
            ExitStatus::Local,
            format!("cannot write {}: {error}", file.display()),
        )
    })
}
