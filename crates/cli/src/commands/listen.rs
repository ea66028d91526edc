//! `carryall listen`: tells of changes as they happen.

use crate::connect::{self, Server, ServerOptions};
use crate::duration;
use crate::fail::{Exit, Fail};
use crate::screen::{Format, NAME};
use crate::text;
use carryall::client::Change;
use carryall::types::SubscriptionFilter;
use serde_json::{Value, json};
use std::time::Duration;

const EXAMPLES: &str = "\
Without --tools, --prompts, --resources and URIs it listens for changes of all three lists.
It ends with Ctrl-C (exit code 0), or when the server ends the subscription. A broken connection is opened again.

Examples:
  carryall listen localhost:8080 --tools demo://notice
  carryall listen localhost:8080 --format json | jq .method";

/// Tell of changes as they happen, one line each
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "carryall listen [OPTIONS] TARGET [URI]...\n       carryall listen [OPTIONS] [URI]... -- COMMAND [ARG]..."
)]
pub(crate) struct Listen {
    /// The server: a URL, a name from an mcp.json, stdio:'COMMAND' or unix:PATH
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Resources whose updates to listen for
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
    /// End after so many changes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this time
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    pub(crate) lasting: Option<Duration>,
    /// A command to start as the server, instead of TARGET
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

impl Listen {
    pub(crate) async fn run(self) -> Result<Exit, Fail> {
        let (target, uris) = self.server.split(self.target, self.uris, self.command)?;
        let filter = filter(self.tools, self.prompts, self.resources, uris);
        connect::with(target, &self.server, Exit::Ok, async |server| {
            let listening = listen(server, filter, self.count, self.server.timeout);
            match self.lasting {
                None => listening.await,
                Some(time) => tokio::time::timeout(time, listening)
                    .await
                    .unwrap_or(Ok(Exit::Ok)),
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
    server: &Server,
    filter: SubscriptionFilter,
    count: Option<u64>,
    patience: Duration,
) -> Result<Exit, Fail> {
    let mut listener = server
        .client
        .listen(filter)
        .timeout(patience)
        .await
        .map_err(|error| server.failed(&error))?;
    let missing = names(&listener.missing());
    if !missing.is_empty() {
        server.screen.warn(&format!(
            "the server does not tell of: {}",
            missing.join(", ")
        ));
    }
    let agreed = listener.acknowledged();
    match server.screen.format {
        Format::Json => server.screen.json_line(&json!({
            "method": "notifications/subscriptions/acknowledged",
            "params": {"notifications": agreed},
        }))?,
        Format::Human => {
            let names = names(agreed);
            let names = if names.is_empty() {
                "nothing".to_owned()
            } else {
                names.join(", ")
            };
            server.screen.note(&format!(
                "Listening to {} for: {names} (Ctrl-C ends it)",
                server.place
            ));
        }
    }
    let mut seen = 0;
    while let Some(change) = listener.next().await {
        let change = change.map_err(|error| server.failed(&error))?;
        match server.screen.format {
            Format::Json => server.screen.json_line(&event(&change))?,
            Format::Human => server.screen.print(&told(server, &change))?,
        }
        seen += 1;
        if count == Some(seen) {
            return Ok(Exit::Ok);
        }
    }
    server.screen.note("The server has ended the subscription.");
    Ok(Exit::Ok)
}

/// What a filter is about, in words.
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
        .chain(filter.resource_uris().iter().map(|uri| text::line(uri)))
        .collect()
}

/// The notification, without what belongs to one subscription alone.
fn event(change: &Change) -> Value {
    match change {
        Change::Resource(uri) => json!({"method": change.method(), "params": {"uri": &**uri}}),
        Change::Task(task) => json!({"method": change.method(), "params": &task.task}),
        _ => json!({"method": change.method()}),
    }
}

fn told(server: &Server, change: &Change) -> String {
    let list = |name: &str| {
        format!(
            "The list of {} has changed",
            server.screen.paint(NAME, name)
        )
    };
    match change {
        Change::Tools => list("tools"),
        Change::Prompts => list("prompts"),
        Change::Resources => list("resources"),
        Change::Resource(uri) => format!(
            "{} has changed",
            server.screen.paint(NAME, &text::line(uri))
        ),
        Change::Task(task) => format!(
            "The task {} has changed",
            server.screen.paint(NAME, &text::line(&task.id))
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_choice_it_is_all_lists() {
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
    fn events_carry_the_names_of_the_wire() {
        assert_eq!(
            event(&Change::Tools),
            json!({"method": "notifications/tools/list_changed"})
        );
        let updated =
            json!({"method": "notifications/resources/updated", "params": {"uri": "a:b"}});
        assert_eq!(event(&Change::Resource("a:b".into())), updated);
    }
}
