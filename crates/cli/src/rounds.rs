//! What servers ask for on the way to a result (`basic/patterns/mrtr`), answered from `--answer`, `--say` and `--root`.

use crate::args;
use crate::connect::Server;
use crate::fail::{Exit, Fail};
use crate::inputs::Inputs;
use crate::render;
use crate::screen::Format;
use crate::text;
use carryall::client::{Answer, Request, Step};
use carryall::types::{
    ElicitRequestFormParams, ElicitRequestParams, ElicitResult, InputRequest, InputRequests, InputResponses,
    JsonObject, JsonValue,
};
use std::time::Duration;

/// A server that asks more often than this goes round in circles.
const MAX_ROUNDS: u32 = 10;

/// How questions of the server are answered.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Answers {
    /// Answer a question of the server: a field of its form, by itself or as QUESTION.FIELD (repeatable)
    #[arg(long = "answer", value_name = "FIELD=VALUE")]
    answers: Vec<String>,
    /// Decline whatever the server asks
    #[arg(long, conflicts_with = "answers")]
    decline: bool,
}

/// Asks until the result is there.
pub(crate) async fn complete<A: Answer>(
    server: &Server,
    what: &str,
    mut request: Request<A>,
    answers: &Answers,
) -> Result<A::Output, Fail> {
    for round in 0..MAX_ROUNDS {
        match request.once().await.map_err(|error| server.failed(&error))? {
            Step::Done(output) => return Ok(output),
            Step::InputRequired(asked) => {
                if asked.requests().is_empty() {
                    // Nothing to answer: the server wants to be asked again, with what it has given back.
                    tokio::time::sleep(Duration::from_millis(25) * round).await;
                }
                let responses = respond(asked.requests(), answers, &server.inputs)
                    .map_err(|missing| refuse(server, what, asked.requests(), missing))?;
                request = asked.answer(responses);
            }
        }
    }
    Err(Fail::new(
        Exit::Refused,
        format!("{}: {what} asked for input {MAX_ROUNDS} times without coming to a result", server.place),
    ))
}

/// Why a question has no answer.
enum Missing {
    /// Nobody has given one, or this part of it.
    Answer(String),
    /// The one that was given does not do.
    Wrong(Fail),
}

fn respond(requests: &InputRequests, answers: &Answers, inputs: &Inputs) -> Result<InputResponses, Missing> {
    let mut responses = InputResponses::new();
    for (key, request) in requests.iter() {
        // What was not given was not declared, so the client has refused it before; and if not, there is no answer.
        let none = || Missing::Answer(String::new());
        let inserted = match request {
            InputRequest::Elicit(_) if answers.decline => responses.insert(key, &ElicitResult::decline()),
            InputRequest::Elicit(ElicitRequestParams::Form(form)) => {
                responses.insert(key, &fill_in(key, form, &answers.answers)?)
            }
            InputRequest::Elicit(ElicitRequestParams::Url(_)) => return Err(none()),
            InputRequest::CreateMessage(_) => responses.insert(key, &inputs.sampled().ok_or_else(none)?),
            InputRequest::ListRoots(_) => {
                let roots = inputs.roots().map_err(Missing::Wrong)?;
                responses.insert(key, &roots.ok_or_else(none)?)
            }
        };
        inserted.map_err(|error| Missing::Wrong(Fail::usage(format!("the answer to {key:?}: {error}"))))?;
    }
    Ok(responses)
}

/// A form from the answers that name its fields. Once something is answered, defaults stand in for other required fields.
fn fill_in(key: &str, form: &ElicitRequestFormParams, answers: &[String]) -> Result<ElicitResult, Missing> {
    let schema = schema_of(form);
    let words: Vec<String> = answers.iter().filter_map(|word| word_for(key, &schema, word)).collect();
    if words.is_empty() {
        return Err(Missing::Answer(String::new()));
    }
    let mut content = args::for_schema(&words, &schema).map_err(Missing::Wrong)?;
    for name in args::required(&schema) {
        if content.contains_key(name) {
            continue;
        }
        match args::property(&schema, name).and_then(|field| field.get("default")) {
            Some(default) => drop(content.insert(name.to_owned(), default.clone())),
            None => return Err(Missing::Answer(format!("--answer {name}=..."))),
        }
    }
    form.requested_schema
        .check(&content)
        .map_err(|why| Missing::Wrong(Fail::usage(format!("the answer to {key:?} does not fit the form: {why}"))))?;
    Ok(ElicitResult::accept(content))
}

/// The word as `field=value`, if it is for this form.
fn word_for(key: &str, schema: &JsonObject, word: &str) -> Option<String> {
    let is_field = |word: &str| {
        let name = word.split('=').next().unwrap_or_default();
        args::property(schema, name.strip_suffix(':').unwrap_or(name)).is_some()
    };
    let own = word.strip_prefix(key).and_then(|rest| rest.strip_prefix('.')).filter(|rest| is_field(rest));
    own.or_else(|| Some(word).filter(|word| is_field(word))).map(str::to_owned)
}

fn schema_of(form: &ElicitRequestFormParams) -> JsonObject {
    match serde_json::to_value(&form.requested_schema) {
        Ok(JsonValue::Object(schema)) => schema,
        _ => JsonObject::new(),
    }
}

/// Shows what the server asks for: to programs as its result, to people as a list of fields.
fn refuse(server: &Server, what: &str, requests: &InputRequests, missing: Missing) -> Fail {
    let missing = match missing {
        Missing::Wrong(fail) => return fail,
        Missing::Answer(missing) if missing.is_empty() => missing,
        Missing::Answer(missing) => format!(" ({missing} is missing)"),
    };
    if server.screen.format == Format::Json {
        let result = serde_json::json!({"resultType": "input_required", "inputRequests": requests});
        if let Err(fail) = server.screen.json(&result) {
            return fail;
        }
    }
    let questions: Vec<String> = requests.iter().map(|(key, request)| question(key, request)).collect();
    let fail = Fail::new(
        Exit::InputRequired,
        format!("{}: {what} asks for input before it goes on{missing}\n{}", server.place, questions.join("\n")),
    );
    match example(requests) {
        Some(example) => fail.hint(format!("answer with {example}, or refuse with --decline")),
        None => fail.hint("this command fills in forms alone, and has what --root and --say were given"),
    }
}

fn question(key: &str, request: &InputRequest) -> String {
    match request {
        InputRequest::Elicit(ElicitRequestParams::Form(form)) => {
            let schema = schema_of(form);
            let fields = form.requested_schema.properties.iter().map(|(name, _)| field(&schema, name));
            let lines: Vec<String> = render::plain_table(fields).lines().map(|line| format!("    {line}")).collect();
            format!("  {}: {}\n{}", text::line(key), text::line(&form.message), lines.join("\n"))
        }
        InputRequest::Elicit(ElicitRequestParams::Url(url)) => {
            format!("  {}: {} {}", text::line(key), text::line(&url.message), text::line(&url.url))
        }
        other => format!("  {}: {}", text::line(key), other.method()),
    }
}

fn field(schema: &JsonObject, name: &str) -> [String; 3] {
    let text_of = |member: &str| {
        let value = args::property(schema, name).and_then(|field| field.get(member)).and_then(JsonValue::as_str);
        value.map(str::to_owned)
    };
    let default = args::property(schema, name).and_then(|field| field.get("default"));
    let named: Vec<String> = text_of("title").into_iter().chain(text_of("description")).collect();
    let mut about = vec![named.join(": ")];
    about.retain(|text| !text.is_empty());
    about.extend(default.map(|default| format!("default {default}")));
    about.extend(args::required(schema).any(|required| required == name).then(|| "required".to_owned()));
    [name.to_owned(), args::types_shown(schema, name), about.join("; ")]
}

/// `--answer date=... --answer guests=...` for the required fields of the first form.
fn example(requests: &InputRequests) -> Option<String> {
    let form = requests.iter().find_map(|(_, request)| match request {
        InputRequest::Elicit(ElicitRequestParams::Form(form)) => Some(form),
        _ => None,
    })?;
    let schema = schema_of(form);
    let mut names: Vec<&str> = args::required(&schema).collect();
    if names.is_empty() {
        names.extend(form.requested_schema.properties.first().map(|(name, _)| name.as_str()));
    }
    let words: Vec<String> = names.iter().map(|name| format!("--answer {}=...", text::line(name))).collect();
    Some(words.join(" "))
}
