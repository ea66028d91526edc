//! Prompts on the terminal.

use super::{PromptError, PromptUi, Tone, ask};
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::output::{self, FAINT, Output, OutputFormat, TITLE, WARNING, text};
use crate::terminal_modes::TerminalModes;
use carryall::types::{ElicitRequestParams, ElicitResult};
use dialoguer::console::Term;
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use dialoguer::{Confirm, Input, MultiSelect, Select};
use std::io::{self, IsTerminal as _};
use tokio::sync::oneshot;

/// Asks the user at the terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prompter(Output);

impl Prompter {
    /// Returns a prompter if standard input and standard error are a terminal that is not dumb, and
    /// the output format is for people.
    pub(crate) fn new(output: Output) -> Option<Self> {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let interactive = output.stderr_is_terminal && !dumb && std::io::stdin().is_terminal();
        (interactive && output.format == OutputFormat::Human).then_some(Self(output))
    }

    /// Asks a question of `server`. The terminal is restored if the future is dropped.
    pub(crate) async fn ask(
        self,
        server: String,
        question: ElicitRequestParams,
    ) -> Result<ElicitResult, CliError> {
        let local = |error: &dyn std::fmt::Display| {
            CliError::local(format!("cannot prompt at the terminal: {error}"))
        };
        let label = server.clone();
        let (sender, answer) = oneshot::channel();
        let mut restore = RestoreOnDrop::new();
        // A thread, since reading from a terminal cannot be cancelled and must not delay the end of
        // the runtime.
        let asking =
            move || drop(sender.send(ask(&mut TerminalUi::new(self.0), &server, &question)));
        std::thread::Builder::new()
            .spawn(asking)
            .map_err(|error| local(&error))?;
        let answer = answer.await.map_err(|error| local(&error))?;
        restore.finished = !matches!(&answer, Err(PromptError::Terminal(_)));
        answer.map_err(|error| match error {
            PromptError::Terminal(error) if error.kind() == io::ErrorKind::Interrupted => {
                CliError::new(ExitStatus::Interrupted, "")
            }
            PromptError::Terminal(error) => local(&error),
            PromptError::Question(why) => CliError::new(
                ExitStatus::Refused,
                format!("{label}: invalid elicitation: {why}"),
            ),
        })
    }
}

/// Restores the terminal when dropped, also in the middle of a prompt.
struct RestoreOnDrop {
    modes: TerminalModes,
    finished: bool,
}

impl RestoreOnDrop {
    fn new() -> Self {
        Self {
            modes: TerminalModes::now(),
            finished: false,
        }
    }
}

impl Drop for RestoreOnDrop {
    fn drop(&mut self) {
        self.modes.restore();
        if !self.finished {
            output::write_stderr("");
        }
    }
}

struct TerminalUi {
    output: Output,
    term: Term,
    theme: Box<dyn Theme>,
}

impl TerminalUi {
    fn new(output: Output) -> Self {
        let theme: Box<dyn Theme> = if output.colors_err() {
            Box::new(ColorfulTheme::default())
        } else {
            Box::new(SimpleTheme)
        };
        Self {
            output,
            term: Term::stderr(),
            theme,
        }
    }
}

impl PromptUi for TerminalUi {
    fn print(&mut self, parts: &[(Tone, &str)]) {
        let painted = parts.iter().map(|(tone, part)| {
            let part = text::sanitize(part);
            match tone {
                Tone::Plain => part.into_owned(),
                Tone::Strong => self.output.label(TITLE, &part),
                Tone::Faint => self.output.label(FAINT, &part),
                Tone::Warning => self.output.label(WARNING, &part),
            }
        });
        output::write_stderr(&painted.collect::<String>());
    }

    fn text(&mut self, prompt: &str, default: Option<&str>) -> io::Result<String> {
        let input = Input::<String>::with_theme(&*self.theme)
            .with_prompt(prompt)
            .allow_empty(true);
        let input = match default {
            Some(default) => input.default(default.to_owned()),
            None => input,
        };
        input.interact_text_on(&self.term).map_err(io::Error::from)
    }

    fn confirm(&mut self, prompt: &str, default: Option<bool>) -> io::Result<bool> {
        let confirm = Confirm::with_theme(&*self.theme).with_prompt(prompt);
        let confirm = match default {
            Some(default) => confirm.default(default),
            None => confirm,
        };
        confirm.interact_on(&self.term).map_err(io::Error::from)
    }

    fn select(&mut self, prompt: &str, items: &[&str], initial: usize) -> io::Result<usize> {
        let select = Select::with_theme(&*self.theme)
            .with_prompt(prompt)
            .items(items)
            .default(initial);
        select.interact_on(&self.term).map_err(io::Error::from)
    }

    fn multi_select(&mut self, prompt: &str, items: &[(&str, bool)]) -> io::Result<Vec<usize>> {
        let select = MultiSelect::with_theme(&*self.theme)
            .with_prompt(prompt)
            .items_checked(items.iter().copied());
        select.interact_on(&self.term).map_err(io::Error::from)
    }

    fn open(&mut self, url: &str) -> io::Result<()> {
        open::that_detached(url)
    }
}
