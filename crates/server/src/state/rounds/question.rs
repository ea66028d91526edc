//! Questions to the client, and their answers.

use super::form::{FormLayout, form_of};
use crate::call::handler_error::HandlerError;
use carryall_types::{
    CreateMessageRequestParams, CreateMessageResult, ElicitAction, ElicitRequestFormParams,
    ElicitRequestParams, ElicitRequestURLParams, ElicitResult, ErrorObject, InputRequest,
    JsonObject, JsonValue, ListRootsRequestParams, ListRootsResult, RequestedSchema, Root,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// The response of a user to a question (`client/elicitation#response-actions`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the user may have declined"]
pub enum ElicitOutcome<T> {
    /// The user accepted; a form has these values.
    Accepted(T),
    /// The user declined.
    Declined,
    /// The user dismissed the question without a choice.
    Cancelled,
}

impl<T> ElicitOutcome<T> {
    /// Returns the values, if the user accepted.
    #[must_use]
    pub fn accepted(self) -> Option<T> {
        match self {
            Self::Accepted(value) => Some(value),
            Self::Declined | Self::Cancelled => None,
        }
    }

    fn map<U>(self, map: impl FnOnce(T) -> Result<U, String>) -> Result<ElicitOutcome<U>, String> {
        Ok(match self {
            Self::Accepted(value) => ElicitOutcome::Accepted(map(value)?),
            Self::Declined => ElicitOutcome::Declined,
            Self::Cancelled => ElicitOutcome::Cancelled,
        })
    }
}

/// The answers to the requests of one question, in their order.
#[derive(Debug)]
pub struct RoundAnswers(std::vec::IntoIter<(String, JsonValue)>);

impl RoundAnswers {
    pub(super) fn new(given: Vec<(String, JsonValue)>) -> Self {
        Self(given.into_iter())
    }

    /// Decodes the next answer with `read`.
    ///
    /// # Errors
    /// `-32602`, with the key of the answer and why it is malformed.
    fn next<T>(
        &mut self,
        read: impl FnOnce(JsonValue) -> Result<T, String>,
    ) -> Result<T, HandlerError> {
        let (key, answer) = self
            .0
            .next()
            .ok_or_else(|| HandlerError::protocol(ErrorObject::internal()))?;
        read(answer)
            .map_err(|why| HandlerError::invalid_params(format!("inputResponses[{key:?}]: {why}")))
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A question to the client; see [`Ctx::ask`](crate::Ctx::ask).
///
/// | Question | asks |
/// |---|---|
/// | [`Form<T>`] | the user, for a `T` |
/// | [`ElicitRequestFormParams`] | the user, with a form built at run time |
/// | [`ElicitRequestURLParams`] | the user, to open a page; accepted means opened, and no more |
/// | [`CreateMessageRequestParams`] | the client's model (deprecated by SEP-2577) |
/// | [`ListRootsRequestParams`] | the client, for its roots (deprecated by SEP-2577) |
/// | a tuple of up to six questions | all of them, in one round |
pub trait Question: sealed::Sealed + Send {
    /// The answer.
    type Answer;

    /// Returns the requests to the client.
    #[doc(hidden)]
    fn requests(&self) -> Result<Vec<InputRequest>, HandlerError>;

    /// Reads the answers, in the order of the requests.
    #[doc(hidden)]
    fn read(self, answers: &mut RoundAnswers) -> Result<Self::Answer, HandlerError>;
}

/// A question to the user whose answer is a `T`: a struct, an enum of unit variants, a list of such,
/// or a single value, as forms can have them (`client/elicitation#requested-schema`). See
/// [`form_of`](crate::form_of) for what becomes of its fields.
pub struct Form<T> {
    message: String,
    answer: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + JsonSchema> Form<T> {
    /// Makes a form with this message. Forms must not ask for passwords, keys or payment data
    /// (`client/elicitation#security-considerations`).
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            answer: PhantomData,
        }
    }
}

impl<T> std::fmt::Debug for Form<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Form")
            .field("message", &self.message)
            .finish()
    }
}

impl<T> sealed::Sealed for Form<T> {}

impl<T: DeserializeOwned + JsonSchema> Question for Form<T> {
    type Answer = ElicitOutcome<T>;

    fn requests(&self) -> Result<Vec<InputRequest>, HandlerError> {
        Ok(vec![form(
            &self.message,
            form_of::<T>().map_err(HandlerError::internal)?,
        )])
    }

    fn read(self, answers: &mut RoundAnswers) -> Result<Self::Answer, HandlerError> {
        let layout = FormLayout::of::<T>().map_err(HandlerError::internal)?;
        answers.next(|answer| {
            filled_in(answer, layout.schema.clone())?.map(|content| decode(layout.nest(content)))
        })
    }
}

fn form(message: &str, schema: RequestedSchema) -> InputRequest {
    ElicitRequestFormParams::new(message, schema).into()
}

/// Reads a filled-in form, and checks it against its schema.
fn filled_in(
    answer: JsonValue,
    schema: RequestedSchema,
) -> Result<ElicitOutcome<JsonObject>, String> {
    elicited(answer, &ElicitRequestFormParams::new("", schema).into())
}

fn elicited(
    answer: JsonValue,
    question: &ElicitRequestParams,
) -> Result<ElicitOutcome<JsonObject>, String> {
    let answer: ElicitResult = decode(answer)?;
    Ok(match answer.action {
        ElicitAction::Accept => {
            answer.check(question)?;
            ElicitOutcome::Accepted(answer.content.unwrap_or_default())
        }
        ElicitAction::Decline => ElicitOutcome::Declined,
        ElicitAction::Cancel => ElicitOutcome::Cancelled,
    })
}

/// Checks that an answer is of the form that its request asks for.
///
/// # Errors
/// Why it is not.
pub(crate) fn check_answer(request: &InputRequest, answer: &JsonValue) -> Result<(), String> {
    match request {
        InputRequest::Elicit(question) => elicited(answer.clone(), question).map(drop),
        InputRequest::CreateMessage(_) => decode::<CreateMessageResult>(answer.clone()).map(drop),
        InputRequest::ListRoots(_) => decode::<ListRootsResult>(answer.clone())?
            .check()
            .map_err(|why| why.to_string()),
    }
}

fn decode<T: DeserializeOwned>(value: JsonValue) -> Result<T, String> {
    carryall_types::decode_value(value).map_err(|error| error.to_string())
}

/// Implements [`Question`] for a question of one request.
macro_rules! one_request {
    ($question:ty, $answer:ty, $read:expr) => {
        impl sealed::Sealed for $question {}

        impl Question for $question {
            type Answer = $answer;

            fn requests(&self) -> Result<Vec<InputRequest>, HandlerError> {
                Ok(vec![self.clone().into()])
            }

            fn read(self, answers: &mut RoundAnswers) -> Result<Self::Answer, HandlerError> {
                let read: fn(Self, JsonValue) -> Result<$answer, String> = $read;
                answers.next(|answer| read(self, answer))
            }
        }
    };
}

one_request!(
    ElicitRequestFormParams,
    ElicitOutcome<JsonObject>,
    |form, answer| filled_in(answer, form.requested_schema)
);
one_request!(ElicitRequestURLParams, ElicitOutcome<()>, |url, answer| {
    elicited(answer, &url.into())?.map(|_| Ok(()))
});
one_request!(
    CreateMessageRequestParams,
    CreateMessageResult,
    |_, answer| decode(answer)
);
one_request!(ListRootsRequestParams, Vec<Root>, |_, answer| {
    let roots: ListRootsResult = decode(answer)?;
    roots.check()?;
    Ok(roots.roots)
});

macro_rules! together {
    ($($question:ident),+) => {
        impl<$($question: Question),+> sealed::Sealed for ($($question,)+) {}

        impl<$($question: Question),+> Question for ($($question,)+) {
            type Answer = ($($question::Answer,)+);

            fn requests(&self) -> Result<Vec<InputRequest>, HandlerError> {
                #[allow(non_snake_case)]
                let ($($question,)+) = self;
                let mut requests = Vec::new();
                $(requests.extend($question.requests()?);)+
                Ok(requests)
            }

            fn read(self, answers: &mut RoundAnswers) -> Result<Self::Answer, HandlerError> {
                #[allow(non_snake_case)]
                let ($($question,)+) = self;
                Ok(($($question.read(answers)?,)+))
            }
        }
    };
}

together!(A);
together!(A, B);
together!(A, B, C);
together!(A, B, C, D);
together!(A, B, C, D, E);
together!(A, B, C, D, E, F);
