//! Tools and a prompt that need an answer from the client before they can finish (`basic/patterns/mrtr`).

use crate::answers::{Answer, boolean_form, filled_in, prompt, roots, sampled, text_form, text_in};
use crate::state::{Request, States};
use carryall::server::{Failure, FromCtx, Prompt, PromptArguments, ServerBuilder, Tool};
use carryall::types::{InputRequest, InputRequests, InputRequiredResult, ListRootsRequestParams};
use carryall::{Ctx, State, ToolError};
use serde::{Deserialize, Serialize};

const REQUEST_STATE: Request = Request { method: "tools/call", name: "test_input_required_result_request_state" };
const TAMPERED_STATE: Request = Request { method: "tools/call", name: "test_input_required_result_tampered_state" };
const MULTIPLE_INPUTS: Request = Request { method: "tools/call", name: "test_input_required_result_multiple_inputs" };
const MULTI_ROUND: Request = Request { method: "tools/call", name: "test_input_required_result_multi_round" };

pub(crate) fn add(builder: ServerBuilder) -> ServerBuilder {
    let tool = Tool::without_arguments("test_input_required_result_elicitation", elicitation);
    let builder = builder.tool(tool.description("Asks for a name and greets"));
    let tool = Tool::without_arguments("test_input_required_result_sampling", sampling);
    let builder = builder.tool(tool.description("Asks the client's model"));
    let tool = Tool::without_arguments("test_input_required_result_list_roots", list_roots);
    let builder = builder.tool(tool.description("Asks for the client's roots"));
    let tool = Tool::without_arguments(REQUEST_STATE.name, async |ctx| confirmed(ctx, REQUEST_STATE).await);
    let builder = builder.tool(tool.description("Asks for confirmation and wants its state back"));
    let tool = Tool::without_arguments(TAMPERED_STATE.name, async |ctx| confirmed(ctx, TAMPERED_STATE).await);
    let builder = builder.tool(tool.description("Asks for confirmation and refuses a state that is not its own"));
    let tool = Tool::without_arguments(MULTIPLE_INPUTS.name, multiple_inputs);
    let builder = builder.tool(tool.description("Asks three questions at once"));
    let tool = Tool::without_arguments(MULTI_ROUND.name, multi_round);
    let builder = builder.tool(tool.description("Asks two questions, one after the other"));
    let tool = Tool::without_arguments("test_input_required_result_capabilities", capabilities);
    let builder = builder.tool(tool.description("Asks what the client is able to answer"));
    let tool = Tool::without_arguments("test_streaming_elicitation", streaming_elicitation);
    let builder = builder.tool(tool.description("Reports progress, then asks"));
    let asking = Prompt::new("test_input_required_result_prompt", asking_prompt);
    builder.prompt(asking.description("A prompt that asks for its context"))
}

async fn elicitation(ctx: Ctx) -> Result<String, ToolError> {
    let form = text_form("What is your name?", "name");
    let name = text_in(&ctx.input_responses()?, "user_name", &form, "name").or_ask(|| Ok(ask("user_name", form)))?;
    Ok(format!("Hello, {name}!"))
}

async fn sampling(ctx: Ctx) -> Result<String, ToolError> {
    let question = || Ok(ask("capital_question", prompt("What is the capital of France?", 100)));
    sampled(&ctx.input_responses()?, "capital_question").or_ask(question)
}

async fn list_roots(ctx: Ctx) -> Result<String, ToolError> {
    let question = || Ok(ask("client_roots", ListRootsRequestParams::default()));
    let roots = roots(&ctx.input_responses()?, "client_roots").or_ask(question)?;
    Ok(format!("Roots: {}", roots.join(", ")))
}

/// A step that counts only together with the state that the question went out with.
async fn confirmed(ctx: Ctx, request: Request) -> Result<&'static str, ToolError> {
    let State(states) = State::<States>::from_ctx(&ctx)?;
    let form = boolean_form("Please confirm", "ok");
    let asked = states.open::<Asked>(&ctx, request)?;
    let answer = match asked {
        Some(Asked) => filled_in(&ctx.input_responses()?, "confirm", &form),
        None => Answer::Missing,
    };
    let answer = answer.or_ask(|| Ok(ask("confirm", form).with_request_state(states.seal(&ctx, request, &Asked)?)))?;
    Ok(if answer["ok"] == true { "state-ok" } else { "state-ok, but not confirmed" })
}

/// That the question was asked is all there is to know.
#[derive(Serialize, Deserialize)]
struct Asked;

/// The answers that earlier rounds have brought.
#[derive(Default, Serialize, Deserialize)]
struct Gathered {
    name: Option<String>,
    greeting: Option<String>,
    roots: Option<Vec<String>>,
}

async fn multiple_inputs(ctx: Ctx) -> Result<String, ToolError> {
    let State(states) = State::<States>::from_ctx(&ctx)?;
    let mut gathered: Gathered = states.open(&ctx, MULTIPLE_INPUTS)?.unwrap_or_default();
    let answers = ctx.input_responses()?;
    let form = text_form("What is your name?", "name");
    match text_in(&answers, "user_name", &form, "name") {
        Answer::Given(name) => gathered.name = Some(name),
        Answer::Declined => return Err(ToolError::new("The user did not answer")),
        Answer::Missing => {}
    }
    if let Answer::Given(greeting) = sampled(&answers, "greeting") {
        gathered.greeting = Some(greeting);
    }
    if let Answer::Given(roots) = roots(&answers, "client_roots") {
        gathered.roots = Some(roots);
    }
    if let Gathered { name: Some(name), greeting: Some(greeting), roots: Some(roots) } = &gathered {
        return Ok(format!("{greeting} {name} has {} roots", roots.len()));
    }
    let mut missing = InputRequests::new();
    if gathered.name.is_none() {
        missing.insert("user_name", form);
    }
    if gathered.greeting.is_none() {
        missing.insert("greeting", prompt("Generate a greeting", 50));
    }
    if gathered.roots.is_none() {
        missing.insert("client_roots", ListRootsRequestParams::default());
    }
    let state = states.seal(&ctx, MULTIPLE_INPUTS, &gathered)?;
    let result = InputRequiredResult::new().with_input_requests(missing).with_request_state(state);
    Err(ToolError::input_required(result))
}

/// Which question is open, with the answer to the one before.
#[derive(Serialize, Deserialize)]
enum Step {
    Name,
    Color { name: String },
}

async fn multi_round(ctx: Ctx) -> Result<String, ToolError> {
    let State(states) = State::<States>::from_ctx(&ctx)?;
    let answers = ctx.input_responses()?;
    let name_form = text_form("Step 1: What is your name?", "name");
    let color_form = text_form("Step 2: What is your favorite color?", "color");
    let asking = |step: &Step| -> Result<InputRequiredResult, Failure> {
        let question = match step {
            Step::Name => ask("step1", name_form.clone()),
            Step::Color { .. } => ask("step2", color_form.clone()),
        };
        Ok(question.with_request_state(states.seal(&ctx, MULTI_ROUND, step)?))
    };
    match states.open(&ctx, MULTI_ROUND)? {
        None => Err(ToolError::input_required(asking(&Step::Name)?)),
        Some(Step::Name) => {
            let name = text_in(&answers, "step1", &name_form, "name").or_ask(|| asking(&Step::Name))?;
            Err(ToolError::input_required(asking(&Step::Color { name })?))
        }
        Some(Step::Color { name }) => {
            let again = || asking(&Step::Color { name: name.clone() });
            let color = text_in(&answers, "step2", &color_form, "color").or_ask(again)?;
            Ok(format!("{name} likes {color}"))
        }
    }
}

async fn capabilities(ctx: Ctx) -> Result<String, ToolError> {
    let questions = [
        ("user_name", InputRequest::from(text_form("What is your name?", "name"))),
        ("greeting", InputRequest::from(prompt("Generate a greeting", 50))),
        ("client_roots", InputRequest::from(ListRootsRequestParams::default())),
    ];
    let able = |(_, question): &(&str, InputRequest)| question.is_supported_by(ctx.client_capabilities());
    let questions: InputRequests = questions.into_iter().filter(able).collect();
    let answers = ctx.input_responses()?;
    if answers.missing(&questions).next().is_none() {
        return Ok(format!("The client answered {} questions", questions.len()));
    }
    Err(ToolError::input_required(InputRequiredResult::new().with_input_requests(questions)))
}

async fn streaming_elicitation(ctx: Ctx) -> Result<String, ToolError> {
    ctx.progress(1.0, Some(2.0), Some("Asking")).await;
    elicitation(ctx).await
}

async fn asking_prompt(ctx: Ctx, _: PromptArguments) -> Result<String, Failure> {
    let form = text_form("What context should the prompt use?", "context");
    match text_in(&ctx.input_responses()?, "user_context", &form, "context") {
        Answer::Given(context) => Ok(format!("Use this context: {context}")),
        Answer::Declined => Err(Failure::invalid_params("The prompt cannot do without a context")),
        Answer::Missing => Err(Failure::input_required(ask("user_context", form))),
    }
}

/// One question.
fn ask(key: &str, question: impl Into<InputRequest>) -> InputRequiredResult {
    InputRequiredResult::new().with_input_requests(InputRequests::new().with(key, question))
}
