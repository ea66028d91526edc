//! Checks arguments before a call.

use super::tools;
use crate::args;
use crate::connection::ConnectedServer;
use crate::error::CliError;
use crate::output::render;
use crate::suggest;
use carryall::types::{JsonObject, JsonValue, Tool};

/// Checks the arguments for what the server would refuse with a less helpful message: missing,
/// unknown and disallowed ones.
pub(super) fn check(
    server: &ConnectedServer,
    tool: &Tool,
    arguments: &JsonObject,
) -> Result<(), CliError> {
    let schema = &tool.input_schema;
    let known: Vec<&str> = schema
        .get("properties")
        .and_then(JsonValue::as_object)
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    let unknown: Vec<&str> = arguments
        .keys()
        .map(String::as_str)
        .filter(|name| !known.contains(name))
        .collect();
    let rejects_unknown = schema.get("additionalProperties") == Some(&JsonValue::Bool(false));
    let missing: Vec<&str> = args::required(schema)
        .filter(|name| !arguments.contains_key(*name))
        .collect();
    let disallowed = args::disallowed_value(arguments, schema);
    if missing.is_empty() && disallowed.is_none() && (unknown.is_empty() || !rejects_unknown) {
        return Ok(());
    }
    let mut problems = Vec::new();
    if !missing.is_empty() {
        problems.push(describe_missing(tool, &missing));
    }
    let mut error = CliError::usage(String::new());
    for name in unknown {
        if rejects_unknown {
            problems.push(format!("tool {} has no argument {name:?}", tool.name));
        }
        error.hints.extend(
            suggest::did_you_mean(name, known.iter().copied())
                .map(|suggestion| format!("{name}: {suggestion}")),
        );
    }
    if let Some(wrong) = disallowed {
        let argument = wrong.argument;
        problems.push(format!(
            "tool {}: argument {argument:?}: {}",
            tool.name, wrong.problem
        ));
        error.hints.extend(
            wrong
                .suggestion
                .map(|suggestion| format!("{argument}: {suggestion}")),
        );
    }
    error.message = format!("{}: {}", server.label, problems.join("; "));
    Err(error.hint(format!(
        "`carryall tools TARGET {}` shows its arguments",
        tool.name
    )))
}

fn describe_missing(tool: &Tool, missing: &[&str]) -> String {
    let rows = tools::argument_rows(tool)
        .into_iter()
        .filter(|[name, ..]| missing.contains(&name.as_str()))
        .map(|[name, argument_type, _, about]| [name, argument_type, about]);
    let lines: Vec<String> = render::plain_table(rows)
        .lines()
        .map(|line| format!("  {line}"))
        .collect();
    let plural = if missing.len() == 1 {
        "argument is"
    } else {
        "arguments are"
    };
    format!(
        "tool {}: required {plural} missing:\n{}",
        tool.name,
        lines.join("\n")
    )
}
