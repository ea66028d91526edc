//! The commands, one file each.

pub(crate) mod cache;
pub(crate) mod call;
pub(crate) mod complete;
pub(crate) mod completions;
pub(crate) mod discover;
pub(crate) mod listen;
pub(crate) mod prompt;
pub(crate) mod prompts;
pub(crate) mod read;
pub(crate) mod resources;
pub(crate) mod tasks;
pub(crate) mod templates;
pub(crate) mod tools;
pub(crate) mod trust;

mod empty;
mod tool_result;

use crate::error::CliError;

/// Rejects further positional arguments.
fn no_more(words: &[String]) -> Result<(), CliError> {
    match words.first() {
        None => Ok(()),
        Some(word) => Err(CliError::usage(format!("unexpected argument {word:?}"))
            .hint("a command after `--` takes the place of TARGET")),
    }
}

/// Removes and returns the first positional argument, which is required.
fn first(words: &mut Vec<String>, what: &str, example: &str) -> Result<String, CliError> {
    if words.is_empty() {
        return Err(
            CliError::usage(format!("no {what} was given")).hint(format!("for example: {example}"))
        );
    }
    Ok(words.remove(0))
}
