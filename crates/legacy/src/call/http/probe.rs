//! The probe: `server/discover`, and what the answer says about the era of the server.

use carryall_proto::{Call, CallError, Message, Outcome, Params, Reply, Response, wire};
use carryall_types::{Method, RawJson, RequestId};
use futures_util::StreamExt as _;

pub(super) enum ProbeOutcome {
    Modern { why: String, response: Response },
    Legacy { why: String },
}

/// A `server/discover` on behalf of the caller of `call`.
pub(super) fn probe_call(call: &Call) -> Call {
    let id = RequestId::String("era".into());
    call.derive(id, Method::ServerDiscover, Params::empty())
}

/// Reads the answer to the probe
/// (`basic/transports/streamable-http#backward-compatibility`).
///
/// # Errors
/// When the answer says nothing about the era: the server cannot be reached, fails or demands
/// credentials.
pub(super) async fn probe_outcome(
    reply: Result<Reply, CallError>,
) -> Result<ProbeOutcome, CallError> {
    let legacy = |why: String| Ok(ProbeOutcome::Legacy { why });
    let response = match reply {
        Ok(Reply::Once(response)) => response,
        // Not `into_response`: a stream without a response is an answer here, and not a failure.
        Ok(Reply::Stream(mut messages)) => loop {
            match messages.next().await {
                Some(Ok(Message::Response(response))) => break response,
                Some(Ok(Message::Notification(_))) => {}
                Some(Err(CallError::Malformed(why))) => {
                    return legacy(format!("the answer is malformed: {why}"));
                }
                Some(Err(error)) => return Err(error),
                None => return legacy("there was no answer on the stream".into()),
            }
        },
        Err(CallError::NotMcp { status, body }) if matches!(status, 401 | 403 | 407 | 408 | 429 | 300..=399 | 500..) =>
        {
            return Err(CallError::NotMcp { status, body });
        }
        Err(CallError::NotMcp { status, .. }) => {
            return legacy(format!("server/discover was answered with HTTP {status}"));
        }
        Err(CallError::Malformed(why)) => {
            return legacy(format!("the answer to server/discover is malformed: {why}"));
        }
        Err(error) => return Err(error),
    };
    let why = match &response.outcome {
        Outcome::Result(result) if is_discover_result(result) => {
            "it answered server/discover".to_owned()
        }
        Outcome::Result(_) => {
            return legacy("server/discover was answered with something else".into());
        }
        Outcome::Error(error) if wire::is_modern(error.code) => format!(
            "it answered server/discover with {}, a code of this era",
            error.code
        ),
        Outcome::Error(error) => {
            return legacy(format!(
                "server/discover was answered with {} ({})",
                error.code, error.message
            ));
        }
    };
    Ok(ProbeOutcome::Modern { why, response })
}

/// Whether a result is a `DiscoverResult`, however incomplete.
fn is_discover_result(result: &RawJson) -> bool {
    let Ok(members) = Params::parse(result.clone()) else {
        return false;
    };
    members
        .get_str("supportedVersions")
        .is_some_and(|versions| versions.starts_with('['))
}
