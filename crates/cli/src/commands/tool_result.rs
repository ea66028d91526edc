//! Prints the result of a tool.

use crate::connection::ConnectedServer;
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::output::{Output, OutputFormat, render};
use carryall::types::{CallToolResult, ContentBlock, JsonValue};

/// Prints a result of `what`.
///
/// # Errors
/// [`ExitStatus::ToolFailed`] if the tool reports that it failed.
pub(super) fn finish(
    server: &ConnectedServer,
    what: &str,
    result: &CallToolResult,
) -> Result<ExitStatus, CliError> {
    match server.output.format {
        OutputFormat::Json => server.output.json(result)?,
        OutputFormat::Human => server.output.print(&render(&server.output, result))?,
    }
    if result.failed() {
        return Err(CliError::new(
            ExitStatus::ToolFailed,
            format!("{}: {what} failed (isError)", server.label),
        ));
    }
    Ok(ExitStatus::Ok)
}

/// Renders a result for people. Content that repeats the structured content is left out.
pub(super) fn render(output: &Output, result: &CallToolResult) -> String {
    let Some(structured) = &result.structured_content else {
        return render::content(output, &result.content);
    };
    if let Some(wrapped) = only_result(structured)
        && repeats(&result.content, wrapped)
    {
        // FastMCP and others return a value that is not an object as `{"result": value}`, and the
        // value as text.
        return match wrapped {
            JsonValue::Array(_) | JsonValue::Object(_) => render::json(wrapped),
            _ => render::content(output, &result.content),
        };
    }
    // Most servers repeat the structured content as text, for models that only read that.
    let others: Vec<ContentBlock> = result
        .content
        .iter()
        .filter(|block| !is_text_of(block, structured))
        .cloned()
        .collect();
    let mut out = render::content(output, &others);
    if !out.is_empty() {
        out.push('\n');
    }
    format!("{out}{}", render::json(structured))
}

/// Returns the value in `{"result": value}`.
fn only_result(structured: &JsonValue) -> Option<&JsonValue> {
    structured
        .as_object()
        .filter(|object| object.len() == 1)?
        .get("result")
}

/// Whether the content is the text of this value and nothing else: in one block, or in one block
/// for each item of a list.
fn repeats(content: &[ContentBlock], value: &JsonValue) -> bool {
    match (content, value) {
        ([block], value) if is_text_of(block, value) => true,
        (blocks, JsonValue::Array(items)) => {
            blocks.len() == items.len()
                && blocks
                    .iter()
                    .zip(items)
                    .all(|(block, item)| is_text_of(block, item))
        }
        ([], JsonValue::Null) => true,
        _ => false,
    }
}

/// Whether a block is the text of this value: as JSON, or the string itself.
fn is_text_of(block: &ContentBlock, value: &JsonValue) -> bool {
    let Some(text) = block.as_text() else {
        return false;
    };
    value.as_str() == Some(text)
        || serde_json::from_str::<JsonValue>(text).is_ok_and(|parsed| parsed == *value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::OutputOptions;
    use serde_json::json;

    fn rendered(texts: &[&str], structured: JsonValue) -> String {
        let mut result = CallToolResult::new(
            texts
                .iter()
                .map(|text| ContentBlock::text(*text))
                .collect::<Vec<_>>(),
        );
        result.structured_content = Some(structured);
        render(&Output::new(OutputOptions::default()), &result)
    }

    #[test]
    fn repeated_content_is_printed_once() {
        assert_eq!(
            rendered(&["{\"sum\": 5}"], json!({"sum": 5})),
            "{\n  \"sum\": 5\n}"
        );
        assert_eq!(rendered(&["hello"], json!({"result": "hello"})), "hello");
        assert_eq!(rendered(&["5"], json!({"result": 5})), "5");
        assert_eq!(rendered(&["true"], json!({"result": true})), "true");
        assert_eq!(
            rendered(&["1", "2"], json!({"result": [1, 2]})),
            "[\n  1,\n  2\n]"
        );
        assert_eq!(
            rendered(&["a", "b"], json!({"result": ["a", "b"]})),
            "[\n  \"a\",\n  \"b\"\n]"
        );
        assert_eq!(rendered(&["[1]"], json!({"result": [1]})), "[\n  1\n]");
        assert_eq!(rendered(&[], json!({"result": null})), "");
    }

    #[test]
    fn other_content_is_never_left_out() {
        assert_eq!(
            rendered(&["five"], json!({"result": 5})),
            "five\n{\n  \"result\": 5\n}"
        );
        assert_eq!(
            rendered(&["hello"], json!({"result": "hello", "more": 1}))
                .lines()
                .next(),
            Some("hello")
        );
        let unequal = rendered(&["1"], json!({"result": [1, 2]}));
        assert!(
            unequal.starts_with("1\n") && unequal.contains('2'),
            "{unequal}"
        );
    }
}
