//! Tools that change the catalogue, so that listeners are notified.

use carryall::server::{Prompt, ServerBuilder, Tool};
use carryall::{HandlerError, Server, State};
use std::sync::{Arc, OnceLock};

const TOOL: &str = "test_tool_that_comes_and_goes";
const PROMPT: &str = "test_prompt_that_comes_and_goes";

pub(crate) fn add(builder: ServerBuilder) -> ServerBuilder {
    builder
        .tool(
            Tool::new("test_trigger_tool_change", change_tools)
                .description("Adds or removes a tool"),
        )
        .tool(
            Tool::new("test_trigger_prompt_change", change_prompts)
                .description("Adds or removes a prompt"),
        )
}

/// The server that the tools belong to, once it is built.
type BuiltServer = State<Arc<OnceLock<Server>>>;

async fn change_tools(built_server: BuiltServer) -> Result<&'static str, HandlerError> {
    let removed = server(&built_server)?.change(|catalogue| {
        let removed = catalogue.remove_tool(TOOL);
        if !removed {
            catalogue
                .tool(Tool::new(TOOL, async || "Still here").description("Is added and removed"));
        }
        removed
    })?;
    Ok(if removed {
        "Removed a tool"
    } else {
        "Added a tool"
    })
}

async fn change_prompts(built_server: BuiltServer) -> Result<&'static str, HandlerError> {
    let removed = server(&built_server)?.change(|catalogue| {
        let removed = catalogue.remove_prompt(PROMPT);
        if !removed {
            catalogue.prompt(
                Prompt::new(PROMPT, async || "Still here").description("Is added and removed"),
            );
        }
        removed
    })?;
    Ok(if removed {
        "Removed a prompt"
    } else {
        "Added a prompt"
    })
}

fn server(built_server: &BuiltServer) -> Result<&Server, HandlerError> {
    built_server
        .get()
        .ok_or_else(|| HandlerError::new("the server is still being built"))
}
