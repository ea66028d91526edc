//! `carryall complete`: shows completions of an argument.

use super::first;
use crate::args;
use crate::connection::{self, ConnectOptions};
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::output::{OutputFormat, text};
use carryall::types::{CompletionReference, PromptReference, ResourceTemplateReference};
use std::collections::BTreeMap;

const EXAMPLES: &str = "\
REFERENCE is the name of a prompt or a URI template; prompt:NAME and resource:TEMPLATE are explicit.

Examples:
  carryall complete localhost:8080 greet language=f
  carryall complete localhost:8080 greet tone= language=Italian
  carryall complete localhost:8080 'demo://capitals/{country}' country=g";

/// Show completions for an argument of a prompt or a variable of a template
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "carryall complete [OPTIONS] TARGET REFERENCE ARGUMENT=TYPED [OTHER=VALUE]...\n       carryall complete [OPTIONS] REFERENCE ARGUMENT=TYPED [OTHER=VALUE]... -- COMMAND [ARG]..."
)]
pub(crate) struct CompleteCommand {
    /// Server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Prompt or template, the argument with the text typed so far, and other arguments that are
    /// known
    #[arg(value_name = "REFERENCE ARGUMENT=TYPED")]
    pub(crate) words: Vec<String>,
    /// Command that starts the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) options: ConnectOptions,
}

impl CompleteCommand {
    pub(crate) async fn run(self) -> Result<ExitStatus, CliError> {
        const EXAMPLE: &str = "carryall complete localhost:8080 greet language=f";
        let (target, mut words) = self
            .options
            .resolve(self.target, self.words, self.command)?;
        let reference = reference(&first(&mut words, "REFERENCE", EXAMPLE)?);
        let mut pairs = args::as_strings(&words)?.into_iter();
        let (argument, typed) = pairs.next().ok_or_else(|| {
            CliError::usage("no ARGUMENT=TYPED was given").hint(format!("for example: {EXAMPLE}"))
        })?;
        let known: BTreeMap<String, String> = pairs.collect();
        connection::with(
            target,
            &self.options,
            ExitStatus::Interrupted,
            async |server| {
                let spinner = server.spinner("requesting completions");
                let request = server
                    .client
                    .complete(reference, &argument, &typed, &known)
                    .with(server.call_options());
                let result = spinner
                    .during(request.into_future())
                    .await
                    .map_err(|error| server.error(&error))?;
                if server.output.format == OutputFormat::Json {
                    server.output.json(&result)?;
                    return Ok(ExitStatus::Ok);
                }
                let values = &result.completion.values;
                let lines: Vec<String> = values.iter().map(|value| text::one_line(value)).collect();
                server.output.print(&lines.join("\n"))?;
                if values.is_empty() {
                    server
                        .output
                        .note(&format!("There are no completions for {argument}={typed}."));
                } else if result.completion.has_more == Some(true) {
                    let of = result
                        .completion
                        .total
                        .map(|total| format!(" of {total}"))
                        .unwrap_or_default();
                    server
                        .output
                        .note(&format!("Only the first {}{of} are shown.", values.len()));
                }
                Ok(ExitStatus::Ok)
            },
        )
        .await
    }
}

/// Parses a reference: a prompt, unless it can only be a template.
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
    fn prompts_and_templates_are_recognised() {
        let prompt = |name: &str| CompletionReference::Prompt(PromptReference::new(name));
        let resource =
            |uri: &str| CompletionReference::Resource(ResourceTemplateReference::new(uri));
        assert_eq!(reference("greet"), prompt("greet"));
        assert_eq!(reference("prompt:a://b"), prompt("a://b"));
        assert_eq!(reference("demo://x/{y}"), resource("demo://x/{y}"));
        assert_eq!(reference("resource:x:{y}"), resource("x:{y}"));
    }
}
