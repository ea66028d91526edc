//! Sends a call to replicas until one answers.

use super::tool_headers::{gateway_mirrors, is_header_mismatch, without_invalid_tools};
use super::{CallAttempts, ReplicaSlot, Upstream};
use crate::error::GatewayError;
use crate::id_mapping::IdMapping;
use crate::relay::StartedReply;
use carryall_proto::{Call, CallError, Message, Outcome, Reply, Response, SharedService};
use carryall_types::Method;
use futures_util::StreamExt as _;
use std::sync::Arc;

/// The most replicas that one call is sent to.
const MAX_ATTEMPTS: usize = 8;

impl Upstream {
    /// Sends a call to the next replica, and to further ones while it was not executed or may be
    /// executed twice. Dropping the future or the reply cancels the call.
    pub(crate) async fn exchange(&self, mut call: Call) -> Result<Reply, GatewayError> {
        let method = call.method().clone();
        let derives_headers = !self.inner.shared_channel && gateway_mirrors(&call);
        let mirrors = derives_headers && method == Method::ToolsCall;
        if mirrors {
            self.inner
                .tools
                .mirror(&mut call)
                .map_err(|error| self.failed(error))?;
        }
        let mut call = Some(call);
        let mut attempts = CallAttempts::default();
        let mut last_error = None;
        while attempts.count() < MAX_ATTEMPTS {
            let Some((replica, service)) = self.pick_or_wait(&mut attempts).await else {
                break;
            };
            // A copy is kept only if there can be a further attempt.
            let attempt = if self.may_try_again(&attempts) {
                call.clone()
            } else {
                call.take()
            };
            let Some(attempt) = attempt else { break };
            // Kept for a second attempt with other headers. Cheap: the text is shared, and few
            // calls arrive without headers.
            let unmirrored = mirrors.then(|| attempt.clone());
            let mut reply = self.attempt(attempt, &replica, &service).await;
            if let Some(sent) = unmirrored.filter(|_| reply.as_ref().is_ok_and(is_header_mismatch))
                && let Some(again) = self.with_fresh_headers(&sent, &service).await
            {
                reply = self.attempt(again, &replica, &service).await;
            }
            match reply {
                Ok(reply) if method == Method::ToolsList && !self.inner.shared_channel => {
                    return Ok(self.learn_headers(reply, derives_headers));
                }
                Ok(reply) => return Ok(reply),
                Err(error) if may_retry(&method, &error) => last_error = Some(error),
                Err(error) => return Err(self.failed(error)),
            }
        }
        match last_error {
            None | Some(CallError::Unreachable(_)) => Err(self.unreachable()),
            Some(error) => Err(self.failed(error)),
        }
    }

    /// Learns the headers of tools from a list that passes through. If the gateway derives the
    /// headers of this client's calls, tools with invalid annotations are removed.
    fn learn_headers(&self, reply: Reply, derives_headers: bool) -> Reply {
        let upstream = self.clone();
        let learn = move |mut response: Response| {
            if let Outcome::Result(result) = &mut response.outcome {
                upstream.inner.tools.learn(result);
                if derives_headers
                    && let Some(valid) = without_invalid_tools(upstream.name(), result)
                {
                    *result = valid;
                }
            }
            response
        };
        match reply {
            Reply::Once(response) => Reply::Once(learn(response)),
            Reply::Stream(messages) => {
                Reply::Stream(Box::pin(messages.map(move |message| match message {
                    Ok(Message::Response(response)) => Ok(Message::Response(learn(response))),
                    other => other,
                })))
            }
        }
    }

    async fn attempt(
        &self,
        call: Call,
        replica: &Arc<ReplicaSlot>,
        service: &SharedService,
    ) -> Result<Reply, CallError> {
        let number = self.inner.ids.next();
        let (call, mapping) = IdMapping::upstream(call, number, self.inner.shared_channel);
        let started = async { StartedReply::start(service.answer(call).await?).await }.await;
        match started {
            Ok(started) => {
                replica.succeeded();
                Ok(started.downstream(mapping, Arc::clone(replica)))
            }
            Err(error) => {
                replica.failed(&error);
                Err(error)
            }
        }
    }

    fn unreachable(&self) -> GatewayError {
        GatewayError::Unreachable {
            upstream: self.inner.name.clone(),
            replicas: self.replica_count(),
        }
    }

    fn failed(&self, error: CallError) -> GatewayError {
        GatewayError::Failed {
            upstream: self.inner.name.clone(),
            error,
        }
    }
}

/// Returns whether a call may be sent to another replica after an error.
fn may_retry(method: &Method, error: &CallError) -> bool {
    match error {
        // It was not sent, and another replica has limits of its own.
        CallError::Unreachable(_) | CallError::Busy(_) => true,
        CallError::Broken(_)
        | CallError::NotMcp {
            status: 502..=504, ..
        } => is_repeatable(method),
        // Another replica would answer the same, or has no time left.
        _ => false,
    }
}

/// Returns whether a request may be executed twice without harm. Opening a subscription again does
/// none: nothing of it has been passed on yet.
fn is_repeatable(method: &Method) -> bool {
    method.is_read_only() || *method == Method::SubscriptionsListen
}
