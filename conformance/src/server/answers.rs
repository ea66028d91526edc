//! Questions to the client and what comes back: forms, samples and roots, each checked before it is used
//! (`basic/patterns/mrtr#error-handling`).

use carryall::ToolError;
use carryall::server::Failure;
use carryall::types::{
    CreateMessageRequestParams, CreateMessageResult, ElicitAction, ElicitRequestFormParams, ElicitResult,
    InputRequiredResult, InputResponses, JsonObject, ListRootsResult, RequestedSchema, Role, SamplingMessage,
};

/// What a round brings in answer to one question.
pub(crate) enum Answer<T> {
    Given(T),
    /// The user said no, or closed the form.
    Declined,
    /// Nothing, or nothing that fits: the question has to be asked again.
    Missing,
}

impl<T> Answer<T> {
    /// The answer, or what a tool returns in its absence.
    pub(crate) fn or_ask(self, ask: impl FnOnce() -> Result<InputRequiredResult, Failure>) -> Result<T, ToolError> {
        match self {
            Self::Given(answer) => Ok(answer),
            Self::Declined => Err(ToolError::new("The user did not answer")),
            Self::Missing => Err(ToolError::input_required(ask()?)),
        }
    }

    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Self::Given(answer) => Answer::Given(map(answer)),
            Self::Declined => Answer::Declined,
            Self::Missing => Answer::Missing,
        }
    }
}

/// A form with one required field of text.
pub(crate) fn text_form(message: &str, field: &str) -> ElicitRequestFormParams {
    ElicitRequestFormParams::new(message, RequestedSchema::new().string(field, |text| text).required())
}

/// A form with one required yes or no.
pub(crate) fn boolean_form(message: &str, field: &str) -> ElicitRequestFormParams {
    ElicitRequestFormParams::new(message, RequestedSchema::new().boolean(field, |tick| tick).required())
}

/// What the user has filled in. What does not fit the form is as good as nothing.
pub(crate) fn filled_in(answers: &InputResponses, key: &str, form: &ElicitRequestFormParams) -> Answer<JsonObject> {
    let Some(Ok(result)) = answers.get_as::<ElicitResult>(key) else { return Answer::Missing };
    match result.action {
        ElicitAction::Accept if result.check(&form.clone().into()).is_err() => Answer::Missing,
        ElicitAction::Accept => Answer::Given(result.content.unwrap_or_default()),
        ElicitAction::Decline | ElicitAction::Cancel => Answer::Declined,
    }
}

/// The text that the user has filled in for a form of one field.
pub(crate) fn text_in(
    answers: &InputResponses,
    key: &str,
    form: &ElicitRequestFormParams,
    field: &str,
) -> Answer<String> {
    filled_in(answers, key, form).map(|content| content[field].as_str().unwrap_or_default().to_owned())
}

// Sampling and roots are deprecated and still have to work (SEP-2577).
#[allow(deprecated)]
pub(crate) fn prompt(text: &str, max_tokens: u64) -> CreateMessageRequestParams {
    CreateMessageRequestParams::new(vec![SamplingMessage::new(Role::User, text)], max_tokens)
}

/// What the client's model has said.
pub(crate) fn sampled(answers: &InputResponses, key: &str) -> Answer<String> {
    match answers.get_as::<CreateMessageResult>(key) {
        Some(Ok(result)) => Answer::Given(result.content.text()),
        _ => Answer::Missing,
    }
}

/// The roots that the client offers.
pub(crate) fn roots(answers: &InputResponses, key: &str) -> Answer<Vec<String>> {
    match answers.get_as::<ListRootsResult>(key) {
        Some(Ok(result)) if result.check().is_ok() => {
            Answer::Given(result.roots.into_iter().map(|root| root.uri).collect())
        }
        _ => Answer::Missing,
    }
}
