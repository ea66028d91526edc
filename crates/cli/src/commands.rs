//! The commands that talk to a server, one file each.

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

mod nothing;

use crate::fail::Fail;

/// Refuses words that a command has no use for.
fn no_more(words: &[String]) -> Result<(), Fail> {
    match words.first() {
        None => Ok(()),
        Some(word) => Err(Fail::usage(format!("{word:?} is one word too many"))
            .hint("with a command after `--` there is no TARGET in front of it")),
    }
}

/// The first word, which the command cannot do without.
fn first(words: &mut Vec<String>, what: &str, example: &str) -> Result<String, Fail> {
    if words.is_empty() {
        return Err(
            Fail::usage(format!("no {what} was given")).hint(format!("for example: {example}"))
        );
    }
    Ok(words.remove(0))
}
