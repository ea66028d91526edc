//! The table of error codes and HTTP statuses.

use carryall_types::code;
use http::StatusCode;

/// An upstream requires credentials. Not a code of the specification.
///
/// Over HTTP it is sent with status 401 and without `WWW-Authenticate`: the upstream's challenge
/// says where to get a token for the upstream, and a client that followed it would send that token
/// to the gateway, which does not forward it (`basic/authorization/index#token-handling`).
pub const UPSTREAM_UNAUTHORIZED: i64 = -31015;

/// An upstream denies access. Not a code of the specification. Over HTTP it is sent with status 403.
pub const UPSTREAM_FORBIDDEN: i64 = -31016;

/// Returns the HTTP status of an error about access, which is the same for clients of every
/// revision; `None` for other errors.
#[must_use]
pub fn access_status(error_code: i64) -> Option<StatusCode> {
    match error_code {
        UPSTREAM_UNAUTHORIZED => Some(StatusCode::UNAUTHORIZED),
        UPSTREAM_FORBIDDEN => Some(StatusCode::FORBIDDEN),
        _ => None,
    }
}

/// Returns the HTTP status of a JSON-RPC error that answers a well-formed request.
///
/// The specification fixes 404 for unknown methods and 400 for header, capability and version
/// errors. What it leaves open (unknown tool, bad arguments, internal failure) is 200, because the
/// request did reach its method. Errors of request validation carry their own status ([`Rejection`](crate::validate::Rejection)).
#[must_use]
pub fn http_status(error_code: i64) -> StatusCode {
    match error_code {
        code::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        code::PARSE_ERROR
        | code::INVALID_REQUEST
        | code::HEADER_MISMATCH
        | code::MISSING_REQUIRED_CLIENT_CAPABILITY
        | code::UNSUPPORTED_PROTOCOL_VERSION => StatusCode::BAD_REQUEST,
        other => access_status(other).unwrap_or(StatusCode::OK),
    }
}

/// Whether a server of this revision may send the code (`basic/index#error-codes`). Of the reserved
/// range only the codes that the specification defines are allowed.
#[must_use]
pub fn may_emit(error_code: i64) -> bool {
    match error_code {
        code::PARSE_ERROR | code::INVALID_REQUEST => true,
        code::METHOD_NOT_FOUND | code::INVALID_PARAMS | code::INTERNAL_ERROR => true,
        code::HEADER_MISMATCH
        | code::MISSING_REQUIRED_CLIENT_CAPABILITY
        | code::UNSUPPORTED_PROTOCOL_VERSION => true,
        -32768..=-32000 => false,
        _ => true,
    }
}

/// Whether only modern servers send the code, so that it decides the era
/// (`basic/transports/streamable-http#backward-compatibility`).
#[must_use]
pub fn is_modern(error_code: i64) -> bool {
    matches!(
        error_code,
        code::HEADER_MISMATCH
            | code::MISSING_REQUIRED_CLIENT_CAPABILITY
            | code::UNSUPPORTED_PROTOCOL_VERSION
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: base-jsonrpc-19, base-jsonrpc-20, base-jsonrpc-22, base-jsonrpc-23, base-jsonrpc-26
    #[test]
    fn only_defined_codes_may_leave_the_reserved_ranges() {
        let allowed: Vec<i64> = (-32768..=-32000).filter(|&c| may_emit(c)).collect();
        assert_eq!(
            allowed,
            [
                -32700, -32603, -32602, -32601, -32600, -32022, -32021, -32020
            ]
        );
        assert!(may_emit(1) && may_emit(-31999) && may_emit(-32769));
    }

    // spec: http-headers-05, meta-16, http-headers-36
    #[test]
    fn statuses_are_those_of_the_specification() {
        let status = |c| http_status(c).as_u16();
        assert_eq!(
            [-32700, -32600, -32601, -32602, -32603].map(status),
            [400, 400, 404, 200, 200]
        );
        assert_eq!(
            [-32020, -32021, -32022, 7].map(status),
            [400, 400, 400, 200]
        );
        assert_eq!(
            [UPSTREAM_UNAUTHORIZED, UPSTREAM_FORBIDDEN].map(status),
            [401, 403]
        );
        assert!(may_emit(UPSTREAM_UNAUTHORIZED) && may_emit(UPSTREAM_FORBIDDEN));
    }
}
