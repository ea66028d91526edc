//! Tools that change what the server offers, so that its listeners hear of it.

use carryall::server::{Prompt, ServerBuilder, Tool};
use carryall::{Ctx, HandlerError, Server};
use std::sync::{Arc, OnceLock};

const TOOL: &str = "test_tool_that_comes_and_goes";
const PROMPT: &str = "test_prompt_that_comes_and_goes";

pub(crate) fn add(builder: ServerBuilder) -> ServerBuilder {
    builder
        .tool(
            Tool::without_arguments("test_trigger_tool_change", change_tools)
                .description("Adds or removes a tool"),
        )
        .tool(
            Tool::without_arguments("test_trigger_prompt_change", change_prompts)
                .description("Adds or removes a prompt"),
        )
}

async fn change_tools(ctx: Ctx) -> Result<&'static str, HandlerError> {
    let removed = server(&ctx)?.change(|catalogue| {
        let removed = catalogue.remove_tool(TOOL);
        if !removed {
            catalogue.tool(
                Tool::without_arguments(TOOL, async |_| "Still here")
                    .description("Is there now and then"),
            );
        }
        removed
    })?;
    Ok(if removed {
        "Removed a tool"
    } else {
        "Added a tool"
    })
}

async fn change_prompts(ctx: Ctx) -> Result<&'static str, HandlerError> {
    let removed = server(&ctx)?.change(|catalogue| {
        let removed = catalogue.remove_prompt(PROMPT);
        if !removed {
            catalogue.prompt(
                Prompt::new(PROMPT, async |_, _| "Still here").description("Is there now and then"),
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

fn server(ctx: &Ctx) -> Result<Server, HandlerError> {
    let itself: Option<Arc<OnceLock<Server>>> = ctx.state();
    itself
        .and_then(|itself| itself.get().cloned())
        .ok_or_else(|| HandlerError::new("the server is still being built"))
}
