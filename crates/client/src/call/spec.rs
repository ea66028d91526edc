//! The method and parameters of one request, shared by all wire requests that it takes.

use carryall_proto::{Params, ParamsWriter};
use carryall_types::{JsonObject, Method, RawJson};

/// The method and parameters of a request. Each attempt and each round sends the same members;
/// only `_meta` and the members of the round differ.
#[derive(Debug)]
pub(crate) struct RequestSpec {
    pub(crate) method: Method,
    /// The caller wants the text of the result, whatever its type.
    pub(crate) raw: bool,
    /// The last progress that the server reported.
    pub(crate) last_progress: f64,
    params: SpecParams,
}

#[derive(Debug)]
enum SpecParams {
    /// Not sent yet; takes further members.
    Unsent(ParamsWriter),
    /// As last sent: with `_meta`, without the members of a round.
    Sent(Params),
}

/// What a retry returns to the server (`basic/patterns/mrtr`). Kept as text, so that it is sent
/// exactly as it was received.
#[derive(Clone, Debug)]
pub(crate) struct RoundInput {
    pub(crate) responses: Option<RawJson>,
    pub(crate) state: Option<RawJson>,
}

impl RequestSpec {
    pub(crate) fn new(method: Method, params: ParamsWriter) -> Self {
        Self {
            method,
            raw: false,
            last_progress: 0.0,
            params: SpecParams::Unsent(params),
        }
    }

    /// Returns the parameters of the next wire request. They start from the original members, so
    /// that nothing of one round is sent in another.
    pub(crate) fn params(&mut self, meta: &RawJson, round: Option<&RoundInput>) -> Params {
        let mut params = match &mut self.params {
            SpecParams::Unsent(writer) => {
                let mut writer = std::mem::take(writer);
                writer.put_raw("_meta", meta);
                writer.finish()
            }
            SpecParams::Sent(params) => params.with("_meta", meta),
        };
        self.params = SpecParams::Sent(params.clone());
        if let Some(round) = round {
            if let Some(responses) = &round.responses {
                params = params.with("inputResponses", responses);
            }
            if let Some(state) = &round.state {
                params = params.with("requestState", state);
            }
        }
        params
    }

    /// Returns the parameters as last sent, without the members of a round.
    pub(crate) fn sent_params(&self) -> Option<&Params> {
        match &self.params {
            SpecParams::Unsent(_) => None,
            SpecParams::Sent(params) => Some(params),
        }
    }

    /// Returns the parameters as an object, for the cache key.
    pub(crate) fn to_object(&self) -> JsonObject {
        match &self.params {
            SpecParams::Unsent(writer) => writer.clone().finish().raw().decode(),
            SpecParams::Sent(params) => params.raw().decode(),
        }
        .unwrap_or_default()
    }
}
