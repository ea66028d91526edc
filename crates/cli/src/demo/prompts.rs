//! Prompts, and the completion of their arguments.

use super::resources;
use carryall::server::{
    CompletionQuery, HandlerError, Prompt, PromptArguments, ServerBuilder, matching,
};
use carryall::types::{ContentBlock, GetPromptResult, PromptMessage, ResourceContents};

const LANGUAGES: [&str; 8] = [
    "Danish",
    "English",
    "Finnish",
    "French",
    "German",
    "Italian",
    "Portuguese",
    "Spanish",
];
const TONES: [&str; 3] = ["formal", "friendly", "terse"];

pub(super) fn add(builder: ServerBuilder) -> ServerBuilder {
    builder
        .prompt(
            Prompt::new("greet", async |arguments: PromptArguments| {
                greet(&arguments)
            })
            .title("Greet somebody")
            .description("Asks the model to write a greeting")
            .argument("name", "Whom to greet", true)
            .argument("language", "Language of the greeting", false)
            .argument("tone", "Tone of the greeting", false),
        )
        .prompt(
            Prompt::new("explain_demo", async || explain())
                .title("Explain this server")
                .description("A conversation with an embedded resource"),
        )
        .complete_prompt("greet", "language", async |typed: CompletionQuery| {
            matching(LANGUAGES, &typed.value)
        })
        .complete_prompt("greet", "tone", async |typed: CompletionQuery| {
            tones(&typed)
        })
}

fn greet(arguments: &PromptArguments) -> Result<PromptMessage, HandlerError> {
    let name: String = arguments.get("name")?;
    let language = arguments.text("language").unwrap_or("English");
    let tone = arguments.text("tone").unwrap_or("friendly");
    Ok(PromptMessage::user(format!(
        "Write a {tone} greeting to {name}, in {language}. One sentence."
    )))
}

/// Completes the tone. The language, if it is known, narrows the suggestions: there is no terse
/// Italian.
fn tones(typed: &CompletionQuery) -> carryall::server::Suggestions {
    let italian = typed
        .resolved
        .get("language")
        .is_some_and(|language| language.eq_ignore_ascii_case("italian"));
    matching(
        TONES
            .into_iter()
            .filter(|tone| !(italian && *tone == "terse")),
        &typed.value,
    )
}

fn explain() -> GetPromptResult {
    let readme = ResourceContents::text(resources::README, resources::README_TEXT)
        .with_mime_type("text/markdown");
    GetPromptResult::new(vec![
        PromptMessage::user(ContentBlock::resource(readme)),
        PromptMessage::assistant("I have read it. What would you like to know?"),
        PromptMessage::user("Which of these tools should I try first, and why?"),
    ])
    .with_description("A conversation about this server")
}
