//! What can be asked, and what comes back.

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

/// What the user did with a question (`client/elicitation#response-actions`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the user may have said no"]
pub enum ElicitOutcome<T> {
    /// The user agreed; for a form, with these values.
    Accepted(T),
    /// The user said no.
    Declined,
    /// The user closed the question without deciding.
    Cancelled,
}

impl<T> ElicitOutcome<T> {
    /// The values, if the user agreed.
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

    /// The next answer, as `read` makes it; `-32602` says which one does not fit, and why.
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

/// Something to ask the client: see [`Ctx::ask`](crate::Ctx::ask).
///
/// [`Form<T>`] asks the user for a `T`, [`ElicitRequestFormParams`] for what a form made by hand
/// says. [`ElicitRequestURLParams`] sends the user to a page; that it is accepted means that the
/// user has gone there, not that anything has been done. [`CreateMessageRequestParams`] asks the
/// model and [`ListRootsRequestParams`] asks for the client's roots (both deprecated by SEP-2577).
/// A tuple asks all of its members in one round.
pub trait Question: sealed::Sealed + Send {
    /// What comes back.
    type Answer;

    /// The requests to the client.
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
    /// Asks with this message. Passwords, keys and payment data must not be asked for in forms.
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

/// What the user has filled in, checked against the form that asked for it.
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

/// Whether an answer can be one to this request.
///
/// # Errors
/// Why it cannot.
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

/// A question that is one request.
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
