//! Commands that are suggested to the user for a task of the same server.

use super::options::ConnectOptions;
use crate::era::EraOption;
use crate::output::text;
use crate::shell;
use crate::target::{ResolvedTarget, ServerTarget};

/// Builds `carryall tasks` commands that reach the same server in the same way. Possible secrets
/// (the values of headers and variables, the arguments of a command) are replaced by `...`.
#[derive(Clone, Debug)]
pub(crate) struct FollowUpCommand {
    /// TARGET as it was typed; `None` if there is a command instead.
    target: Option<String>,
    options: Vec<String>,
    /// The command after `--`.
    command: Option<String>,
}

impl FollowUpCommand {
    pub(super) fn new(resolved: &ResolvedTarget, options: &ConnectOptions) -> Self {
        let mut given = Vec::new();
        let mut add = |option: &str, value: &str| {
            given.push(format!("{option} {}", shell::quote(&text::one_line(value))))
        };
        if let Some(config) = &options.config {
            add("--config", &config.display().to_string());
        }
        for header in &options.headers {
            add(
                "--header",
                &format!(
                    "{}: ...",
                    header.split(':').next().unwrap_or_default().trim()
                ),
            );
        }
        for variable in &options.env {
            match variable.split_once('=') {
                Some((name, _)) => add("--env", &format!("{name}=...")),
                None => add("--env", variable),
            }
        }
        for member in &options.meta {
            add("--meta", member);
        }
        match options.era {
            EraOption::Auto => {}
            EraOption::Modern => add("--era", "modern"),
            EraOption::Legacy => add("--era", "legacy"),
        }
        let command = match (&resolved.typed, &resolved.target) {
            (None, ServerTarget::Stdio(stdio)) if stdio.args.is_empty() => {
                Some(shell::quote(&stdio.program))
            }
            (None, ServerTarget::Stdio(stdio)) => {
                Some(format!("{} ...", shell::quote(&stdio.program)))
            }
            _ => None,
        };
        let target = resolved
            .typed
            .as_deref()
            .map(|typed| shell::quote(&text::one_line(typed)));
        Self {
            target,
            options: given,
            command,
        }
    }

    /// Returns the command that waits for a task.
    pub(crate) fn wait(&self, id: &str) -> String {
        self.task("wait", id, "")
    }

    /// Returns the command `carryall tasks ACTION TARGET ID` with `extra` options.
    pub(crate) fn task(&self, action: &str, id: &str, extra: &str) -> String {
        let id = shell::quote(&text::one_line(id));
        let mut parts = vec!["carryall tasks", action];
        parts.extend(self.target.as_deref());
        parts.push(&id);
        parts.extend(self.options.iter().map(String::as_str));
        parts.extend(Some(extra).filter(|extra| !extra.is_empty()));
        let command = self.command.as_ref().map(|command| format!("-- {command}"));
        parts.extend(command.as_deref());
        parts.join(" ")
    }
}

/// The command that gives a task the answers it asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskFollowUp<'a> {
    pub(crate) command: &'a FollowUpCommand,
    /// `wait` or `update`.
    pub(crate) action: &'static str,
    pub(crate) id: &'a str,
}

impl TaskFollowUp<'_> {
    /// Returns the command with these `--answer` options.
    pub(crate) fn with(self, answers: &str) -> String {
        self.command.task(self.action, self.id, answers)
    }
}
