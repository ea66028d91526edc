//! `carryall read`: reads a resource.

use super::{first, no_more};
use crate::answers::Answers;
use crate::connect::{self, ServerOptions};
use crate::fail::{Exit, Fail};
use crate::render;
use crate::rounds;
use crate::screen::Format;
use carryall::types::{ReadResourceResult, ResourceContents};
use std::path::{Path, PathBuf};

/// Read a resource
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  carryall read localhost:8080 demo://logo --output logo.png",
    override_usage = "carryall read [OPTIONS] TARGET URI\n       carryall read [OPTIONS] URI -- COMMAND [ARG]..."
)]
pub(crate) struct Read {
    /// The server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// The resource
    #[arg(value_name = "URI")]
    pub(crate) words: Vec<String>,
    /// Write the contents to this file, binary ones decoded
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) answers: Answers,
    /// A command to start as the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

impl Read {
    pub(crate) async fn run(self) -> Result<Exit, Fail> {
        let (target, mut words) = self.server.split(self.target, self.words, self.command)?;
        let uri = first(
            &mut words,
            "URI",
            "carryall read localhost:8080 demo://readme",
        )?;
        no_more(&words)?;
        connect::answering(
            target,
            &self.server,
            &self.answers,
            Exit::Interrupted,
            async |server| {
                let busy = server.busy(&format!("reading {uri}"));
                let request = server
                    .client
                    .read_resource(&uri)
                    .with(server.patient_options(&busy));
                let result = busy
                    .during(rounds::complete(
                        server,
                        &busy,
                        &uri,
                        request,
                        &self.answers,
                    ))
                    .await
                    .map_err(|fail| match fail.exit {
                        Exit::Refused => fail.hint(
                            "`carryall resources` and `carryall templates` show what can be read",
                        ),
                        _ => fail,
                    })?;
                match (&self.output, server.screen.format) {
                    (Some(file), _) => {
                        let bytes = bytes(&uri, &result)?;
                        write(file, &bytes)?;
                        server.screen.note(&format!(
                            "{} written to {}",
                            render::size(bytes.len() as u64),
                            file.display()
                        ));
                    }
                    (None, Format::Json) => server.screen.json(&result)?,
                    (None, Format::Human) => {
                        let all: Vec<String> = result
                            .contents
                            .iter()
                            .map(|contents| render::contents(&server.screen, contents))
                            .collect();
                        server.screen.print(&all.join("\n"))?;
                        if result
                            .contents
                            .iter()
                            .any(|contents| matches!(contents, ResourceContents::Blob(_)))
                        {
                            server
                                .screen
                                .note("Binary contents are written to a file with --output FILE.");
                        }
                    }
                }
                Ok(Exit::Ok)
            },
        )
        .await
    }
}

/// All contents, one after the other.
fn bytes(uri: &str, result: &ReadResourceResult) -> Result<Vec<u8>, Fail> {
    let mut all = Vec::new();
    for contents in &result.contents {
        match contents {
            ResourceContents::Text(text) => all.extend_from_slice(text.text.as_bytes()),
            ResourceContents::Blob(blob) => all.extend(blob.to_bytes().map_err(|error| {
                Fail::new(
                    Exit::Refused,
                    format!("{uri}: its blob is not base64: {error}"),
                )
            })?),
        }
    }
    Ok(all)
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Fail> {
    std::fs::write(file, bytes).map_err(|error| {
        Fail::new(
            Exit::Local,
            format!("cannot write {}: {error}", file.display()),
        )
    })
}
