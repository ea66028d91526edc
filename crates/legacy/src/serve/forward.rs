//! A request of a legacy client as calls of this revision: one for each round.

use super::conversation::{ClientSession, Outgoing, RequestContext};
use super::long;
use super::translate::{questions, results};
use crate::generate::Emitter;
use crate::message::Request;
use carryall_proto::backoff::Backoff;
use carryall_proto::deprecated::DeprecatedFeature;
use carryall_proto::{CallError, Message, Notification, Outcome, Params, Reply, key};
use carryall_types::{
    ErrorObject, InputRequest, InputRequests, JsonObject, JsonValue, Method, ProgressToken,
    RawJson, code,
};
use futures_util::StreamExt as _;
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Between rounds in which the service asks for nothing but to be asked again.
const STATE_ONLY: Backoff = Backoff::new(Duration::from_millis(25), Duration::from_secs(1));
/// What this revision puts into `params` and a client of an earlier one must not be able to.
const ROUND_MEMBERS: [&str; 2] = ["inputResponses", "requestState"];

/// One request, and whose it is.
pub(crate) struct Forward<'a> {
    pub(crate) conversation: &'a Arc<ClientSession>,
    pub(crate) request: &'a Request,
    pub(crate) method: Method,
    pub(crate) origin: &'a RequestContext,
    pub(crate) out: &'a Emitter<Outgoing>,
}

/// An `InputRequiredResult`, or the little of any other result that tells it apart.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoundResult {
    #[serde(default)]
    result_type: Option<String>,
    #[serde(default)]
    input_requests: Option<InputRequests>,
    #[serde(default)]
    request_state: Option<RawJson>,
}

/// Calls the service until its result is complete, asking the client what it wants to know on the
/// way.
pub(crate) async fn run(forward: Forward<'_>) -> Result<RawJson, ErrorObject> {
    let Forward {
        conversation,
        request,
        origin,
        ..
    } = &forward;
    let (params, token, extra) = taken_apart(&request.params)?;
    let mut round: Option<(RawJson, Option<RawJson>)> = None;
    let mut pages = UrlElicitations::default();
    let mut negotiated = Cow::Borrowed(&conversation.negotiated);
    for rounds in 0..=conversation.options.max_rounds {
        let meta = negotiated.meta(conversation.log_level(), token.clone(), &extra);
        let mut call = super::negotiated::call(
            request.id.clone(),
            forward.method.clone(),
            params.clone(),
            meta,
            origin,
        )?;
        if let Some((responses, state)) = &round {
            call.set_param("inputResponses", responses);
            if let Some(state) = state {
                call.set_param("requestState", state);
            }
        }
        let result = match forward.one_round(call).await? {
            Outcome::Result(result) => result,
            // The tool only runs as a task. The client does not know such tasks, but it can wait.
            Outcome::Error(error)
                if long::needs_task(&error) && matches!(negotiated, Cow::Borrowed(_)) =>
            {
                negotiated = Cow::Owned(long::with_tasks(&negotiated));
                continue;
            }
            Outcome::Error(error) => return Err(error),
        };
        let mut interim: RoundResult = result.decode().map_err(|_| ErrorObject::internal())?;
        let result = if interim.result_type.as_deref() == Some("task") {
            interim = RoundResult::default();
            long::drive(&forward, &result, &mut pages).await?
        } else {
            result
        };
        if interim.result_type.as_deref() != Some("input_required") {
            for finished in pages.finished.drain(..) {
                forward.out.emit(Outgoing::Notification(finished)).await;
            }
            return results::for_client(
                &conversation.negotiated,
                &conversation.options,
                &forward.method,
                &result,
            );
        }
        for finished in pages.finished.drain(..) {
            forward.out.emit(Outgoing::Notification(finished)).await;
        }
        let asked = interim.input_requests.unwrap_or_default();
        if asked.is_empty() {
            let random = u64::try_from(rounds).unwrap_or_default();
            tokio::time::sleep(STATE_ONLY.delay(u32::try_from(rounds).unwrap_or(u32::MAX), random))
                .await;
        }
        round = Some((forward.ask(asked, &mut pages).await?, interim.request_state));
    }
    let limit = conversation.options.max_rounds;
    Err(ErrorObject::new(
        code::INTERNAL_ERROR,
        format!("The server asked for input more than {limit} times"),
    ))
}

/// UrlElicitations that a user was sent to (2025-11-25 `client/elicitation#url-mode-elicitation-requests`).
#[derive(Default)]
pub(super) struct UrlElicitations {
    /// What to say when the service goes on: that the interaction out of band is complete.
    finished: Vec<Notification>,
}

impl Forward<'_> {
    /// One call; what it says before its response goes to the client.
    pub(super) async fn one_round(
        &self,
        call: carryall_proto::Call,
    ) -> Result<Outcome, ErrorObject> {
        let lost = |error: CallError| {
            tracing::error!(%error, "no answer from the service");
            ErrorObject::internal()
        };
        let mut messages = match self.conversation.service.answer(call).await.map_err(lost)? {
            Reply::Once(response) => return Ok(response.outcome),
            Reply::Stream(messages) => messages,
        };
        while let Some(message) = messages.next().await {
            match message.map_err(lost)? {
                Message::Notification(notification) => {
                    self.out.emit(Outgoing::Notification(notification)).await
                }
                Message::Response(response) => return Ok(response.outcome),
            }
        }
        tracing::error!("the reply ended without a response");
        Err(ErrorObject::internal())
    }

    /// Asks all that a round wants to know at once, and waits for all answers: the `inputResponses`
    /// of the next round.
    pub(super) async fn ask(
        &self,
        asked: InputRequests,
        pages: &mut UrlElicitations,
    ) -> Result<RawJson, ErrorObject> {
        let mut open = Vec::new();
        for (key, question) in asked {
            notice_deprecated(&question);
            let (params, page) =
                questions::params(self.conversation.negotiated.version, &question)?;
            let opened = self.conversation.questions.open(question.method(), params);
            let (request, waiting) = opened.ok_or_else(|| {
                ErrorObject::new(
                    code::INTERNAL_ERROR,
                    "Too many questions to this client are open",
                )
            })?;
            self.out.emit(Outgoing::Request(request)).await;
            open.push((key, question.method(), waiting, page));
        }
        let mut responses = JsonObject::new();
        for (key, method, mut waiting, page) in open {
            let limit = self.conversation.options.question_timeout;
            let answer = tokio::select! {
                biased;
                answer = timeout(limit, waiting.answer()) => {
                    answer.map_err(|_| format!("The client did not answer {method} within {limit:?}"))
                }
                // The answer could not reach this process any more.
                () = self.conversation.shutdown.begun() => Err("The server is shutting down; send the request again".into()),
            };
            let answer = match answer {
                Ok(answer) => answer,
                Err(why) => {
                    self.withdraw(waiting.id()).await;
                    return Err(ErrorObject::new(code::INTERNAL_ERROR, why));
                }
            };
            match answer {
                Some(Outcome::Result(answer)) => {
                    let answer: JsonValue = answer.decode().map_err(|_| ErrorObject::internal())?;
                    let accepted = answer
                        .get("action")
                        .is_some_and(|action| action == "accept");
                    pages
                        .finished
                        .extend(page.filter(|_| accepted).map(questions::page_finished));
                    responses.insert(key, answer);
                }
                Some(Outcome::Error(error)) => {
                    let why = format!(
                        "The client did not answer {method}: {} ({})",
                        error.message, error.code
                    );
                    return Err(ErrorObject::new(code::INTERNAL_ERROR, why));
                }
                None => return Err(ErrorObject::internal()),
            }
        }
        RawJson::from_value(&responses).map_err(|_| ErrorObject::internal())
    }

    async fn withdraw(&self, id: &str) {
        let params = serde_json::json!({"requestId": id, "reason": "The server no longer waits"});
        let cancelled = Notification::new("notifications/cancelled", RawJson::from(&params));
        self.out.emit(Outgoing::Notification(cancelled)).await;
    }
}

/// Tells whoever runs the server, once, that it relies on what may go.
fn notice_deprecated(question: &InputRequest) {
    let feature = match question {
        InputRequest::Elicit(_) => return,
        InputRequest::CreateMessage(_) => DeprecatedFeature::Sampling,
        InputRequest::ListRoots(_) => DeprecatedFeature::Roots,
    };
    if feature.is_first_use() {
        tracing::warn!("a legacy client is asked for input: {}", feature.notice());
    }
}

/// Parameters without what this revision gives another meaning, the progress token, and what else
/// was in `_meta`.
fn taken_apart(
    params: &RawJson,
) -> Result<(RawJson, Option<ProgressToken>, JsonObject), ErrorObject> {
    let invalid = |error: &dyn std::fmt::Display| {
        ErrorObject::invalid_params(format!("Invalid params: {error}"))
    };
    let parsed = Params::parse(params.clone()).map_err(|error| invalid(&error))?;
    let mut extra: JsonObject = match parsed.get("_meta") {
        Some(meta) => meta.decode().map_err(|error| invalid(&error))?,
        None => JsonObject::new(),
    };
    let token = extra
        .remove(key::PROGRESS_TOKEN)
        .map(serde_json::from_value)
        .transpose();
    let token = token.map_err(|error| invalid(&error))?;
    extra.retain(|name, _| !name.starts_with("io.modelcontextprotocol/"));
    let mut text = params.clone();
    if ROUND_MEMBERS
        .iter()
        .any(|member| parsed.get_str(member).is_some())
    {
        let mut object: JsonObject = params.decode().map_err(|error| invalid(&error))?;
        object.retain(|name, _| !ROUND_MEMBERS.contains(&name.as_str()));
        text = RawJson::from(&JsonValue::Object(object));
    }
    Ok((text, token, extra))
}
