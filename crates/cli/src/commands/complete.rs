//! `carryall complete`: what the server suggests for an argument.

use super::first;
use crate::args;
use crate::connect::{self, ServerOptions};
use crate::fail::{Exit, Fail};
use crate::screen::Format;
use crate::text;
use carryall::types::{CompletionReference, PromptReference, ResourceTemplateReference};
use std::collections::BTreeMap;

const EXAMPLES: &str = "\
REFERENCE is the name of a prompt or a URI template; prompt:NAME and resource:TEMPLATE say which.

Examples:
  carryall complete localhost:8080 greet language=f
  carryall complete localhost:8080 greet tone= language=Italian
  carryall complete localhost:8080 'demo://capitals/{country}' country=g";

/// Show what the server suggests for an argument of a prompt or a variable of a template
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "carryall complete [OPTIONS] TARGET REFERENCE ARGUMENT=TYPED [SETTLED=VALUE]...\n       carryall complete [OPTIONS] REFERENCE ARGUMENT=TYPED [SETTLED=VALUE]... -- COMMAND [ARG]..."
)]
pub(crate) struct Complete {
    /// The server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// The prompt or template, the argument with what is typed so far, and arguments that are
    /// settled
    #[arg(value_name = "REFERENCE ARGUMENT=TYPED")]
    pub(crate) words: Vec<String>,
    /// A command to start as the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

impl Complete {
    pub(crate) async fn run(self) -> Result<Exit, Fail> {
        const EXAMPLE: &str = "carryall complete localhost:8080 greet language=f";
        let (target, mut words) = self.server.split(self.target, self.words, self.command)?;
        let reference = reference(&first(&mut words, "REFERENCE", EXAMPLE)?);
        let mut pairs = args::as_strings(&words)?.into_iter();
        let (argument, typed) = pairs.next().ok_or_else(|| {
            Fail::usage("no ARGUMENT=TYPED was given").hint(format!("for example: {EXAMPLE}"))
        })?;
        let settled: BTreeMap<String, String> = pairs.collect();
        connect::with(target, &self.server, Exit::Interrupted, async |server| {
            let busy = server.busy("asking for suggestions");
            let request = server
                .client
                .complete(reference, &argument, &typed, &settled)
                .with(server.options());
            let result = busy
                .during(request.into_future())
                .await
                .map_err(|error| server.failed(&error))?;
            if server.screen.format == Format::Json {
                server.screen.json(&result)?;
                return Ok(Exit::Ok);
            }
            let values = &result.completion.values;
            let lines: Vec<String> = values.iter().map(|value| text::line(value)).collect();
            server.screen.print(&lines.join("\n"))?;
            if values.is_empty() {
                server.screen.note(&format!(
                    "The server suggests nothing for {argument}={typed}"
                ));
            } else if result.completion.has_more == Some(true) {
                let of = result
                    .completion
                    .total
                    .map(|total| format!(" of {total}"))
                    .unwrap_or_default();
                server
                    .screen
                    .note(&format!("These are the first {}{of}.", values.len()));
            }
            Ok(Exit::Ok)
        })
        .await
    }
}

/// A prompt, unless it can only be a template.
fn reference(text: &str) -> CompletionReference {
    let (resource, name) = match (text.strip_prefix("prompt:"), text.strip_prefix("resource:")) {
        (Some(name), _) => (false, name),
        (None, Some(uri)) => (true, uri),
        (None, None) => (text.contains("://") || text.contains('{'), text),
    };
    if resource {
        CompletionReference::Resource(ResourceTemplateReference::new(name))
    } else {
        CompletionReference::Prompt(PromptReference::new(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_apart() {
        let prompt = |name: &str| CompletionReference::Prompt(PromptReference::new(name));
        let resource =
            |uri: &str| CompletionReference::Resource(ResourceTemplateReference::new(uri));
        assert_eq!(reference("greet"), prompt("greet"));
        assert_eq!(reference("prompt:a://b"), prompt("a://b"));
        assert_eq!(reference("demo://x/{y}"), resource("demo://x/{y}"));
        assert_eq!(reference("resource:x:{y}"), resource("x:{y}"));
    }
}
