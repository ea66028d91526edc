//! The servers of a configuration file.

use super::{UpstreamEndpoint, UpstreamSpec, name, sensitive_header};
use crate::config::{self, ConfigVariables};
use crate::era::EraOption;
use crate::error::CliError;
use crate::target::ServerTarget;
use carryall::transport::http::HttpClient;
use carryall::{Era, SessionScope};
use clap::ValueEnum as _;
use serde_json::Value;
use std::path::Path;

/// Returns the servers of a configuration file, ordered by name, without the disabled ones.
///
/// # Errors
/// An invalid file or entry, a variable that is not set, a file without servers.
pub(in crate::up) fn from_config(
    file: &Path,
    variables: &ConfigVariables,
) -> Result<Vec<UpstreamSpec>, CliError> {
    let config = config::read_explicit(file)?;
    let path = file.display();
    let mut specs = Vec::new();
    for (name, server) in &config.servers {
        let invalid =
            |why: String| CliError::usage(format!("--config {path}: server {name:?}: {why}"));
        let server = server.as_ref().map_err(|why| invalid(why.clone()))?;
        if server.disabled {
            continue;
        }
        let target = server.target(variables).map_err(invalid)?;
        specs.push(UpstreamSpec {
            name: Some(name::from_text(name)),
            endpoint: endpoint(target).map_err(invalid)?,
            era: server.era.as_ref().map(era).transpose().map_err(invalid)?,
            sharing: server
                .sessions
                .as_ref()
                .map(sharing)
                .transpose()
                .map_err(invalid)?,
        });
    }
    if specs.is_empty() {
        return Err(CliError::usage(format!(
            "--config {path}: the file has no enabled server"
        )));
    }
    Ok(specs)
}

fn endpoint(target: ServerTarget) -> Result<UpstreamEndpoint, String> {
    match target {
        ServerTarget::Http { url, headers } => {
            HttpClient::new(&url).map_err(|error| error.to_string())?;
            let headers = headers
                .iter()
                .map(|(name, value)| sensitive_header(name, value))
                .collect::<Result<_, _>>()?;
            Ok(UpstreamEndpoint::Url { url, headers })
        }
        ServerTarget::Stdio(command) => Ok(UpstreamEndpoint::Command(command)),
        ServerTarget::Unix(_) => Err("Unix sockets are not supported here".into()),
    }
}

fn era(value: &Value) -> Result<Era, String> {
    value
        .as_str()
        .and_then(|text| EraOption::from_str(text, true).ok())
        .map(Era::from)
        .ok_or_else(|| "`era` is auto, modern or legacy".to_owned())
}

fn sharing(value: &Value) -> Result<SessionScope, String> {
    let text = value.as_str().ok_or("`sessions` is not a string")?;
    text.parse().map_err(|error| format!("`sessions`: {error}"))
}
