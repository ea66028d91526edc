//! Roots and sampling, answered from the command line.
//!
//! A capability is only declared if its option is given, so that servers do not ask for what is not
//! there.

// Deprecated, and part of the protocol.
#![allow(deprecated)]

use crate::error::CliError;
use carryall::client::ClientBuilder;
use carryall::types::{CreateMessageResult, ListRootsResult, Root, SamplingMessageContentBlock};
use std::path::Path;
use url::Url;

/// The model name in results of sampling.
const MODEL: &str = "carryall --sample";

/// Options of every command that talks to a server.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ClientFeatures {
    /// Directory or URI to return when the server asks for roots (repeatable)
    #[arg(long = "root", value_name = "DIR")]
    roots: Vec<String>,
    /// Text to return as the model's reply when the server asks for sampling
    #[arg(long, value_name = "TEXT")]
    sample: Option<String>,
}

impl ClientFeatures {
    /// Returns the roots, if any were given.
    pub(crate) fn roots(&self) -> Result<Option<ListRootsResult>, CliError> {
        if self.roots.is_empty() {
            return Ok(None);
        }
        let roots = self
            .roots
            .iter()
            .map(|root| root_uri(root).map(Root::new))
            .collect::<Result<Vec<_>, _>>()?;
        let roots = ListRootsResult::new(roots);
        roots
            .check()
            .map_err(|why| CliError::usage(format!("--root: {why}")))?;
        Ok(Some(roots))
    }

    /// Returns the reply of the model, if one was given.
    pub(crate) fn sample(&self) -> Option<CreateMessageResult> {
        let text = SamplingMessageContentBlock::text(self.sample.clone()?);
        Some(CreateMessageResult::new(MODEL, text))
    }

    /// Declares what was given, and answers legacy servers that ask for it.
    pub(super) fn declare(&self, builder: ClientBuilder) -> Result<ClientBuilder, CliError> {
        let builder = match self.roots()? {
            Some(roots) => builder.roots(roots.roots),
            None => builder,
        };
        Ok(match self.sample() {
            Some(reply) => builder.on_sample(move |_| std::future::ready(reply.clone())),
            None => builder,
        })
    }
}

/// Converts a directory to a `file:` URI. URIs are unchanged.
fn root_uri(root: &str) -> Result<String, CliError> {
    if root.contains("://") {
        return Ok(root.to_owned());
    }
    let invalid = |why: String| {
        CliError::usage(format!("--root {root}: {why}")).hint("name a directory that exists")
    };
    let absolute = Path::new(root)
        .canonicalize()
        .map_err(|error| invalid(error.to_string()))?;
    let uri = Url::from_file_path(&absolute).map_err(|()| invalid("it has no URI".to_owned()))?;
    Ok(uri.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_become_uris() {
        let features = ClientFeatures {
            roots: vec!["/".into(), "file:///home/ada/a%20b".into()],
            sample: None,
        };
        let roots = features.roots().unwrap().unwrap();
        let uris: Vec<&str> = roots.roots.iter().map(|root| root.uri.as_str()).collect();
        assert_eq!(uris, ["file:///", "file:///home/ada/a%20b"]);
        assert!(features.sample().is_none());
    }

    #[test]
    fn a_missing_directory_is_refused() {
        let features = ClientFeatures {
            roots: vec!["/no/such/directory".into()],
            sample: None,
        };
        assert!(features.roots().is_err());
    }
}
