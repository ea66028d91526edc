//! Errors of the gateway, as clients receive them.
//!
//! Messages name the upstream as the gateway's configuration does and say what to do. Addresses and
//! causes are only logged, so that clients learn nothing about the network behind the gateway.

use carryall_proto::CallError;
use carryall_types::ErrorObject;
use std::time::Duration;

/// The JSON-RPC error codes of a gateway, outside the ranges that JSON-RPC and MCP reserve
/// (`basic/index#error-codes`).
///
/// ```
/// use carryall_gateway::code;
///
/// fn is_safe_to_retry(error_code: i64) -> bool {
///     matches!(error_code, code::UPSTREAM_UNREACHABLE | code::BUSY)
/// }
/// ```
pub mod code {
    use carryall_proto::wire;

    /// No replica of the upstream can be reached. The request was not executed.
    pub const UPSTREAM_UNREACHABLE: i64 = -31010;
    /// The upstream did not answer in time. Whether the request was executed is unknown.
    pub const UPSTREAM_TIMEOUT: i64 = -31011;
    /// The connection broke after the request was sent. Whether it was executed is unknown.
    pub const UPSTREAM_BROKEN: i64 = -31012;
    /// The upstream's answer is not valid MCP.
    pub const UPSTREAM_INVALID: i64 = -31013;
    /// The gateway, the caller or the upstream has too many requests in flight. The request was not
    /// executed.
    pub const BUSY: i64 = -31014;
    /// The upstream requires credentials that the gateway does not have (HTTP 401). The request was
    /// not executed. Over HTTP the client receives status 401.
    pub const UPSTREAM_UNAUTHORIZED: i64 = wire::UPSTREAM_UNAUTHORIZED;
    /// The upstream denies access (HTTP 403). The request was not executed. Over HTTP the client
    /// receives status 403.
    pub const UPSTREAM_FORBIDDEN: i64 = wire::UPSTREAM_FORBIDDEN;
}

/// Why a call has no response from an upstream.
#[derive(Clone, Debug)]
pub(crate) enum GatewayError {
    /// No replica could be reached, so the request was not executed.
    Unreachable { upstream: Box<str>, replicas: usize },
    /// The call to a replica failed.
    Failed {
        upstream: Box<str>,
        error: CallError,
    },
    /// The gateway's timeout expired.
    Timeout(Duration),
    /// The gateway has as many calls in flight as it allows.
    Busy,
    /// The caller has as many calls in flight as one caller may have.
    CallerBusy(u32),
}

impl GatewayError {
    /// Returns the error to send to the client.
    pub(crate) fn to_error(&self) -> ErrorObject {
        match self {
            Self::Unreachable { upstream, replicas } => {
                let who = match replicas {
                    0 | 1 => format!("The server {upstream:?} cannot be reached"),
                    count => format!("None of the {count} replicas of {upstream:?} can be reached"),
                };
                let advice = "the request was not executed, so try again; if that does not help, check that the server runs";
                ErrorObject::new(
                    code::UPSTREAM_UNREACHABLE,
                    format!("{who}: {advice} (the gateway's log says why)"),
                )
            }
            Self::Failed { upstream, error } => failed(upstream, error),
            Self::Timeout(limit) => ErrorObject::new(
                code::UPSTREAM_TIMEOUT,
                format!(
                    "No response within {limit:?}, the gateway's timeout: whether the request was executed is unknown"
                ),
            ),
            Self::Busy => ErrorObject::new(
                code::BUSY,
                "The gateway has too many requests in flight: the request was not executed, try again later",
            ),
            Self::CallerBusy(limit) => ErrorObject::new(
                code::BUSY,
                format!(
                    "This caller has {limit} requests and subscriptions in flight, as many as the gateway allows: the \
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
                "The connection to {upstream:?} broke before the response: whether the request was executed is \
                 unknown, so check before repeating it"
            ),
        ),
        CallError::Timeout(limit) => ErrorObject::new(
            code::UPSTREAM_TIMEOUT,
            format!(
                "{upstream:?} did not respond within {limit:?}: whether the request was executed is unknown"
            ),
        ),
        CallError::NotMcp { status: 401, .. } => ErrorObject::new(
            code::UPSTREAM_UNAUTHORIZED,
            format!(
                "{upstream:?} requires credentials (HTTP 401), and the request was not executed. Credentials of \
                 clients are not passed on: the operator of the gateway configures those for {upstream:?}"
            ),
        ),
        CallError::NotMcp { status: 403, .. } => ErrorObject::new(
            code::UPSTREAM_FORBIDDEN,
            format!(
                "{upstream:?} denies access (HTTP 403), and the request was not executed. The gateway's log has the \
                 reason"
            ),
        ),
        CallError::NotMcp { status, .. } => ErrorObject::new(
            code::UPSTREAM_INVALID,
            format!(
                "{upstream:?} answered with HTTP {status} instead of MCP: check its URL and version (the gateway's \
                 log has the response)"
            ),
        ),
        CallError::Malformed(_) => ErrorObject::new(
            code::UPSTREAM_INVALID,
            format!(
                "{upstream:?} violated the protocol, or speaks a revision that the gateway does not (the gateway's log \
                 has the details)"
            ),
        ),
        CallError::TooLarge(limit) => ErrorObject::new(
            code::UPSTREAM_INVALID,
            format!(
                "The response of {upstream:?} is larger than {limit} bytes, the gateway's limit"
            ),
        ),
        CallError::Refused(why) => ErrorObject::invalid_params(format!(
            "The request cannot be passed on to {upstream:?}: {why}"
        )),
        CallError::HandshakeRefused(_) => ErrorObject::new(
            code::UPSTREAM_INVALID,
            format!(
                "{upstream:?} refused the handshake, and the request was not executed (the gateway's log has the \
                 response)"
            ),
        ),
        CallError::Busy(_) => ErrorObject::new(
            code::BUSY,
            format!(
                "{upstream:?} has as many requests or sessions in flight as the gateway allows (the gateway's log says \
                 which): the request was not executed, try again later"
            ),
        ),
        CallError::Layer(_) => ErrorObject::internal(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall_proto::wire;

    fn all_errors() -> Vec<GatewayError> {
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
    fn codes_are_outside_the_reserved_ranges() {
        for error in all_errors() {
            assert!(wire::may_emit(error.to_error().code), "{error:?}");
        }
    }

    // spec: gateway-derived-10
    #[test]
    fn messages_do_not_reveal_addresses() {
        for error in all_errors() {
            let message = error.to_error().message;
            assert!(!message.contains("10.1.2.3"), "{message}");
        }
    }

    #[test]
    fn only_calls_that_were_not_executed_are_called_safe_to_retry() {
        for error in all_errors() {
            let error = error.to_error();
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
