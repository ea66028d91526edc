//! Sends a request until it is answered: retries and version negotiation.

use super::exchange::exchange;
use super::notifications::NotificationDispatcher;
use super::spec::{RequestSpec, RoundInput};
use crate::core::ClientCore;
use crate::options::CallOptions;
use crate::{ClientError, random};
use carryall_proto::{Call, CallError};
use carryall_types::{Method, RawJson, RequestId, code};

/// What one request has used up of the attempts allowed.
#[derive(Debug, Default)]
pub(crate) struct AttemptCount {
    retries: u32,
    negotiated: bool,
}

impl ClientCore {
    /// Sends the request until there is a response or trying again would not help.
    pub(crate) async fn send(
        &self,
        spec: &mut RequestSpec,
        round: Option<&RoundInput>,
        options: &CallOptions,
        attempts: &mut AttemptCount,
    ) -> Result<RawJson, ClientError> {
        loop {
            let error = match self.attempt(spec, round, options).await {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            match &error {
                ClientError::Server(refusal)
                    if refusal.code == code::UNSUPPORTED_PROTOCOL_VERSION
                        && !attempts.negotiated =>
                {
                    attempts.negotiated = true;
                    self.choose_version(refusal)?;
                }
                ClientError::Call(cause)
                    if attempts.retries < self.config.max_retries
                        && self.may_retry(spec, cause, options) =>
                {
                    let delay = self.config.backoff.delay(attempts.retries, random::bits());
                    tracing::debug!(%cause, ?delay, "retrying");
                    attempts.retries += 1;
                    tokio::time::sleep(delay).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// Sends one wire request under a new id.
    async fn attempt(
        &self,
        spec: &mut RequestSpec,
        round: Option<&RoundInput>,
        options: &CallOptions,
    ) -> Result<RawJson, ClientError> {
        let id = self.next_id();
        // Request ids are unique, so they serve as progress tokens as well.
        let token = options.wants_progress().then_some(id);
        let meta = self.render_meta(&options.meta, token)?;
        let params = spec.params(meta.raw(), round);
        let headers = match spec.method {
            Method::ToolsCall if self.config.mirror_headers => {
                match self.tools.called_by(&params) {
                    Some(tool) => tool.mirror(&params)?,
                    None => None,
                }
            }
            _ => None,
        };
        let id = RequestId::Number(id);
        let mut call = Call::new(id.clone(), spec.method.clone(), params, meta);
        *call.headers_mut() = headers;
        let mut notifications = NotificationDispatcher::new(options, token);
        let result = exchange(
            self.service.answer(call),
            &id,
            self.timeouts(options),
            &mut notifications,
        )
        .await;
        spec.last_progress = notifications.last_progress();
        result
    }

    /// Returns whether a request without a response may be sent again: if it was not executed, or
    /// if executing it twice does no harm.
    fn may_retry(&self, spec: &RequestSpec, cause: &CallError, options: &CallOptions) -> bool {
        match cause {
            CallError::Unreachable(_) | CallError::Busy(_) => true,
            CallError::Broken(_) => match spec.method {
                Method::ToolsCall => {
                    options.retry_idempotent
                        && spec
                            .sent_params()
                            .and_then(|params| self.tools.called_by(params))
                            .is_some_and(|tool| tool.is_repeatable)
                }
                _ => spec.method.is_read_only(),
            },
            _ => false,
        }
    }
}
