//! The text of a tool result.

use carryall_types::{CallToolResult, ContentBlock};

/// Joins the text blocks of a result with newlines, to show them to a model or a person.
///
/// ```
/// use carryall_client::text_of;
/// use carryall_types::CallToolResult;
///
/// assert_eq!(text_of(&CallToolResult::text("21 °C")), "21 °C");
/// ```
#[must_use]
pub fn text_of(result: &CallToolResult) -> String {
    let texts: Vec<&str> = result
        .content
        .iter()
        .filter_map(ContentBlock::as_text)
        .collect();
    texts.join("\n")
}
