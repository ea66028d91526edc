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
    /// A question is a [`Form`], the parameters of an elicitation, of sampling or of roots, or a
    /// tuple of up to six of these, which are asked in one round. Where an answer is missing, this
    /// is an error that ends the round: pass it on with `?`. The handler then runs once more, from
    /// its beginning, with the answer there. So what stands before a question has to lead to the
    /// same question again, and what must not be repeated belongs into [`Ctx::once`].
    ///
    /// A question is recognised by its content. If it asks something else in a later round, because
    /// what it is about has changed in between, it is asked anew. For a question whose wording may
    /// change, there is [`Ctx::ask_as`].
    ///
    /// RoundAnswers to what is not asked are ignored, and missing ones asked for again
    /// (`basic/patterns/mrtr#error-handling`). What earlier rounds have brought counts for the same
    /// request of the same caller, and not for ever
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
    /// While an answer is missing; when one does not fit its question (`-32602`); when
    /// `requestState` is not what this server has sealed for this request (`-32602`); when the
    /// client has not declared what it takes to answer (`-32021`).
    pub async fn ask<Q: Question>(&self, question: Q) -> Result<Q::Answer, HandlerError> {
        self.answer_to(None, question).await
    }

    /// As [`Ctx::ask`], under a name: the answer stays with the name, however the question is
    /// worded in the next round. The name is what the client sees as the key of the question. Each
    /// name may be asked once in a call.
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

    /// Does something once in the rounds of a call: the outcome is recorded, and in later rounds it
    /// is returned instead.
    ///
    /// The record rides in `requestState` with the next question, so it holds from then on. A
    /// client that sends an earlier round again, as it does when the response got lost, starts from
    /// what that round knew: an effect that must not even then happen twice needs a key that the
    /// other side recognises, or a single-use handle. An error is not recorded.
    ///
    /// In a task, the outcome is in the store when this returns, and whoever resumes the task
    /// starts from there. If the process ends between the effect and that, the effect happens
    /// again.
    ///
    /// # Errors
    /// What `effect` returns; `requestState` that is not this server's (`-32602`); an outcome that
    /// is not JSON (`-32603`).
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
