//! The rules for tool calls and their results within one conversation
//! (`client/sampling#message-content-constraints`).

use super::{SamplingMessage, SamplingMessageContentBlock as Block};
use crate::Role;
use std::collections::HashSet;

/// Walks the conversation with the calls that the next message has to answer.
pub(super) fn check_tool_exchange(messages: &[SamplingMessage]) -> Result<(), String> {
    let mut open = HashSet::new();
    for (index, message) in messages.iter().enumerate() {
        let answered = results(index, message)?;
        // An id that was not called is reported as such, not as an answer that is missing.
        if let Some(id) = answered.iter().find(|id| !open.contains(*id)) {
            return Err(format!(
                "message {index}: tool result {id:?} answers no tool use of the message before it"
            ));
        }
        if let Some(id) = open.iter().find(|id| !answered.contains(*id)) {
            return Err(format!(
                "message {index}: tool use {id:?} of the message before it is not answered"
            ));
        }
        open = uses(index, message)?;
    }
    match open.iter().next() {
        Some(id) => Err(format!(
            "tool use {id:?} of the last message is not answered"
        )),
        None => Ok(()),
    }
}

/// The calls that `message` answers.
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
            "message {index}: a tool result belongs into a user message"
        ));
    }
    if ids.len() != blocks.len() {
        return Err(format!(
            "message {index}: tool results are mixed with other content"
        ));
    }
    Ok(ids)
}

/// The calls that `message` makes.
fn uses(index: usize, message: &SamplingMessage) -> Result<HashSet<&str>, String> {
    let mut ids = HashSet::new();
    for block in message.content.blocks() {
        let Block::ToolUse(tool_use) = block else {
            continue;
        };
        if message.role != Role::Assistant {
            return Err(format!(
                "message {index}: a tool use belongs into an assistant message"
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
