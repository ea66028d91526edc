//! Answers input requests of servers (`basic/patterns/mrtr`): from the command line, or by asking
//! the user at the terminal.

mod describe;
mod form;
mod options;

pub(crate) use describe::describe;
pub(crate) use options::AnswerOptions;

use crate::connection::{ConnectedServer, TaskFollowUp};
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::output::spinner::Spinner;
use crate::output::{OutputFormat, text};
use crate::suggest;
use carryall::types::{
    ElicitRequestParams, ElicitResult, InputRequest, InputRequests, InputResponses, JsonValue,
};

/// Input that a request or a task needs before it goes on.
pub(crate) struct PendingInput<'a> {
    /// The tool, task, prompt or resource that asks.
    pub(crate) what: &'a str,
    pub(crate) requests: &'a InputRequests,
    /// The JSON output if an answer is missing.
    pub(crate) result: JsonValue,
    /// The command that can give the answers later, if there is one.
    pub(crate) later: Option<TaskFollowUp<'a>>,
}

/// Why a request was not answered.
enum Unanswered {
    /// No answer was given, or none for this option.
    Missing(Option<String>),
    /// The answer is invalid.
    Invalid(CliError),
}

impl PendingInput<'_> {
    /// Answers all requests.
    ///
    /// # Errors
    /// A missing or invalid answer. With a missing one, `result` is printed if the output is JSON.
    pub(crate) async fn answer_all(
        &self,
        server: &ConnectedServer,
        spinner: &Spinner,
        answers: &AnswerOptions,
    ) -> Result<InputResponses, CliError> {
        let mut responses = InputResponses::new();
        for (key, request) in self.requests.iter() {
            match self.answer(key, request, server, spinner, answers).await {
                Ok(answer) => drop(responses.0.insert(key.to_owned(), answer)),
                Err(unanswered) => return Err(self.error(server, answers, unanswered)),
            }
        }
        Ok(responses)
    }

    /// Answers the requests to which answers were given, at least one.
    ///
    /// # Errors
    /// Those of [`answer_all`](Self::answer_all).
    pub(crate) async fn answer_some(
        &self,
        server: &ConnectedServer,
        spinner: &Spinner,
        answers: &AnswerOptions,
    ) -> Result<InputResponses, CliError> {
        let mut responses = InputResponses::new();
        for (key, request) in self.requests.iter() {
            match self.answer(key, request, server, spinner, answers).await {
                Ok(answer) => drop(responses.0.insert(key.to_owned(), answer)),
                Err(Unanswered::Missing(None)) => {}
                Err(unanswered) => return Err(self.error(server, answers, unanswered)),
            }
        }
        if responses.0.is_empty() {
            return Err(self.error(server, answers, Unanswered::Missing(None)));
        }
        Ok(responses)
    }

    async fn answer(
        &self,
        key: &str,
        request: &InputRequest,
        server: &ConnectedServer,
        spinner: &Spinner,
        answers: &AnswerOptions,
    ) -> Result<JsonValue, Unanswered> {
        // The client refuses requests for capabilities that were not declared, so `Missing` is rare
        // outside of forms.
        let missing = || Unanswered::Missing(None);
        let answer = match (request, server.prompter) {
            (InputRequest::Elicit(_), _) if answers.decline => {
                serde_json::to_value(ElicitResult::decline())
            }
            (InputRequest::Elicit(question), Some(prompter)) => {
                let _suspended = spinner.suspend();
                let label = format!("{} ({})", server.label, self.what);
                let asked = prompter.ask(label, question.clone()).await;
                serde_json::to_value(asked.map_err(Unanswered::Invalid)?)
            }
            (InputRequest::Elicit(ElicitRequestParams::Form(form)), None) => {
                serde_json::to_value(form::fill_in(key, form, answers)?)
            }
            (InputRequest::Elicit(ElicitRequestParams::Url(_)), None) => return Err(missing()),
            (InputRequest::CreateMessage(_), _) => {
                serde_json::to_value(server.features.sample().ok_or_else(missing)?)
            }
            (InputRequest::ListRoots(_), _) => {
                let roots = server.features.roots().map_err(Unanswered::Invalid)?;
                serde_json::to_value(roots.ok_or_else(missing)?)
            }
        };
        answer.map_err(|error| {
            Unanswered::Invalid(CliError::usage(format!("the answer to {key:?}: {error}")))
        })
    }

    /// Reports what the server asks for: as JSON on standard output, and as an error with the
    /// fields.
    fn error(
        &self,
        server: &ConnectedServer,
        answers: &AnswerOptions,
        unanswered: Unanswered,
    ) -> CliError {
        let missing = match unanswered {
            Unanswered::Invalid(error) => return error,
            Unanswered::Missing(None) => String::new(),
            Unanswered::Missing(Some(option)) => format!(" ({option} is missing)"),
        };
        if server.output.format == OutputFormat::Json
            && let Err(error) = server.output.json(&self.result)
        {
            return error;
        }
        let error = CliError::new(
            ExitStatus::InputRequired,
            format!(
                "{}: {} asks for input before it continues{missing}\n{}",
                server.label,
                text::one_line(self.what),
                describe(self.requests)
            ),
        );
        let error = self
            .unknown_fields(answers)
            .into_iter()
            .fold(error, CliError::hint);
        match describe::example(self.requests) {
            Some(example) => {
                let command = match self.later {
                    Some(later) => later.with(&example),
                    None => example,
                };
                error.hint(format!("answer with {command}, or refuse with --decline"))
            }
            None => error.hint(
                "pages are opened only at a terminal; roots are given with --root, and the model's reply with --sample",
            ),
        }
    }

    /// Returns a hint for each answer that names no field of the forms.
    fn unknown_fields(&self, answers: &AnswerOptions) -> Vec<String> {
        let fields: Vec<&str> = describe::forms(self.requests)
            .flat_map(|form| form.requested_schema.properties.iter())
            .map(|(name, _)| name.as_str())
            .collect();
        let hint = |word: &String| {
            let name = form::field_name(word);
            let suggestion = suggest::did_you_mean(name, fields.iter().copied())
                .map(|suggestion| format!(": {suggestion}"))
                .unwrap_or_default();
            format!(
                "there is no field {:?}{suggestion}",
                text::clipped_line(name, 60)
            )
        };
        answers.unused().map(hint).collect()
    }
}
