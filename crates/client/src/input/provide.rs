//! Provides the inputs of one round.

use crate::ClientError;
use crate::config::ClientConfig;
use crate::error::InputError;
use carryall_proto::json;
use carryall_types::{
    ClientCapabilities, ElicitRequestParams, InputRequest, InputRequests, RawJson,
};

/// Runs the handlers for `requests`, one after the other, so that the user sees one question at a
/// time. Returns an object with the inputs under the keys of their requests.
///
/// # Errors
/// [`ClientError::Input`], before any handler runs if a capability is not declared.
pub(crate) async fn provide_inputs(
    config: &ClientConfig,
    requests: InputRequests,
) -> Result<RawJson, ClientError> {
    check_declared(&config.capabilities, &requests)?;
    let mut responses = vec![b'{'];
    for (key, request) in requests {
        let response = config.handlers.provide(&key, request).await?;
        if responses.len() > 1 {
            responses.push(b',');
        }
        json::write_str(&mut responses, &key);
        responses.push(b':');
        responses.extend_from_slice(response.as_bytes());
    }
    responses.push(b'}');
    Ok(RawJson::from_trusted(responses.into()))
}

/// Refuses requests for input that need an undeclared capability.
pub(crate) fn check_declared(
    declared: &ClientCapabilities,
    requests: &InputRequests,
) -> Result<(), ClientError> {
    let undeclared = requests
        .iter()
        .find_map(|(_, request)| undeclared_capability(declared, request));
    match undeclared {
        Some(capability) => Err(InputError::Undeclared {
            capability: capability.into(),
        }
        .into()),
        None => Ok(()),
    }
}

fn undeclared_capability(
    declared: &ClientCapabilities,
    request: &InputRequest,
) -> Option<&'static str> {
    let (is_declared, capability) = match request {
        InputRequest::Elicit(ElicitRequestParams::Form(_)) => {
            (declared.supports_elicitation_form(), "elicitation.form")
        }
        InputRequest::Elicit(ElicitRequestParams::Url(_)) => {
            (declared.supports_elicitation_url(), "elicitation.url")
        }
        // `tools` and `toolChoice` need a capability of their own (`client/sampling#capabilities`).
        InputRequest::CreateMessage(params) if params.uses_tools() => {
            (declared.supports_sampling_tools(), "sampling.tools")
        }
        InputRequest::CreateMessage(_) => (declared.supports_sampling(), "sampling"),
        InputRequest::ListRoots(_) => (declared.supports_roots(), "roots"),
    };
    (!is_declared).then_some(capability)
}
