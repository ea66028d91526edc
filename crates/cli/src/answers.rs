//! Answers to what servers ask for: from `--answer`, `--decline`, `--say` and `--root`, or from the
//! person at the terminal.

use crate::again::TaskFollowUp;
use crate::args;
use crate::ask::Prompter;
use crate::busy::Spinner;
use crate::connect::Server;
use crate::fail::{Exit, Fail};
use crate::near;
use crate::render;
use crate::screen::{Format, Output};
use crate::text;
use carryall::proto::sync::Mutex;
use carryall::types::{
    ElicitRequestFormParams, ElicitRequestParams, ElicitResult, InputRequest, InputRequests,
    InputResponses, JsonObject, JsonValue,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How questions of the server are answered.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Answers {
    /// Answer a question of the server: a field of its form, by itself or as QUESTION.FIELD
    /// (repeatable)
    #[arg(long = "answer", value_name = "FIELD=VALUE")]
    answers: Vec<String>,
    /// Decline whatever the server asks
    #[arg(long, conflicts_with = "answers")]
    decline: bool,
    /// Do not put questions of the server at the terminal
    #[arg(long)]
    no_ask: bool,
    /// Which of the answers have been given to some question.
    #[arg(skip)]
    used: Used,
}

type Used = Arc<Mutex<BTreeSet<String>>>;

impl Answers {
    /// Who may be asked. Whoever gives answers on the command line, or none at all, does not want
    /// to be.
    pub(crate) fn person(&self, screen: Output) -> Option<Prompter> {
        let settled = !self.answers.is_empty() || self.decline || self.no_ask;
        if settled { None } else { Prompter::at(screen) }
    }

    /// Finds what no question could make sense of, before the server is asked for anything.
    pub(crate) fn check(&self) -> Result<(), Fail> {
        self.answers.iter().try_for_each(|word| {
            args::check_pair(word).map_err(|mut fail| {
                fail.what = format!("--answer {}: {}", text::line(word), fail.what);
                fail.hints =
                    vec!["write --answer FIELD=VALUE, FIELD:=JSON or FIELD=@FILE".to_owned()];
                fail
            })
        })
    }

    /// Answers that no question has asked for, although the command has worked.
    pub(crate) fn warn_of_unused(&self, screen: Output) {
        for word in self.unused() {
            screen.warn(&format!("nothing has asked for --answer {}", clipped(word)));
        }
    }

    fn unused(&self) -> impl Iterator<Item = &String> {
        let used = self.used.lock().clone();
        self.answers
            .iter()
            .filter(move |word| !used.contains(*word))
    }
}

/// What asks.
pub(crate) struct PendingInput<'a> {
    /// The tool, the task, the prompt or the resource.
    pub(crate) what: &'a str,
    pub(crate) requests: &'a InputRequests,
    /// What programs are shown when there is no answer.
    pub(crate) result: JsonValue,
    /// The command that brings answers later, where there is one.
    pub(crate) later: Option<TaskFollowUp<'a>>,
}

impl PendingInput<'_> {
    /// Answers to everything that is asked.
    pub(crate) async fn all(
        &self,
        server: &Server,
        busy: &Spinner,
        answers: &Answers,
    ) -> Result<InputResponses, Fail> {
        let mut responses = InputResponses::new();
        for (key, request) in self.requests.iter() {
            let answer = self.one(key, request, server, busy, answers).await;
            responses.0.insert(
                key.to_owned(),
                answer.map_err(|missing| self.refuse(server, answers, missing))?,
            );
        }
        Ok(responses)
    }

    /// Answers to what there are answers to, which has to be something.
    pub(crate) async fn some(
        &self,
        server: &Server,
        busy: &Spinner,
        answers: &Answers,
    ) -> Result<InputResponses, Fail> {
        let mut responses = InputResponses::new();
        for (key, request) in self.requests.iter() {
            match self.one(key, request, server, busy, answers).await {
                Ok(answer) => drop(responses.0.insert(key.to_owned(), answer)),
                Err(Missing::Answer(part)) if part.is_empty() => {}
                Err(missing) => return Err(self.refuse(server, answers, missing)),
            }
        }
        if responses.0.is_empty() {
            return Err(self.refuse(server, answers, Missing::Answer(String::new())));
        }
        Ok(responses)
    }

    async fn one(
        &self,
        key: &str,
        request: &InputRequest,
        server: &Server,
        busy: &Spinner,
        answers: &Answers,
    ) -> Result<JsonValue, Missing> {
        // What was not given was not declared, so the client has refused it before; and if not,
        // there is no answer.
        let none = || Missing::Answer(String::new());
        let written = match (request, server.person) {
            (InputRequest::Elicit(_), _) if answers.decline => {
                serde_json::to_value(ElicitResult::decline())
            }
            (InputRequest::Elicit(question), Some(person)) => {
                let _hush = busy.hush();
                let who = format!("{} ({})", server.place, self.what);
                serde_json::to_value(
                    person
                        .ask(who, question.clone())
                        .await
                        .map_err(Missing::Wrong)?,
                )
            }
            (InputRequest::Elicit(ElicitRequestParams::Form(form)), None) => {
                serde_json::to_value(fill_in(key, form, answers)?)
            }
            (InputRequest::Elicit(ElicitRequestParams::Url(_)), None) => return Err(none()),
            (InputRequest::CreateMessage(_), _) => {
                serde_json::to_value(server.inputs.sampled().ok_or_else(none)?)
            }
            (InputRequest::ListRoots(_), _) => serde_json::to_value(
                server
                    .inputs
                    .roots()
                    .map_err(Missing::Wrong)?
                    .ok_or_else(none)?,
            ),
        };
        written
            .map_err(|error| Missing::Wrong(Fail::usage(format!("the answer to {key:?}: {error}"))))
    }

    /// Shows what the server asks for: to programs as its result, to people as a list of fields.
    fn refuse(&self, server: &Server, answers: &Answers, missing: Missing) -> Fail {
        let missing = match missing {
            Missing::Wrong(fail) => return fail,
            Missing::Answer(missing) if missing.is_empty() => missing,
            Missing::Answer(missing) => format!(" ({missing} is missing)"),
        };
        if server.screen.format == Format::Json
            && let Err(fail) = server.screen.json(&self.result)
        {
            return fail;
        }
        let (place, what) = (&server.place, text::line(self.what));
        let fail = Fail::new(
            Exit::InputRequired,
            format!(
                "{place}: {what} asks for input before it goes on{missing}\n{}",
                questions(self.requests)
            ),
        );
        let fail = self.strangers(answers).into_iter().fold(fail, Fail::hint);
        match example(self.requests) {
            Some(example) => {
                let command = self.later.map_or(example.clone(), |later| later.with(&example));
                fail.hint(format!("answer with {command}, or refuse with --decline"))
            }
            None => fail.hint(
                "pages are opened at a terminal alone; roots and the words of a model are given with --root and --say",
            ),
        }
    }

    /// What to say about answers that are for no field of what is asked now.
    fn strangers(&self, answers: &Answers) -> Vec<String> {
        let fields: Vec<String> = self
            .requests
            .iter()
            .filter_map(|(_, request)| match request {
                InputRequest::Elicit(ElicitRequestParams::Form(form)) => {
                    Some(form.requested_schema.properties.iter())
                }
                _ => None,
            })
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        let stranger = |word: &String| {
            let name = word.split('=').next().unwrap_or_default();
            let name = name.strip_suffix(':').unwrap_or(name);
            let meant = near::did_you_mean(name, fields.iter().map(String::as_str));
            let meant = meant.map(|meant| format!(": {meant}")).unwrap_or_default();
            format!(
                "no field of it is called {:?}{meant}",
                text::clipped_line(name, 60)
            )
        };
        answers.unused().map(stranger).collect()
    }
}

/// Why a question has no answer.
enum Missing {
    /// Nobody has given one, or this part of it.
    Answer(String),
    /// The one that was given does not do.
    Wrong(Fail),
}

/// A form from the answers that name its fields. Once something is answered, defaults stand in for
/// other required fields.
fn fill_in(
    key: &str,
    form: &ElicitRequestFormParams,
    answers: &Answers,
) -> Result<ElicitResult, Missing> {
    let schema = schema_of(form);
    let mut words = Vec::new();
    for word in &answers.answers {
        let Some(own) = word_for(key, &schema, word) else {
            continue;
        };
        answers.used.lock().insert(word.clone());
        words.push(own);
    }
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
    if let Some((field, problem, meant)) = args::wrong_choice(&content, &schema) {
        let mut fail = Fail::usage(format!(
            "the answer to {key:?} does not fit the form: {}: {problem}",
            text::line(&field)
        ));
        fail.hints.extend(meant);
        return Err(Missing::Wrong(fail));
    }
    form.requested_schema.check(&content).map_err(|why| {
        Missing::Wrong(Fail::usage(format!(
            "the answer to {key:?} does not fit the form: {why}"
        )))
    })?;
    Ok(ElicitResult::accept(content))
}

fn clipped(word: &str) -> String {
    text::clipped_line(word, 100)
}

/// The word as `field=value`, if it is for this form.
fn word_for(key: &str, schema: &JsonObject, word: &str) -> Option<String> {
    let is_field = |word: &str| {
        let name = word.split('=').next().unwrap_or_default();
        args::property(schema, name.strip_suffix(':').unwrap_or(name)).is_some()
    };
    let own = word
        .strip_prefix(key)
        .and_then(|rest| rest.strip_prefix('.'))
        .filter(|rest| is_field(rest));
    own.or_else(|| Some(word).filter(|word| is_field(word)))
        .map(str::to_owned)
}

fn schema_of(form: &ElicitRequestFormParams) -> JsonObject {
    match serde_json::to_value(&form.requested_schema) {
        Ok(JsonValue::Object(schema)) => schema,
        _ => JsonObject::new(),
    }
}

/// What is asked, for people.
pub(crate) fn questions(requests: &InputRequests) -> String {
    requests
        .iter()
        .map(|(key, request)| question(key, request))
        .collect::<Vec<_>>()
        .join("\n")
}

fn question(key: &str, request: &InputRequest) -> String {
    match request {
        InputRequest::Elicit(ElicitRequestParams::Form(form)) => {
            let schema = schema_of(form);
            let fields = form
                .requested_schema
                .properties
                .iter()
                .map(|(name, _)| field(&schema, name));
            let lines: Vec<String> = render::plain_table(fields)
                .lines()
                .map(|line| format!("    {line}"))
                .collect();
            format!(
                "  {}: {}\n{}",
                text::line(key),
                text::line(&form.message),
                lines.join("\n")
            )
        }
        InputRequest::Elicit(ElicitRequestParams::Url(url)) => {
            format!(
                "  {}: {} {}",
                text::line(key),
                text::line(&url.message),
                text::line(&url.url)
            )
        }
        other => format!("  {}: {}", text::line(key), other.method()),
    }
}

fn field(schema: &JsonObject, name: &str) -> [String; 3] {
    let text_of = |member: &str| {
        let value = args::property(schema, name)
            .and_then(|field| field.get(member))
            .and_then(JsonValue::as_str);
        value.map(str::to_owned)
    };
    let default = args::property(schema, name).and_then(|field| field.get("default"));
    let named: Vec<String> = text_of("title")
        .into_iter()
        .chain(text_of("description"))
        .collect();
    let mut about = vec![named.join(": ")];
    about.retain(|text| !text.is_empty());
    about.extend(args::choices(schema, name).and_then(|choices| choices.titles()));
    about.extend(default.map(|default| format!("default {default}")));
    about.extend(
        args::required(schema)
            .any(|required| required == name)
            .then(|| "required".to_owned()),
    );
    [
        name.to_owned(),
        args::types_shown(schema, name),
        about.join("; "),
    ]
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
        names.extend(
            form.requested_schema
                .properties
                .first()
                .map(|(name, _)| name.as_str()),
        );
    }
    let words: Vec<String> = names
        .iter()
        .map(|name| format!("--answer {}=...", text::line(name)))
        .collect();
    Some(words.join(" "))
}
