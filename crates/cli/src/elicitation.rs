//! Elicitation at the terminal (`client/elicitation`): asks the user what a server wants to know.
//!
//! This module and its children decide what is asked, in which order, and what the answers mean. A
//! [`PromptUi`] draws the prompts: the terminal, or a test with prepared answers.

mod form;
mod terminal;
mod url;

pub(crate) use terminal::Prompter;

use crate::output::text;
use carryall::types::{ElicitRequestParams, ElicitResult};
use std::io;

/// Prompts and options are clipped to stay on one line of a terminal, in characters.
const MAX_PROMPT: usize = 60;

/// Longer messages are clipped, in characters.
const MAX_MESSAGE: usize = 4_000;

/// Draws prompts and reads answers, one at a time.
trait PromptUi {
    /// Prints a line made of these parts.
    fn print(&mut self, parts: &[(Tone, &str)]);
    /// Reads a line of text. Returns the default, or an empty string, if none is typed.
    fn text(&mut self, prompt: &str, default: Option<&str>) -> io::Result<String>;
    /// Asks a yes/no question.
    fn confirm(&mut self, prompt: &str, default: Option<bool>) -> io::Result<bool>;
    /// Returns the index of the selected item; `initial` is selected at first.
    fn select(&mut self, prompt: &str, items: &[&str], initial: usize) -> io::Result<usize>;
    /// Returns the indices of the selected items. Each item has a flag for whether it is selected
    /// at first.
    fn multi_select(&mut self, prompt: &str, items: &[(&str, bool)]) -> io::Result<Vec<usize>>;
    /// Opens a page in the browser of this machine.
    fn open(&mut self, url: &str) -> io::Result<()>;
}

/// The style of printed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Plain,
    Strong,
    Faint,
    Warning,
}

/// Why a question was not answered.
#[derive(Debug)]
enum PromptError {
    /// The terminal failed, or the user pressed Ctrl-C.
    Terminal(io::Error),
    /// The question is invalid and cannot be answered.
    Question(String),
}

impl From<io::Error> for PromptError {
    fn from(error: io::Error) -> Self {
        Self::Terminal(error)
    }
}

/// Names the server and asks its question (`client/elicitation#security-considerations`).
fn ask(
    ui: &mut dyn PromptUi,
    server: &str,
    question: &ElicitRequestParams,
) -> Result<ElicitResult, PromptError> {
    ui.print(&[]);
    ui.print(&[
        (Tone::Strong, &text::one_line(server)),
        (Tone::Plain, " asks:"),
    ]);
    ui.print(&[
        (Tone::Plain, "  "),
        (
            Tone::Plain,
            &text::clipped_line(question.message(), MAX_MESSAGE),
        ),
    ]);
    let answer = match question {
        ElicitRequestParams::Form(form) => form::ask(ui, &form.requested_schema)?,
        ElicitRequestParams::Url(page) => url::ask(ui, page)?,
    };
    answer.check(question).map_err(PromptError::Question)?;
    Ok(answer)
}

/// Puts text of the server on one line and clips it for a prompt.
fn prompt_line(text: &str) -> String {
    text::clipped_line(text, MAX_PROMPT)
}

#[cfg(test)]
mod tests;
