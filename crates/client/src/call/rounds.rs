//! Multi round-trip requests (`basic/patterns/mrtr`).

use super::fetch::Fetched;
use super::outcome::{InterimResult, RawOutcome};
use super::spec::{RequestSpec, RoundInput};
use crate::core::ScopedCore;
use crate::error::ResponseError;
use crate::input::provide::provide_inputs;
use crate::options::CallOptions;
use crate::tasks::cancel_on_drop::CancelOnDrop;
use crate::tasks::handle::TaskHandle;
use crate::{ClientError, random};
use carryall_proto::backoff::Backoff;
use carryall_types::RawJson;
use std::time::Duration;

/// The delays between consecutive rounds that return only `requestState`. The first of them is sent
/// without delay.
const STATE_ONLY_BACKOFF: Backoff = Backoff::new(Duration::from_millis(25), Duration::from_secs(1));

impl ScopedCore {
    /// Repeats a request until its result is complete. Handlers provide the input that the server
    /// asks for; a task is waited for, and cancelled if this future is dropped. Returns the text of the
    /// result and whether it comes from the cache.
    pub(crate) async fn fetch_complete(
        &self,
        spec: &mut RequestSpec,
        mut round: Option<RoundInput>,
        options: &CallOptions,
    ) -> Result<(RawJson, bool), ClientError> {
        let limit = options.max_rounds.unwrap_or(self.config.max_rounds);
        let (mut rounds, mut state_only) = (0, 0);
        loop {
            let Fetched { outcome, cached } =
                self.fetch_checked(spec, round.as_ref(), options).await?;
            let interim = match outcome {
                RawOutcome::Complete(result) => return Ok((result, cached)),
                RawOutcome::InputRequired(interim) => interim,
                RawOutcome::Task(task) => {
                    let handle = TaskHandle::created(self, *task, options, spec.last_progress);
                    // Boxed to keep the future of the common case small.
                    let result = Box::pin(CancelOnDrop::new(handle).result()).await?;
                    self.check_output(spec, &result, options)?;
                    return Ok((result, false));
                }
            };
            if rounds == limit {
                return Err(ResponseError::TooManyRounds { limit }.into());
            }
            rounds += 1;
            if interim.requests.is_empty() {
                if state_only > 0 {
                    let delay = STATE_ONLY_BACKOFF.delay(state_only - 1, random::bits());
                    tokio::time::sleep(delay).await;
                }
                state_only += 1;
            } else {
                state_only = 0;
            }
            round = Some(self.next_round(interim).await?);
        }
    }

    /// Provides the input for the next round.
    async fn next_round(&self, interim: InterimResult) -> Result<RoundInput, ClientError> {
        let InterimResult { requests, state } = interim;
        let responses = if requests.is_empty() {
            None
        } else {
            Some(provide_inputs(&self.config, requests).await?)
        };
        Ok(RoundInput { responses, state })
    }
}
