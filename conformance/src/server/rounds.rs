//! Tools and a prompt that need input from the client (`basic/patterns/mrtr`).

// Sampling and roots are deprecated and still have to work (SEP-2577).
#![allow(deprecated)]

use carryall::server::{Prompt, PromptArguments, ServerBuilder, Tool};
use carryall::types::{
    CreateMessageRequestParams, ElicitRequestFormParams, ListRootsRequestParams, RequestedSchema,
    Role, Root, SamplingMessage,
};
use carryall::{Ctx, ElicitOutcome, Form, HandlerError};
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) fn add(builder: ServerBuilder) -> ServerBuilder {
    let tool = Tool::new("test_input_required_result_elicitation", elicitation);
    let builder = builder.tool(tool.description("Asks for a name and greets"));
    let tool = Tool::new("test_input_required_result_sampling", sampling);
    let builder = builder.tool(tool.description("Asks the client's model"));
    let tool = Tool::new("test_input_required_result_list_roots", list_roots);
    let builder = builder.tool(tool.description("Asks for the client's roots"));
    let tool = Tool::new("test_input_required_result_request_state", confirm);
    let builder =
        builder.tool(tool.description("Asks for confirmation and checks the returned state"));
    let tool = Tool::new("test_input_required_result_tampered_state", confirm);
    let builder =
        builder.tool(tool.description("Asks for confirmation and rejects a tampered state"));
    let tool = Tool::new(
        "test_input_required_result_multiple_inputs",
        multiple_inputs,
    );
    let builder = builder.tool(tool.description("Asks three questions at once"));
    let tool = Tool::new("test_input_required_result_multi_round", multi_round);
    let builder = builder.tool(tool.description("Asks two questions, one after the other"));
    let tool = Tool::new("test_input_required_result_capabilities", capabilities);
    let builder = builder.tool(tool.description("Asks only what the client supports"));
    let tool = Tool::new("test_streaming_elicitation", streaming_elicitation);
    let builder = builder.tool(tool.description("Reports progress, then asks"));
    let context_prompt = Prompt::new("test_input_required_result_prompt", asking_prompt);
    builder.prompt(context_prompt.description("A prompt that asks for its context"))
}

#[derive(Deserialize, JsonSchema)]
struct NameForm {
    name: String,
}

#[derive(Deserialize, JsonSchema)]
struct Confirmation {
    ok: bool,
}

#[derive(Deserialize, JsonSchema)]
struct Context {
    context: String,
}

async fn elicitation(ctx: Ctx) -> Result<String, HandlerError> {
    let NameForm { name } = accepted_content(
        ctx.ask_as("user_name", Form::new("What is your name?"))
            .await?,
    )?;
    Ok(format!("Hello, {name}!"))
}

async fn sampling(ctx: Ctx) -> Result<String, HandlerError> {
    Ok(ctx
        .ask(prompt("What is the capital of France?", 100))
        .await?
        .content
        .text())
}

async fn list_roots(ctx: Ctx) -> Result<String, HandlerError> {
    Ok(format!(
        "Roots: {}",
        uris(&ctx.ask(ListRootsRequestParams::default()).await?).join(", ")
    ))
}

async fn confirm(ctx: Ctx) -> Result<&'static str, HandlerError> {
    let Confirmation { ok } = accepted_content(ctx.ask(Form::new("Please confirm")).await?)?;
    Ok(if ok {
        "state-ok"
    } else {
        "state-ok, but not confirmed"
    })
}

async fn multiple_inputs(ctx: Ctx) -> Result<String, HandlerError> {
    let name = Form::<NameForm>::new("What is your name?");
    let greeting = prompt("Generate a greeting", 50);
    let (name, greeting, roots) = ctx
        .ask((name, greeting, ListRootsRequestParams::default()))
        .await?;
    Ok(format!(
        "{} {} has {} roots",
        greeting.content.text(),
        accepted_content(name)?.name,
        roots.len()
    ))
}

async fn multi_round(ctx: Ctx) -> Result<String, HandlerError> {
    let NameForm { name } = accepted_content(
        ctx.ask_as("step1", Form::new("Step 1: What is your name?"))
            .await?,
    )?;
    let color = ElicitRequestFormParams::new(
        "Step 2: What is your favorite color?",
        RequestedSchema::new()
            .string("color", |text| text)
            .required(),
    );
    let color = accepted_content(ctx.ask_as("step2", color).await?)?;
    Ok(format!(
        "{name} likes {}",
        color["color"].as_str().unwrap_or_default()
    ))
}

async fn capabilities(ctx: Ctx) -> Result<String, HandlerError> {
    let supported = ctx.client_capabilities();
    let mut answered = 0;
    if supported.supports_elicitation_form() {
        answered += usize::from(
            ctx.ask(Form::<NameForm>::new("What is your name?"))
                .await?
                .accepted()
                .is_some(),
        );
    }
    if supported.supports_sampling() {
        ctx.ask(prompt("Generate a greeting", 50)).await?;
        answered += 1;
    }
    if supported.supports_roots() {
        ctx.ask(ListRootsRequestParams::default()).await?;
        answered += 1;
    }
    Ok(format!("The client answered {answered} questions"))
}

async fn streaming_elicitation(ctx: Ctx) -> Result<String, HandlerError> {
    ctx.progress(1.0).of(2.0).message("Asking").await;
    elicitation(ctx).await
}

async fn asking_prompt(ctx: Ctx, _: PromptArguments) -> Result<String, HandlerError> {
    let form = Form::<Context>::new("What context should the prompt use?");
    match ctx.ask_as("user_context", form).await?.accepted() {
        Some(Context { context }) => Ok(format!("Use this context: {context}")),
        None => Err(HandlerError::invalid_params(
            "The prompt requires a context",
        )),
    }
}

pub(crate) fn accepted_content<T>(answer: ElicitOutcome<T>) -> Result<T, HandlerError> {
    answer
        .accepted()
        .ok_or_else(|| HandlerError::new("The user did not answer"))
}

pub(crate) fn prompt(text: &str, max_tokens: u64) -> CreateMessageRequestParams {
    CreateMessageRequestParams::new(vec![SamplingMessage::new(Role::User, text)], max_tokens)
}

fn uris(roots: &[Root]) -> Vec<&str> {
    roots.iter().map(|root| root.uri.as_str()).collect()
}
