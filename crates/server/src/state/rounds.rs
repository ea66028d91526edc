//! Asks the client in the middle of a call (`basic/patterns/mrtr`).
//!
//! A call is answered in rounds. In each round the handler runs from its beginning. The answers of
//! earlier rounds travel in `requestState`, sealed, so that any replica can take the next round.
//! [`Ctx::ask`](crate::Ctx::ask) returns the answer if it has arrived, and otherwise ends the round.
//! [`Ctx::once`](crate::Ctx::once) keeps side effects from being repeated.

pub(crate) mod form;
pub(crate) mod journal;
pub(crate) mod question;
pub(crate) mod record;

use crate::call::ctx::Ctx;
use crate::call::errors::missing_capabilities;
use crate::call::handler_error::HandlerError;
use carryall_proto::deprecated::DeprecatedFeature;
use carryall_types::{ErrorObject, InputRequest, InputRequests, InputRequiredResult};
use question::{Question, RoundAnswers};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;

impl Ctx {
    /// Asks the client, the user behind it or its model, and returns the answer.
    ///
    /// A question is a [`Form`](crate::Form), the parameters of an elicitation, of sampling or of
    /// roots, or a tuple of up to six of these, which are asked in one round.
    ///
    /// Without an answer, this is an error that ends the round: pass it on with `?`. In the next
    /// round the handler runs again from its beginning, and this returns the answer. So the code
    /// before a question has to arrive at the same question again; wrap side effects that must not
    /// be repeated in [`Ctx::once`].
    ///
    /// A question is identified by its content: if that differs in the next round, the question is
    /// asked again. Use [`Ctx::ask_as`] for a question whose wording may change.
    ///
    /// Answers to other questions are ignored, and missing answers are requested again
    /// (`basic/patterns/mrtr#error-handling`). Answers of earlier rounds are valid for the same
    /// request of the same caller, for a limited time
    /// ([`ServerBuilder::round_lifetime`](crate::ServerBuilder::round_lifetime)).
    ///
    /// ```
    /// use carryall_server::{Ctx, ElicitOutcome, Form, HandlerError};
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Confirm {
    ///     /// Really?
    ///     #[serde(default)]
    ///     sure: bool,
    /// }
    ///
    /// async fn delete(ctx: Ctx) -> Result<&'static str, HandlerError> {
    ///     match ctx.ask(Form::<Confirm>::new("Delete all of it?")).await? {
    ///         ElicitOutcome::Accepted(confirm) if confirm.sure => Ok("deleted"),
    ///         ElicitOutcome::Accepted(_) | ElicitOutcome::Declined | ElicitOutcome::Cancelled => Ok("nothing was deleted"),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// While an answer is missing; `-32602`, when an answer does not fit its question, or the
    /// `requestState` was not sealed by this server for this request; `-32021`, when the client has
    /// not declared the capabilities to answer.
    pub async fn ask<Q: Question>(&self, question: Q) -> Result<Q::Answer, HandlerError> {
        self.answer_to(None, question).await
    }

    /// Like [`Ctx::ask`], with a name that identifies the question whatever its wording. The client
    /// sees the name as the key of the question. A name may be used once in a call.
    ///
    /// # Errors
    /// As for [`Ctx::ask`].
    pub async fn ask_as<Q: Question>(
        &self,
        name: &str,
        question: Q,
    ) -> Result<Q::Answer, HandlerError> {
        self.answer_to(Some(name), question).await
    }

    /// Runs a side effect once in the rounds of a call: its outcome is recorded, and later rounds
    /// return the record. Errors are not recorded.
    ///
    /// The record travels in `requestState` with the next question, and is effective from then on.
    /// A client that repeats an earlier round, because the response was lost, starts from the
    /// record of that round. An effect that must not happen twice even then needs an idempotency
    /// key, or a single-use handle.
    ///
    /// In a task, the outcome is in the store when this returns, and a worker that resumes the task
    /// starts from there. If the process ends between the effect and the write, the effect is
    /// repeated.
    ///
    /// # Errors
    /// The error of `effect`; `-32602`, when the `requestState` was not sealed by this server for
    /// this request; `-32603`, when the outcome cannot be written as JSON.
    pub async fn once<T, E, Fut>(&self, key: &str, effect: impl FnOnce() -> Fut) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<HandlerError>,
        Fut: Future<Output = Result<T, E>>,
    {
        if let Some(outcome) = self
            .journal()?
            .with(|journal| journal.record().step(key).cloned())
        {
            return serde_json::from_value(outcome)
                .map_err(|error| E::from(HandlerError::internal(error)));
        }
        let outcome = effect().await?;
        let recorded = serde_json::to_value(&outcome)
            .map_err(|error| E::from(HandlerError::internal(error)))?;
        if let Some(task) = self.task() {
            task.record_step(key, &recorded).await?;
        }
        self.journal()?
            .with(|journal| journal.record().record_step(key, recorded));
        Ok(outcome)
    }

    async fn answer_to<Q: Question>(
        &self,
        name: Option<&str>,
        question: Q,
    ) -> Result<Q::Answer, HandlerError> {
        let requests = question.requests()?;
        let rounds = self.journal()?;
        let keys = rounds.with(|journal| journal.keys_of(name, &requests));
        let missing: InputRequests = rounds.with(|journal| {
            let asked = keys
                .iter()
                .zip(&requests)
                .filter(|(key, _)| journal.answer(key).is_none());
            asked
                .map(|(key, request)| (key.clone(), request.clone()))
                .collect()
        });
        match self.task() {
            _ if missing.is_empty() => {}
            Some(task) => {
                may_ask(self, &missing).map_err(HandlerError::protocol)?;
                let answers = task.ask(&missing).await?;
                rounds.with(|journal| {
                    answers
                        .into_iter()
                        .for_each(|(key, answer)| journal.record().record_answer(key, answer))
                });
            }
            None => {
                let state = rounds.with(|journal| {
                    self.environment()
                        .sealer
                        .seal(self.call(), journal.record())
                })?;
                let result = InputRequiredResult::new()
                    .with_input_requests(missing)
                    .with_request_state(state);
                return Err(HandlerError::input_required(result));
            }
        }
        let given = rounds.with(|journal| {
            keys.into_iter()
                .filter_map(|key| journal.answer(&key).cloned().map(|answer| (key, answer)))
                .collect()
        });
        question.read(&mut RoundAnswers::new(given))
    }
}

/// Checks that the client has declared what it takes to answer these requests
/// (`basic/patterns/mrtr#server-requirements-basic-workflow`).
///
/// # Errors
/// `-32021`, naming the missing capabilities.
pub(crate) fn may_ask(ctx: &Ctx, requests: &InputRequests) -> Result<(), ErrorObject> {
    let declared = ctx.client_capabilities();
    let missing = requests
        .iter()
        .filter_map(|(_, request)| request.required_capability().missing_from(declared));
    let missing: Vec<_> = missing.collect();
    if !missing.is_empty() {
        return Err(missing_capabilities(&missing));
    }
    requests
        .iter()
        .for_each(|(_, request)| warn_of_deprecated(request));
    Ok(())
}

/// Warns the operator, once, of a feature that the specification deprecates.
fn warn_of_deprecated(request: &InputRequest) {
    let feature = match request {
        InputRequest::Elicit(_) => return,
        InputRequest::CreateMessage(_) => DeprecatedFeature::Sampling,
        InputRequest::ListRoots(_) => DeprecatedFeature::Roots,
    };
    if feature.is_first_use() {
        tracing::warn!("a handler asks the client for input: {}", feature.notice());
    }
}
