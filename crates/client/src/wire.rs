//! The parameters of one request, through all the wire requests that it takes.

use carryall_proto::{Params, ParamsWriter};
use carryall_types::{JsonObject, Method, RawJson};

/// What is asked for: the same in each round and each attempt. Only `_meta` and the round members
/// differ.
#[derive(Debug)]
pub(crate) struct RequestSpec {
    pub(crate) method: Method,
    /// The result is wanted as text, whatever its type.
    pub(crate) raw: bool,
    /// The last progress that the server told.
    pub(crate) reached: f64,
    params: SpecParams,
}

#[derive(Debug)]
enum SpecParams {
    /// Not sent yet: still open for more members.
    Open(ParamsWriter),
    /// As first sent, `_meta` included, without round members.
    Sent(Params),
}

/// What a round brings back to the server (`basic/patterns/mrtr`): text, so that it goes out
/// exactly as it came.
#[derive(Clone, Debug)]
pub(crate) struct RoundAnswer {
    pub(crate) responses: Option<RawJson>,
    pub(crate) state: Option<RawJson>,
}

impl RequestSpec {
    pub(crate) fn new(method: Method, params: ParamsWriter) -> Self {
        Self {
            method,
            raw: false,
            reached: 0.0,
            params: SpecParams::Open(params),
        }
    }

    /// The parameters for the next wire request. Each starts from what was asked at first, so that
    /// nothing of one round gets into another.
    pub(crate) fn params(&mut self, meta: &RawJson, round: Option<&RoundAnswer>) -> Params {
        let mut params = match &mut self.params {
            SpecParams::Open(writer) => {
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

    /// The parameters as last sent.
    pub(crate) fn sent(&self) -> Option<&Params> {
        match &self.params {
            SpecParams::Open(_) => None,
            SpecParams::Sent(params) => Some(params),
        }
    }

    /// The parameters as an object, for the cache key.
    pub(crate) fn object(&self) -> JsonObject {
        match &self.params {
            SpecParams::Open(writer) => writer.clone().finish().raw().decode(),
            SpecParams::Sent(params) => params.raw().decode(),
        }
        .unwrap_or_default()
    }
}
