//! Prompts: plain, with arguments, with a resource, with an image. A prompt with elicitation is in
//! `rounds`.

use crate::media;
use carryall::server::{
    CompletionQuery, HandlerError, Prompt, PromptArguments, ServerBuilder, matching,
};
use carryall::types::{ContentBlock, PromptMessage, ResourceContents};

pub(crate) fn add(builder: ServerBuilder) -> ServerBuilder {
    builder
        .prompt(Prompt::new("test_simple_prompt", simple).description("A prompt without arguments"))
        .prompt(
            Prompt::new("test_prompt_with_arguments", with_arguments)
                .description("A prompt with two arguments")
                .argument("arg1", "First test argument", true)
                .argument("arg2", "Second test argument", true),
        )
        .complete_prompt(
            "test_prompt_with_arguments",
            "arg1",
            async |typed: CompletionQuery| {
                matching(["paris", "park", "party", "test value"], &typed.value)
            },
        )
        .prompt(
            Prompt::new("test_prompt_with_embedded_resource", with_resource)
                .description("A prompt with an embedded resource")
                .argument("resourceUri", "URI of the resource to embed", true),
        )
        .prompt(
            Prompt::new("test_prompt_with_image", with_image).description("A prompt with an image"),
        )
}

async fn simple() -> &'static str {
    "This is a simple prompt for testing."
}

async fn with_arguments(arguments: PromptArguments) -> Result<String, HandlerError> {
    let (first, second): (String, String) = (arguments.get("arg1")?, arguments.get("arg2")?);
    Ok(format!(
        "Prompt with arguments: arg1='{first}', arg2='{second}'"
    ))
}

async fn with_resource(arguments: PromptArguments) -> Result<Vec<PromptMessage>, HandlerError> {
    let uri: String = arguments.get("resourceUri")?;
    let resource = ResourceContents::text(uri, "Embedded resource content for testing.")
        .with_mime_type("text/plain");
    Ok(vec![
        PromptMessage::user(ContentBlock::resource(resource)),
        PromptMessage::user("Please process the embedded resource above."),
    ])
}

async fn with_image() -> Vec<PromptMessage> {
    vec![
        PromptMessage::user(media::image()),
        PromptMessage::user("Please analyze the image above."),
    ]
}
