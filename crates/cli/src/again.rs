//! The command that goes on with a task: the same server, reached in the same way.

use crate::connect::ServerOptions;
use crate::era::EraOption;
use crate::target::{ResolvedTarget, Target};
use crate::{text, words};

/// How to name a server, with the options to reach it, on another command line. What may be a
/// secret (the values of headers and variables, the arguments of a command) is left out, as `...`.
#[derive(Clone, Debug)]
pub(crate) struct FollowUpCommand {
    /// TARGET as it was typed, or nothing where a command stands at the end.
    target: Option<String>,
    options: Vec<String>,
    /// The command at the end.
    command: Option<String>,
}

impl FollowUpCommand {
    pub(crate) fn new(chosen: &ResolvedTarget, options: &ServerOptions) -> Self {
        let mut given = Vec::new();
        let mut add = |option: &str, value: &str| {
            given.push(format!("{option} {}", words::quoted(&text::line(value))))
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
        let command = match (&chosen.typed, &chosen.target) {
            (None, Target::Stdio(process)) if process.args.is_empty() => {
                Some(words::quoted(&process.program))
            }
            (None, Target::Stdio(process)) => {
                Some(format!("{} ...", words::quoted(&process.program)))
            }
            _ => None,
        };
        let target = chosen
            .typed
            .as_deref()
            .map(|typed| words::quoted(&text::line(typed)));
        Self {
            target,
            options: given,
            command,
        }
    }

    /// `carryall tasks ACTION TARGET ID`, with `more` options.
    pub(crate) fn task(&self, action: &str, id: &str, more: &str) -> String {
        let id = words::quoted(&text::line(id));
        let mut parts = vec!["carryall tasks", action];
        parts.extend(self.target.as_deref());
        parts.push(&id);
        parts.extend(self.options.iter().map(String::as_str));
        parts.extend(Some(more).filter(|more| !more.is_empty()));
        let command = self.command.as_ref().map(|command| format!("-- {command}"));
        parts.extend(command.as_deref());
        parts.join(" ")
    }
}

/// What brings answers to a task later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskFollowUp<'a> {
    pub(crate) again: &'a FollowUpCommand,
    /// `wait` or `update`.
    pub(crate) action: &'static str,
    pub(crate) id: &'a str,
}

impl TaskFollowUp<'_> {
    pub(crate) fn with(self, more: &str) -> String {
        self.again.task(self.action, self.id, more)
    }
}
