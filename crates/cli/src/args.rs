//! Arguments on the command line: `key=value`, `key:=json`, `key=@file`, `key:=@file`, `@file`,
//! `-`.

mod choices;
mod schema;

pub(crate) use choices::{choices, wrong_choice};
pub(crate) use schema::{property, required, types_shown};

use schema::kinds_of;

use crate::fail::Fail;
use carryall::types::{JsonObject, JsonValue};
use std::io::Read as _;

/// Files and standard input larger than this are not read.
const MAX_INPUT: u64 = 64 * 1024 * 1024;

/// One word, taken apart.
#[derive(Clone, Debug, PartialEq)]
enum Word {
    /// `key=value`: text, which the schema may turn into something else.
    Text(String, String),
    /// `key:=json`.
    Json(String, JsonValue),
    /// `@file` or `-`: all arguments at once.
    Whole(JsonObject),
}

/// The arguments that `words` mean for a tool with this schema. TaskFollowUp words win over earlier ones.
pub(crate) fn for_schema(words: &[String], schema: &JsonObject) -> Result<JsonObject, Fail> {
    let mut arguments = JsonObject::new();
    for word in words {
        match parse(word)? {
            Word::Whole(object) => arguments.extend(object),
            Word::Json(key, value) => {
                arguments.insert(key, value);
            }
            Word::Text(key, text) => {
                let value = schema::convert(&text, &kinds_of(schema, &key)).map_err(|why| {
                    let hint = format!("{key}:=JSON passes any JSON value");
                    Fail::usage(format!("argument `{key}`: {why}")).hint(hint)
                })?;
                arguments.insert(key, value);
            }
        }
    }
    Ok(arguments)
}

/// The arguments as strings, as prompts and completions take them.
pub(crate) fn as_strings(words: &[String]) -> Result<Vec<(String, String)>, Fail> {
    let text_of = |value: JsonValue| match value {
        JsonValue::String(text) => text,
        other => other.to_string(),
    };
    let mut pairs = Vec::new();
    for word in words {
        match parse(word)? {
            Word::Whole(object) => {
                pairs.extend(object.into_iter().map(|(key, value)| (key, text_of(value))))
            }
            Word::Json(key, value) => pairs.push((key, text_of(value))),
            Word::Text(key, text) => pairs.push((key, text)),
        }
    }
    Ok(pairs)
}

/// Checks that a word is `key=value`, `key:=json`, or one of these with a file that can be read.
pub(crate) fn check_pair(word: &str) -> Result<(), Fail> {
    if word == "-" || word.starts_with('@') {
        return Err(Fail::usage("names no field"));
    }
    parse(word).map(drop)
}

fn parse(word: &str) -> Result<Word, Fail> {
    if word == "-" {
        return whole(&standard_input()?, "standard input");
    }
    if let Some(file) = word.strip_prefix('@') {
        return whole(&read(file)?, file);
    }
    let Some((key, value)) = word.split_once('=') else {
        return Err(Fail::usage(format!("argument {word:?} is not understood"))
            .hint("write key=value, key:=json, key=@file, @file for a whole JSON object, or - to read one from standard input"));
    };
    if let Some(key) = key.strip_suffix(':') {
        let text = match value.strip_prefix('@') {
            Some(file) => read(file)?,
            None => value.to_owned(),
        };
        let value = serde_json::from_str(&text).map_err(|error| {
            Fail::usage(format!("argument `{key}`: not JSON: {error}"))
                .hint(format!("for plain text write {key}=TEXT"))
        })?;
        return Ok(Word::Json(named(key, word)?, value));
    }
    let text = match value.strip_prefix('@') {
        Some(file) => read(file)?,
        None => value.to_owned(),
    };
    Ok(Word::Text(named(key, word)?, text))
}

fn named(key: &str, word: &str) -> Result<String, Fail> {
    if key.is_empty() {
        return Err(Fail::usage(format!(
            "argument {word:?} has no name before the `=`"
        )));
    }
    Ok(key.to_owned())
}

fn whole(text: &str, from: &str) -> Result<Word, Fail> {
    match serde_json::from_str(text) {
        Ok(JsonValue::Object(object)) => Ok(Word::Whole(object)),
        Ok(_) => Err(Fail::usage(format!(
            "{from}: the arguments must be a JSON object, like {{\"key\": \"value\"}}"
        ))),
        Err(error) => Err(Fail::usage(format!("{from}: not JSON: {error}"))),
    }
}

fn read(file: &str) -> Result<String, Fail> {
    let cannot = |error: std::io::Error| Fail::usage(format!("cannot read {file:?}: {error}"));
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(cannot)?;
    opened
        .take(MAX_INPUT)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    Ok(text)
}

fn standard_input() -> Result<String, Fail> {
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(MAX_INPUT)
        .read_to_string(&mut text);
    read.map_err(|error| Fail::usage(format!("cannot read standard input: {error}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests;
