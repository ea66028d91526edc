//! Arguments on the command line: `key=value`, `key:=json`, `key=@file`, `key:=@file`, `@file`,
//! `-`.

mod allowed_values;
mod describe;
mod schema;

pub(crate) use allowed_values::{allowed_values, disallowed_value};
pub(crate) use describe::describe_type;
pub(crate) use schema::{property, required};

use crate::error::CliError;
use carryall::types::{JsonObject, JsonValue};
use std::io::Read as _;

/// Files and standard input are not read beyond this size, in bytes.
const MAX_INPUT: u64 = 64 * 1024 * 1024;

/// One parsed argument.
#[derive(Clone, Debug, PartialEq)]
enum ParsedArg {
    /// `key=value`: text, which is converted to the type in the schema.
    Text(String, String),
    /// `key:=json`.
    Json(String, JsonValue),
    /// `@file` or `-`: all arguments at once.
    Whole(JsonObject),
}

/// Parses arguments for a tool with this schema. Later arguments override earlier ones.
pub(crate) fn for_schema(words: &[String], schema: &JsonObject) -> Result<JsonObject, CliError> {
    let mut arguments = JsonObject::new();
    for word in words {
        match parse(word)? {
            ParsedArg::Whole(object) => arguments.extend(object),
            ParsedArg::Json(key, value) => {
                arguments.insert(key, value);
            }
            ParsedArg::Text(key, text) => {
                let value =
                    schema::convert(&text, &schema::types_of(schema, &key)).map_err(|why| {
                        let hint = format!("{key}:=JSON passes any JSON value");
                        CliError::usage(format!("argument `{key}`: {why}")).hint(hint)
                    })?;
                arguments.insert(key, value);
            }
        }
    }
    Ok(arguments)
}

/// Parses arguments as strings, which prompts and completions take.
pub(crate) fn as_strings(words: &[String]) -> Result<Vec<(String, String)>, CliError> {
    let text_of = |value: JsonValue| match value {
        JsonValue::String(text) => text,
        other => other.to_string(),
    };
    let mut pairs = Vec::new();
    for word in words {
        match parse(word)? {
            ParsedArg::Whole(object) => {
                pairs.extend(object.into_iter().map(|(key, value)| (key, text_of(value))))
            }
            ParsedArg::Json(key, value) => pairs.push((key, text_of(value))),
            ParsedArg::Text(key, text) => pairs.push((key, text)),
        }
    }
    Ok(pairs)
}

/// Checks that a word is `key=value` or `key:=json`, and that a file in it can be read.
pub(crate) fn check_pair(word: &str) -> Result<(), CliError> {
    if word == "-" || word.starts_with('@') {
        return Err(CliError::usage("it names no field"));
    }
    parse(word).map(drop)
}

fn parse(word: &str) -> Result<ParsedArg, CliError> {
    if word == "-" {
        return parse_object(&standard_input()?, "standard input");
    }
    if let Some(file) = word.strip_prefix('@') {
        return parse_object(&read(file)?, file);
    }
    let Some((key, value)) = word.split_once('=') else {
        return Err(CliError::usage(format!("invalid argument {word:?}"))
            .hint("write key=value, key:=json, key=@file, @file for a whole JSON object, or - to read one from standard input"));
    };
    if let Some(key) = key.strip_suffix(':') {
        let text = match value.strip_prefix('@') {
            Some(file) => read(file)?,
            None => value.to_owned(),
        };
        let value = serde_json::from_str(&text).map_err(|error| {
            CliError::usage(format!("argument `{key}`: not JSON: {error}"))
                .hint(format!("for plain text write {key}=TEXT"))
        })?;
        return Ok(ParsedArg::Json(checked_name(key, word)?, value));
    }
    let text = match value.strip_prefix('@') {
        Some(file) => read(file)?,
        None => value.to_owned(),
    };
    Ok(ParsedArg::Text(checked_name(key, word)?, text))
}

fn checked_name(key: &str, word: &str) -> Result<String, CliError> {
    if key.is_empty() {
        return Err(CliError::usage(format!(
            "argument {word:?} has no name before the `=`"
        )));
    }
    Ok(key.to_owned())
}

fn parse_object(text: &str, from: &str) -> Result<ParsedArg, CliError> {
    match serde_json::from_str(text) {
        Ok(JsonValue::Object(object)) => Ok(ParsedArg::Whole(object)),
        Ok(_) => Err(CliError::usage(format!(
            "{from}: the arguments must be a JSON object, like {{\"key\": \"value\"}}"
        ))),
        Err(error) => Err(CliError::usage(format!("{from}: not JSON: {error}"))),
    }
}

fn read(file: &str) -> Result<String, CliError> {
    let unreadable =
        |error: std::io::Error| CliError::usage(format!("cannot read {file:?}: {error}"));
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    opened
        .take(MAX_INPUT)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    Ok(text)
}

fn standard_input() -> Result<String, CliError> {
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(MAX_INPUT)
        .read_to_string(&mut text);
    read.map_err(|error| CliError::usage(format!("cannot read standard input: {error}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests;
