//! What servers may ask of the client itself, outside of forms: its roots, and the words of a
//! model.
//!
//! Nothing is declared unless it was given on the command line, so that servers do not ask for what
//! is not there.

// Servers rely on them for as long as they are part of the protocol.
#![allow(deprecated)]

use crate::fail::Fail;
use carryall::client::ClientBuilder;
use carryall::types::{CreateMessageResult, ListRootsResult, Root, SamplingMessageContentBlock};
use std::path::Path;
use url::Url;

/// The model that `--say` speaks for.
const MODEL: &str = "carryall --say";

/// Options of every command that talks to a server.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ClientFeatures {
    /// A directory to name when the server asks for roots, or a URI (repeatable)
    #[arg(long = "root", value_name = "DIR")]
    roots: Vec<String>,
    /// What the model says when the server asks for its words (sampling)
    #[arg(long, value_name = "TEXT")]
    say: Option<String>,
}

impl ClientFeatures {
    /// The roots, if there are any to tell.
    pub(crate) fn roots(&self) -> Result<Option<ListRootsResult>, Fail> {
        if self.roots.is_empty() {
            return Ok(None);
        }
        let roots = self
            .roots
            .iter()
            .map(|root| uri(root).map(Root::new))
            .collect::<Result<Vec<_>, _>>()?;
        let roots = ListRootsResult::new(roots);
        roots
            .check()
            .map_err(|why| Fail::usage(format!("--root: {why}")))?;
        Ok(Some(roots))
    }

    /// The words of the model, if it has any.
    pub(crate) fn sampled(&self) -> Option<CreateMessageResult> {
        let text = SamplingMessageContentBlock::text(self.say.clone()?);
        Some(CreateMessageResult::new(MODEL, text))
    }

    /// Declares what is there, and answers servers that ask of their own accord.
    pub(crate) fn declare(&self, builder: ClientBuilder) -> Result<ClientBuilder, Fail> {
        let builder = match self.roots()? {
            Some(roots) => builder.roots(roots.roots),
            None => builder,
        };
        Ok(match self.sampled() {
            Some(words) => builder.on_sample(move |_| std::future::ready(words.clone())),
            None => builder,
        })
    }
}

/// A directory as a `file:` URI; what looks like a URI stays as it is.
fn uri(root: &str) -> Result<String, Fail> {
    if root.contains("://") {
        return Ok(root.to_owned());
    }
    let cannot = |why: String| {
        Fail::usage(format!("--root {root}: {why}")).hint("name a directory that exists")
    };
    let absolute = Path::new(root)
        .canonicalize()
        .map_err(|error| cannot(error.to_string()))?;
    let found = Url::from_file_path(&absolute).map_err(|()| cannot("it has no URI".to_owned()))?;
    Ok(found.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_become_uris_and_uris_stay() {
        let inputs = ClientFeatures {
            roots: vec!["/".into(), "file:///home/ada/a%20b".into()],
            say: None,
        };
        let roots = inputs.roots().unwrap().unwrap();
        let uris: Vec<&str> = roots.roots.iter().map(|root| root.uri.as_str()).collect();
        assert_eq!(uris, ["file:///", "file:///home/ada/a%20b"]);
        assert!(inputs.sampled().is_none());
    }

    #[test]
    fn a_directory_that_is_not_there_is_refused() {
        let inputs = ClientFeatures {
            roots: vec!["/no/such/directory".into()],
            say: None,
        };
        assert!(inputs.roots().is_err());
    }
}
