//! Validation of tool calls and their results within a conversation
//! (`client/sampling#message-content-constraints`).

use super::{SamplingMessage, SamplingMessageContentBlock as Block};
use crate::Role;
use std::collections::HashSet;

/// Checks that each message with tool calls is followed by one with their results.
pub(super) fn check_tool_exchange(messages: &[SamplingMessage]) -> Result<(), String> {
    let mut open = HashSet::new();
    for (index, message) in messages.iter().enumerate() {
        let answered = results(index, message)?;
        // Checked first, so that a wrong id is reported as unknown and not as a missing result.
        if let Some(id) = answered.iter().find(|id| !open.contains(*id)) {
            return Err(format!(
                "message {index}: tool result {id:?} matches no tool use in the previous message"
            ));
        }
        if let Some(id) = open.iter().find(|id| !answered.contains(*id)) {
            return Err(format!(
                "message {index}: no result for tool use {id:?} in the previous message"
            ));
        }
        open = uses(index, message)?;
    }
    match open.iter().next() {
        Some(id) => Err(format!("no result for tool use {id:?} in the last message")),
        None => Ok(()),
    }
}

/// Returns the ids of the tool results in `message`.
fn results(index: usize, message: &SamplingMessage) -> Result<HashSet<&str>, String> {
    let blocks = message.content.blocks();
    let mut ids = HashSet::new();
    for block in blocks {
        if let Block::ToolResult(result) = block
            && !ids.insert(result.tool_use_id.as_str())
        {
            return Err(format!(
                "message {index}: more than one tool result for {:?}",
                result.tool_use_id
            ));
        }
    }
    if ids.is_empty() {
        return Ok(ids);
    }
    if message.role != Role::User {
        return Err(format!(
            "message {index}: tool results are allowed only in user messages"
        ));
    }
    if ids.len() != blocks.len() {
        return Err(format!(
            "message {index}: tool results must not be mixed with other content"
        ));
    }
    Ok(ids)
}

/// Returns the ids of the tool calls in `message`.
fn uses(index: usize, message: &SamplingMessage) -> Result<HashSet<&str>, String> {
    let mut ids = HashSet::new();
    for block in message.content.blocks() {
        let Block::ToolUse(tool_use) = block else {
            continue;
        };
        if message.role != Role::Assistant {
            return Err(format!(
                "message {index}: tool uses are allowed only in assistant messages"
            ));
        }
        if !ids.insert(tool_use.id.as_str()) {
            return Err(format!(
                "message {index}: tool use id {:?} is not unique",
                tool_use.id
            ));
        }
    }
    Ok(ids)
}
