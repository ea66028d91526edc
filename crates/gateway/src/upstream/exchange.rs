//! One call to an upstream: which replica, and what if it fails.

use super::tool_headers::{is_header_mismatch, is_ours_to_mirror, without_invalid};
use super::{Attempts, ReplicaSlot, Upstream};
use crate::fault::GatewayError;
use crate::hop::{IdMapping, is_repeatable};
use crate::relay::{StartedReply, begin};
use carryall_proto::{Call, CallError, Message, Outcome, Reply, Response, SharedService};
use carryall_types::Method;
use futures_util::StreamExt as _;
use std::sync::Arc;

/// More replicas than this are not tried for one call.
const MAX_ATTEMPTS: usize = 8;

impl Upstream {
    /// Sends a call to the next replica, and to further ones while it is known not to have been
    /// executed or may be executed twice. Dropping the future, or the reply, cancels the call
    /// upstream.
    pub(crate) async fn exchange(&self, mut call: Call) -> Result<Reply, GatewayError> {
        let is_ours = !self.shared.shared_channel && is_ours_to_mirror(&call);
        let mirrors = is_ours && *call.method() == Method::ToolsCall;
        if mirrors {
            self.shared
                .tools
                .mirror(&mut call)
                .map_err(|error| self.failed(error))?;
        }
        let (method, mut call) = (call.method().clone(), Some(call));
        let mut tried = Attempts::default();
        let mut last = None;
        while tried.count() < MAX_ATTEMPTS {
            let Some((slot, service)) = self.pick_or_wait(&mut tried).await else {
                break;
            };
            // The copy is for a further attempt; where there can be none there is no copy.
            let attempt = if self.may_try_again(&tried) {
                call.clone()
            } else {
                call.take()
            };
            let Some(attempt) = attempt else { break };
            // A copy for a second attempt with other headers: of the few calls that come without
            // any, and cheap, since the text is shared.
            let unmirrored = mirrors.then(|| attempt.clone());
            let mut answered = self.attempt(attempt, &slot, &service).await;
            if let Some(sent) =
                unmirrored.filter(|_| answered.as_ref().is_ok_and(is_header_mismatch))
                && let Some(again) = self.with_fresh_headers(&sent, &service).await
            {
                answered = self.attempt(again, &slot, &service).await;
            }
            match answered {
                Ok(reply) if method == Method::ToolsList && !self.shared.shared_channel => {
                    return Ok(self.look_for_headers(reply, is_ours));
                }
                Ok(reply) => return Ok(reply),
                Err(error) if may_repeat(&method, &error) => last = Some(error),
                Err(error) => return Err(self.failed(error)),
            }
        }
        match last {
            None | Some(CallError::Unreachable(_)) => Err(self.unreachable()),
            Some(error) => Err(self.failed(error)),
        }
    }

    /// Notes what a list that passes through says about the headers of tools. Where headers are the
    /// gateway's to make (`is_ours`), the tools for which it cannot make them are left out.
    fn look_for_headers(&self, reply: Reply, is_ours: bool) -> Reply {
        let upstream = self.clone();
        let look = move |mut response: Response| {
            if let Outcome::Result(result) = &mut response.outcome {
                upstream.shared.tools.learn(result);
                if let Some(usable) = is_ours
                    .then(|| without_invalid(upstream.name(), result))
                    .flatten()
                {
                    *result = usable;
                }
            }
            response
        };
        match reply {
            Reply::Once(response) => Reply::Once(look(response)),
            Reply::Stream(messages) => {
                Reply::Stream(Box::pin(messages.map(move |message| match message {
                    Ok(Message::Response(response)) => Ok(Message::Response(look(response))),
                    other => other,
                })))
            }
        }
    }

    async fn attempt(
        &self,
        call: Call,
        slot: &Arc<ReplicaSlot>,
        service: &SharedService,
    ) -> Result<Reply, CallError> {
        let number = self.shared.ids.next();
        let (call, hop) = match call.method() {
            Method::SubscriptionsListen => {
                IdMapping::up_listen(call, number, self.shared.shared_channel)
            }
            _ => IdMapping::up(call, number, self.shared.shared_channel),
        };
        let begun: Result<StartedReply, CallError> =
            async { begin(service.answer(call).await?).await }.await;
        match begun {
            Ok(begun) => {
                slot.succeeded();
                Ok(begun.down(hop, Arc::clone(slot)))
            }
            Err(error) => {
                slot.failed(&error);
                Err(error)
            }
        }
    }

    fn unreachable(&self) -> GatewayError {
        GatewayError::Unreachable {
            upstream: self.shared.name.clone(),
            replicas: self.count(),
        }
    }

    fn failed(&self, error: CallError) -> GatewayError {
        GatewayError::Failed {
            upstream: self.shared.name.clone(),
            error,
        }
    }
}

fn may_repeat(method: &Method, error: &CallError) -> bool {
    match error {
        // Nothing was sent, and another replica has places of its own.
        CallError::Unreachable(_) | CallError::Busy(_) => true,
        CallError::Broken(_)
        | CallError::NotMcp {
            status: 502..=504, ..
        } => is_repeatable(method),
        // Another replica would do the same, or has no time left.
        _ => false,
    }
}
