//! The person at the terminal.

use super::{PromptError, Source, Tone, put};
use crate::fail::{Exit, Fail};
use crate::screen::{self, FAINT, Format, Output, TITLE, WARNING};
use crate::text;
use carryall::types::{ElicitRequestParams, ElicitResult};
use dialoguer::console::Term;
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use dialoguer::{Confirm, Input, MultiSelect, Select};
use std::io::{self, IsTerminal as _};
use tokio::sync::oneshot;

/// Somebody who can be asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prompter(Output);

impl Prompter {
    /// Somebody is there when standard input and standard error are a terminal that can do more
    /// than print, and results are made for people.
    pub(crate) fn at(screen: Output) -> Option<Self> {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let there = screen.watched && !dumb && std::io::stdin().is_terminal();
        (there && screen.format == Format::Human).then_some(Self(screen))
    }

    /// Puts a question of `who`. If the future is dropped, the terminal is as it was before.
    pub(crate) async fn ask(
        self,
        who: String,
        question: ElicitRequestParams,
    ) -> Result<ElicitResult, Fail> {
        let local = |error: &dyn std::fmt::Display| {
            Fail::new(Exit::Local, format!("cannot ask at the terminal: {error}"))
        };
        let server = who.clone();
        let (tell, told) = oneshot::channel();
        let mut restoring = RestoreOnDrop::new();
        // A thread of its own: reading from a terminal cannot be cancelled, and must not hold up
        // the end of the runtime.
        let asking = move || drop(tell.send(put(&mut Terminal::new(self.0), &who, &question)));
        std::thread::Builder::new()
            .spawn(asking)
            .map_err(|error| local(&error))?;
        let answer = told.await.map_err(|error| local(&error))?;
        restoring.finished = !matches!(&answer, Err(PromptError::Terminal(_)));
        answer.map_err(|trouble| match trouble {
            PromptError::Terminal(error) if error.kind() == io::ErrorKind::Interrupted => {
                Fail::new(Exit::Interrupted, "")
            }
            PromptError::Terminal(error) => local(&error),
            PromptError::Question(why) => {
                Fail::new(Exit::Refused, format!("{server} asks, but {why}"))
            }
        })
    }
}

/// The modes of the terminal as they are found, to be left like that: prompts turn its echo and its
/// cursor off.
#[derive(Debug)]
pub(crate) struct TerminalModes {
    #[cfg(unix)]
    modes: Option<rustix::termios::Termios>,
}

impl TerminalModes {
    pub(crate) fn now() -> Self {
        Self {
            #[cfg(unix)]
            modes: rustix::termios::tcgetattr(io::stdin()).ok(),
        }
    }

    /// Brings these modes back, unless they are still there.
    pub(crate) fn restore(&self) {
        #[cfg(unix)]
        if let Some(modes) = &self.modes
            && let Ok(now) = rustix::termios::tcgetattr(io::stdin())
            // A process in the background would be stopped for setting what need not be set.
            && (now.local_modes, now.input_modes) != (modes.local_modes, modes.input_modes)
        {
            // What fails here fails on a terminal that is gone.
            let _ = rustix::termios::tcsetattr(
                io::stdin(),
                rustix::termios::OptionalActions::Now,
                modes,
            );
        }
        let term = Term::stderr();
        if term.is_term() {
            let _ = term.show_cursor();
        }
    }

    /// As [`restore`](Self::restore), for a process that ends in the middle of a line.
    pub(crate) fn leave(&self) {
        self.restore();
        if Term::stderr().is_term() {
            let _ = Term::stderr().write_line("");
        }
    }
}

/// Leaves the terminal as it was.
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
            screen::say("");
        }
    }
}

struct Terminal {
    screen: Output,
    term: Term,
    theme: Box<dyn Theme>,
}

impl Terminal {
    fn new(screen: Output) -> Self {
        let theme: Box<dyn Theme> = if screen.colors_err() {
            Box::new(ColorfulTheme::default())
        } else {
            Box::new(SimpleTheme)
        };
        Self {
            screen,
            term: Term::stderr(),
            theme,
        }
    }
}

impl Source for Terminal {
    fn tell(&mut self, parts: &[(Tone, &str)]) {
        let painted = parts.iter().map(|(tone, part)| {
            let part = text::clean(part);
            match tone {
                Tone::Plain => part.into_owned(),
                Tone::Strong => self.screen.label(TITLE, &part),
                Tone::Faint => self.screen.label(FAINT, &part),
                Tone::Warning => self.screen.label(WARNING, &part),
            }
        });
        screen::say(&painted.collect::<String>());
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

    fn yes(&mut self, prompt: &str, default: Option<bool>) -> io::Result<bool> {
        let confirm = Confirm::with_theme(&*self.theme).with_prompt(prompt);
        let confirm = match default {
            Some(default) => confirm.default(default),
            None => confirm,
        };
        confirm.interact_on(&self.term).map_err(io::Error::from)
    }

    fn one_of(&mut self, prompt: &str, items: &[&str], at: usize) -> io::Result<usize> {
        let select = Select::with_theme(&*self.theme)
            .with_prompt(prompt)
            .items(items)
            .default(at);
        select.interact_on(&self.term).map_err(io::Error::from)
    }

    fn some_of(&mut self, prompt: &str, items: &[(&str, bool)]) -> io::Result<Vec<usize>> {
        let select = MultiSelect::with_theme(&*self.theme)
            .with_prompt(prompt)
            .items_checked(items.iter().copied());
        select.interact_on(&self.term).map_err(io::Error::from)
    }

    fn open(&mut self, url: &str) -> io::Result<()> {
        open::that_detached(url)
    }
}
