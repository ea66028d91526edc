//! `carryall listen`: shows changes as they happen.

use crate::connection::{self, ConnectOptions, ConnectedServer};
use crate::duration;
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::output::{NAME, OutputFormat, text};
use carryall::client::Change;
use carryall::types::SubscriptionFilter;
use serde_json::{Value, json};
use std::time::Duration;

const EXAMPLES: &str = "\
Without --tools, --prompts, --resources and URIs, the command listens for changes of all three lists. \
It ends with Ctrl-C (exit code 0), or when the server ends the subscription. It reconnects after a failure.

Examples:
  carryall listen localhost:8080 --tools demo://notice
  carryall listen localhost:8080 --format json | jq .method";

/// Show changes as they happen, one line each
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "carryall listen [OPTIONS] TARGET [URI]...\n       carryall listen [OPTIONS] [URI]... -- COMMAND [ARG]..."
)]
pub(crate) struct ListenCommand {
    /// Server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Resources to listen for updates of
    #[arg(value_name = "URI")]
    pub(crate) uris: Vec<String>,
    /// Listen for changes of the list of tools
    #[arg(long)]
    pub(crate) tools: bool,
    /// Listen for changes of the list of prompts
    #[arg(long)]
    pub(crate) prompts: bool,
    /// Listen for changes of the list of resources
    #[arg(long)]
    pub(crate) resources: bool,
    /// End after this number of changes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this time
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    pub(crate) duration: Option<Duration>,
    /// Command that starts the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) options: ConnectOptions,
}

impl ListenCommand {
    pub(crate) async fn run(self) -> Result<ExitStatus, CliError> {
        let (target, uris) = self.options.resolve(self.target, self.uris, self.command)?;
        let filter = filter(self.tools, self.prompts, self.resources, uris);
        connection::with(target, &self.options, ExitStatus::Ok, async |server| {
            let listening = listen(server, filter, self.count, self.options.timeout);
            match self.duration {
                None => listening.await,
                Some(time) => tokio::time::timeout(time, listening)
                    .await
                    .unwrap_or(Ok(ExitStatus::Ok)),
            }
        })
        .await
    }
}

fn filter(tools: bool, prompts: bool, resources: bool, uris: Vec<String>) -> SubscriptionFilter {
    let all = !tools && !prompts && !resources && uris.is_empty();
    let mut filter = SubscriptionFilter::new();
    filter.tools_list_changed = (tools || all).then_some(true);
    filter.prompts_list_changed = (prompts || all).then_some(true);
    filter.resources_list_changed = (resources || all).then_some(true);
    filter.resource_subscriptions = (!uris.is_empty()).then_some(uris);
    filter
}

async fn listen(
    server: &ConnectedServer,
    filter: SubscriptionFilter,
    count: Option<u64>,
    timeout: Duration,
) -> Result<ExitStatus, CliError> {
    let mut listener = server
        .client
        .listen(filter)
        .timeout(timeout)
        .await
        .map_err(|error| server.error(&error))?;
    let missing = names(&listener.missing());
    if !missing.is_empty() {
        server.output.warn(&format!(
            "the server does not notify of changes of: {}",
            missing.join(", ")
        ));
    }
    let agreed = listener.acknowledged();
    match server.output.format {
        OutputFormat::Json => server.output.json_line(&json!({
            "method": "notifications/subscriptions/acknowledged",
            "params": {"notifications": agreed},
        }))?,
        OutputFormat::Human => {
            let names = match names(agreed) {
                names if names.is_empty() => "nothing".to_owned(),
                names => names.join(", "),
            };
            server.output.note(&format!(
                "Listening to {} for changes of: {names} (Ctrl-C ends it)",
                server.label
            ));
        }
    }
    let mut received = 0;
    while let Some(change) = listener.next().await {
        let change = change.map_err(|error| server.error(&error))?;
        match server.output.format {
            OutputFormat::Json => server.output.json_line(&event(&change))?,
            OutputFormat::Human => server.output.print(&render(server, &change))?,
        }
        received += 1;
        if count == Some(received) {
            return Ok(ExitStatus::Ok);
        }
    }
    server.output.note("The server ended the subscription.");
    Ok(ExitStatus::Ok)
}

/// Names what a filter includes.
fn names(filter: &SubscriptionFilter) -> Vec<String> {
    let lists = [
        ("tools", filter.wants_tools()),
        ("prompts", filter.wants_prompts()),
        ("resources", filter.wants_resources()),
    ];
    let lists = lists
        .iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(name, _)| format!("the list of {name}"));
    lists
        .chain(filter.resource_uris().iter().map(|uri| text::one_line(uri)))
        .collect()
}

/// Returns the notification without the members that belong to one subscription.
fn event(change: &Change) -> Value {
    match change {
        Change::Resource(uri) => json!({"method": change.method(), "params": {"uri": &**uri}}),
        Change::Task(task) => json!({"method": change.method(), "params": &task.task}),
        _ => json!({"method": change.method()}),
    }
}

fn render(server: &ConnectedServer, change: &Change) -> String {
    let list = |name: &str| {
        format!(
            "The list of {} has changed",
            server.output.paint(NAME, name)
        )
    };
    match change {
        Change::Tools => list("tools"),
        Change::Prompts => list("prompts"),
        Change::Resources => list("resources"),
        Change::Resource(uri) => format!(
            "{} has changed",
            server.output.paint(NAME, &text::one_line(uri))
        ),
        Change::Task(task) => format!(
            "The task {} has changed",
            server.output.paint(NAME, &text::one_line(&task.id))
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_all_lists() {
        assert_eq!(names(&filter(false, false, false, vec![])).len(), 3);
        assert_eq!(
            names(&filter(true, false, false, vec![])),
            ["the list of tools"]
        );
        assert_eq!(
            names(&filter(false, false, false, vec!["a:b".into()])),
            ["a:b"]
        );
    }

    #[test]
    fn events_have_the_methods_of_the_wire() {
        assert_eq!(
            event(&Change::Tools),
            json!({"method": "notifications/tools/list_changed"})
        );
        let updated =
            json!({"method": "notifications/resources/updated", "params": {"uri": "a:b"}});
        assert_eq!(event(&Change::Resource("a:b".into())), updated);
    }
}
