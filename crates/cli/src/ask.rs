//! Questions of servers, put to the person at the terminal (`client/elicitation`).
//!
//! What is asked, in which order, and what becomes of the answers is decided here and in [`form`]
//! and [`page`]. How it looks is the matter of a [`Source`]: the terminal, or a test that has the
//! answers ready.

mod form;
mod page;
mod terminal;

pub(crate) use terminal::{Prompter, TerminalModes};

use crate::text;
use carryall::types::{ElicitRequestParams, ElicitResult};
use std::io;

/// Prompts and choices have to stay on one line of a terminal.
const MAX_PROMPT: usize = 60;

/// Characters of a question that are shown.
const MAX_MESSAGE: usize = 4_000;

/// Who answers, one thing at a time.
trait Source {
    /// Says something, on a line of its own.
    fn tell(&mut self, parts: &[(Tone, &str)]);
    /// A line of text; the default, or nothing, when none is typed.
    fn text(&mut self, prompt: &str, default: Option<&str>) -> io::Result<String>;
    fn yes(&mut self, prompt: &str, default: Option<bool>) -> io::Result<bool>;
    /// The place of the one that is chosen; `at` is where the choice begins.
    fn one_of(&mut self, prompt: &str, items: &[&str], at: usize) -> io::Result<usize>;
    /// The places of those that are chosen; the second of each pair says whether it is at first.
    fn some_of(&mut self, prompt: &str, items: &[(&str, bool)]) -> io::Result<Vec<usize>>;
    /// Opens a page in the browser of this machine.
    fn open(&mut self, url: &str) -> io::Result<()>;
}

/// How something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Plain,
    Strong,
    Faint,
    Warning,
}

/// Why there is no answer.
#[derive(Debug)]
enum PromptError {
    /// The terminal fails, or the person has pressed Ctrl-C.
    Terminal(io::Error),
    /// Nobody could answer this.
    Question(String),
}

impl From<io::Error> for PromptError {
    fn from(error: io::Error) -> Self {
        Self::Terminal(error)
    }
}

/// Asks, having said who wants to know (`client/elicitation#security-considerations`).
fn put(
    source: &mut dyn Source,
    who: &str,
    question: &ElicitRequestParams,
) -> Result<ElicitResult, PromptError> {
    source.tell(&[]);
    source.tell(&[(Tone::Strong, &text::line(who)), (Tone::Plain, " asks:")]);
    source.tell(&[
        (Tone::Plain, "  "),
        (
            Tone::Plain,
            &text::clipped_line(question.message(), MAX_MESSAGE),
        ),
    ]);
    let answer = match question {
        ElicitRequestParams::Form(form) => form::ask(source, &form.requested_schema)?,
        ElicitRequestParams::Url(page) => page::ask(source, page)?,
    };
    answer.check(question).map_err(PromptError::Question)?;
    Ok(answer)
}

/// Text of the server's on one line, cut where it gets long.
fn short(text: &str) -> String {
    text::clipped_line(text, MAX_PROMPT)
}

#[cfg(test)]
mod tests;
