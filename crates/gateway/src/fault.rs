//! What a downstream client is told when an upstream gave no answer.
//!
//! Messages name the upstream as the gateway's configuration does and say what to do. Addresses and
//! causes are for the log: they would tell strangers what stands behind the gateway.

use carryall_proto::CallError;
use carryall_types::ErrorObject;
use std::time::Duration;

/// The error codes of a gateway. They lie outside the ranges that JSON-RPC and MCP keep to
/// themselves (`basic/index#error-codes`).
pub mod code {
    use carryall_proto::wire;

    /// No replica of the upstream can be reached. The request was not executed.
    pub const UPSTREAM_UNREACHABLE: i64 = -31010;
    /// The upstream did not answer in time. Whether it goes on with the request is unknown.
    pub const UPSTREAM_TIMEOUT: i64 = -31011;
    /// The connection broke after the request had left. Whether it was executed is unknown.
    pub const UPSTREAM_BROKEN: i64 = -31012;
    /// The upstream answered with something that is not MCP.
    pub const UPSTREAM_INVALID: i64 = -31013;
    /// The gateway is at its limit, or the caller at its share of it. The request was not executed.
    pub const BUSY: i64 = -31014;
    /// The upstream wants credentials that the gateway was not given (HTTP 401). The request was
    /// not executed. Over HTTP the client gets status 401.
    pub const UPSTREAM_UNAUTHORIZED: i64 = wire::UPSTREAM_UNAUTHORIZED;
    /// The upstream refuses access (HTTP 403). The request was not executed. Over HTTP the client
    /// gets status 403.
    pub const UPSTREAM_FORBIDDEN: i64 = wire::UPSTREAM_FORBIDDEN;
}

/// Why a call has no answer from upstream.
#[derive(Clone, Debug)]
pub(crate) enum GatewayError {
    /// Nothing that could have executed the request was reached.
    Unreachable { upstream: Box<str>, replicas: usize },
    /// What came instead of an answer.
    Failed {
        upstream: Box<str>,
        error: CallError,
    },
    /// The gateway's own time limit.
    Timeout(Duration),
    /// The gateway's own limit of calls.
    Busy,
    /// The gateway's limit of calls for one caller.
    CallerBusy(u32),
}

impl GatewayError {
    pub(crate) fn to_error(&self) -> ErrorObject {
        match self {
            Self::Unreachable { upstream, replicas } => {
                let who = match replicas {
                    0 | 1 => format!("The server {upstream:?} cannot be reached"),
                    count => format!("None of the {count} replicas of {upstream:?} can be reached"),
                };
                let advice = "the request was not executed, so try again; if that does not help, see whether the server runs";
                ErrorObject::new(
                    code::UPSTREAM_UNREACHABLE,
                    format!("{who}: {advice} (the gateway's log says why)"),
                )
            }
            Self::Failed { upstream, error } => failed(upstream, error),
            Self::Timeout(limit) => ErrorObject::new(
                code::UPSTREAM_TIMEOUT,
                format!(
                    "No answer within {limit:?}, the gateway's limit: whether the request was executed is unknown"
                ),
            ),
            Self::Busy => ErrorObject::new(
                code::BUSY,
                "The gateway has as many requests in work as it accepts: the request was not executed, try again later",
            ),
            Self::CallerBusy(limit) => ErrorObject::new(
                code::BUSY,
                format!(
                    "This caller has {limit} requests and subscriptions open at the gateway, as many as one caller may: the \
                     request was not executed, try again when some of them have ended"
                ),
            ),
        }
    }
}

fn failed(upstream: &str, error: &CallError) -> ErrorObject {
    match error {
        CallError::Unreachable(_) => GatewayError::Unreachable {
            upstream: upstream.into(),
            replicas: 1,
        }
        .to_error(),
        CallError::Broken(_) => ErrorObject::new(
            code::UPSTREAM_BROKEN,
            format!(
                "The connection to {upstream:?} broke before the answer: whether the request was executed is unknown, \
                 so check before you repeat it"
            ),
        ),
        CallError::Timeout(limit) => ErrorObject::new(
            code::UPSTREAM_TIMEOUT,
            format!(
                "{upstream:?} did not answer within {limit:?}: whether the request was executed is unknown"
            ),
        ),
        CallError::NotMcp { status: 401, .. } => ErrorObject::new(
            code::UPSTREAM_UNAUTHORIZED,
            format!(
                "{upstream:?} wants credentials (HTTP 401) and the request was not executed. Credentials of clients are not \
                 passed on: whoever runs the gateway configures those for {upstream:?}"
            ),
        ),
        CallError::NotMcp { status: 403, .. } => ErrorObject::new(
            code::UPSTREAM_FORBIDDEN,
            format!(
                "{upstream:?} refuses access (HTTP 403) and the request was not executed. Whoever runs the gateway finds the \
                 reason in its log"
            ),
        ),
        CallError::NotMcp { status, .. } => ErrorObject::new(
            code::UPSTREAM_INVALID,
            format!(
                "{upstream:?} answered with HTTP {status} instead of MCP: see whether its URL and its version are right (the \
                 gateway's log has the answer)"
            ),
        ),
        CallError::Malformed(_) => ErrorObject::new(
            code::UPSTREAM_INVALID,
            format!(
                "{upstream:?} broke the protocol, or speaks a revision that the gateway does not (its log says how)"
            ),
        ),
        CallError::TooLarge(limit) => ErrorObject::new(
            code::UPSTREAM_INVALID,
            format!("The answer of {upstream:?} is larger than {limit} bytes, the gateway's limit"),
        ),
        CallError::Refused(why) => ErrorObject::invalid_params(format!(
            "The request cannot be passed on to {upstream:?}: {why}"
        )),
        CallError::HandshakeRefused(_) => ErrorObject::new(
            code::UPSTREAM_INVALID,
            format!(
                "{upstream:?} refuses the handshake of its revision, and the request was not executed (the gateway's log has \
                 the answer)"
            ),
        ),
        CallError::Busy(_) => ErrorObject::new(
            code::BUSY,
            format!(
                "{upstream:?} has as many requests or sessions as the gateway allows (the gateway's log says which): the \
                 request was not executed, try again later"
            ),
        ),
        CallError::Layer(_) => ErrorObject::internal(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_proto::wire;

    fn all() -> Vec<GatewayError> {
        let errors = [
            CallError::unreachable("10.1.2.3:80: connection refused"),
            CallError::broken("10.1.2.3:80: reset"),
            CallError::Timeout(Duration::from_secs(1)),
            CallError::NotMcp {
                status: 502,
                body: "<h1>10.1.2.3</h1>".into(),
            },
            CallError::NotMcp {
                status: 401,
                body: "10.1.2.3".into(),
            },
            CallError::NotMcp {
                status: 403,
                body: "10.1.2.3".into(),
            },
            CallError::Malformed("10.1.2.3 says x".into()),
            CallError::TooLarge(10),
            CallError::Refused("the name has a newline".into()),
            CallError::Busy("4096 calls wait at 10.1.2.3".into()),
            CallError::HandshakeRefused(ErrorObject::new(-32603, "10.1.2.3")),
            CallError::from(carryall_proto::BoxError::from("10.1.2.3")),
        ];
        let failed = errors.into_iter().map(|error| GatewayError::Failed {
            upstream: "demo".into(),
            error,
        });
        let own = [
            GatewayError::Unreachable {
                upstream: "demo".into(),
                replicas: 2,
            },
            GatewayError::Timeout(Duration::from_secs(1)),
            GatewayError::Busy,
            GatewayError::CallerBusy(3),
        ];
        failed.chain(own).collect()
    }

    // spec: base-jsonrpc-19, base-jsonrpc-20, base-jsonrpc-26
    #[test]
    fn the_codes_of_a_gateway_lie_outside_the_reserved_ranges() {
        for fault in all() {
            assert!(wire::may_emit(fault.to_error().code), "{fault:?}");
        }
    }

    // spec: gateway-derived-10
    #[test]
    fn no_message_says_where_an_upstream_is() {
        for fault in all() {
            let message = fault.to_error().message;
            assert!(!message.contains("10.1.2.3"), "{message}");
        }
    }

    #[test]
    fn a_call_that_may_have_been_executed_is_never_called_safe_to_repeat() {
        for fault in all() {
            let error = fault.to_error();
            let unknown = matches!(error.code, code::UPSTREAM_BROKEN | code::UPSTREAM_TIMEOUT);
            assert_eq!(
                error.message.contains("unknown"),
                unknown,
                "{}",
                error.message
            );
            let safe = matches!(error.code, code::UPSTREAM_UNREACHABLE | code::BUSY);
            assert_eq!(
                error.message.contains("try again"),
                safe,
                "{}",
                error.message
            );
        }
    }
}
