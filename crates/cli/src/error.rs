//! The error of a command: what went wrong, hints on what to do, and the exit code.

use crate::exit::ExitStatus;
use crate::output::text;
use carryall::client::{ClientError, InputError, ResponseError, VersionError};
use carryall::proto::CallError;
use carryall::types::code;
use std::fmt;

/// Why a command failed, and what the user can do about it.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) status: ExitStatus,
    /// Empty if nothing is to be printed.
    pub(crate) message: String,
    pub(crate) hints: Vec<String>,
}

impl CliError {
    pub(crate) fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Usage, message)
    }

    pub(crate) fn local(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Local, message)
    }

    /// Adds a hint: what to do about the error.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Reports that standard output cannot be written. A reader that closes the pipe early
    /// (`| head`) is not a failure.
    pub(crate) fn output(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::new(ExitStatus::Ok, ""),
            _ => Self::local(format!("cannot write the output: {error}")),
        }
    }

    /// Reports a failed request to the server that messages call `label`.
    pub(crate) fn client(label: &str, kind: TargetKind, error: &ClientError) -> Self {
        let reason = text::one_line(&error.to_string());
        let mut converted = Self::new(
            status_of(error),
            format!("{label}: {}", without_os_codes(&reason)),
        );
        converted.hints.extend(hint_for(kind, error));
        converted
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn status_of(error: &ClientError) -> ExitStatus {
    match error {
        ClientError::Server(error) if error.code == code::MISSING_REQUIRED_CLIENT_CAPABILITY => {
            ExitStatus::InputRequired
        }
        ClientError::Input(_) => ExitStatus::InputRequired,
        ClientError::Call(CallError::Timeout(_)) => ExitStatus::Timeout,
        ClientError::Call(CallError::Unreachable(_) | CallError::Broken(_)) => {
            ExitStatus::Unreachable
        }
        ClientError::Call(CallError::Refused(_)) | ClientError::Request(_) => ExitStatus::Usage,
        ClientError::Tool(_) => ExitStatus::ToolFailed,
        ClientError::Version(VersionError::NotModern(cause)) if cause.is_timeout() => {
            ExitStatus::Timeout
        }
        _ => ExitStatus::Refused,
    }
}

/// How a server is reached. Hints depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetKind {
    Http,
    /// A child process, on its standard streams.
    Stdio,
    /// A Unix socket.
    Unix,
}

fn hint_for(kind: TargetKind, error: &ClientError) -> Option<String> {
    let hint = match error {
        ClientError::Call(CallError::Unreachable(cause)) => {
            let cause = cause.to_string();
            match kind {
                TargetKind::Stdio if cause.starts_with("cannot start") => {
                    "check that the command exists and runs by itself; pass the variables that it needs with --env"
                }
                TargetKind::Stdio => {
                    "check that the command is an MCP server on its standard streams (some need an argument such as \
                     `stdio`); if it is slow to start, raise --timeout"
                }
                TargetKind::Unix => "check that a server listens on this socket",
                TargetKind::Http if cause.contains("ertificate") => {
                    "this machine does not trust the server's certificate"
                }
                TargetKind::Http => {
                    "check that the server is running and that host and port are right"
                }
            }
        }
        ClientError::Call(CallError::Broken(_)) if kind == TargetKind::Stdio => {
            "the request may or may not have been carried out; --verbose shows the server's standard error"
        }
        ClientError::Call(CallError::Broken(_)) => {
            "the request may or may not have been carried out"
        }
        ClientError::Call(CallError::Timeout(_)) => {
            "raise the limit with --timeout, for example --timeout 5m"
        }
        ClientError::Call(CallError::NotMcp { status: 401, .. }) => {
            "the server requires credentials: --header 'Authorization: Bearer TOKEN'"
        }
        // The wording of this project's servers, and of other SDKs.
        ClientError::Call(CallError::NotMcp {
            status: 403 | 421,
            body,
        }) if mentions(body, "host") => {
            "the server does not answer to this host name: use a name that it accepts, or add this one there \
             (`--allow-host` of carryall up and carryall demo)"
        }
        ClientError::Call(CallError::NotMcp { status: 403, body }) if mentions(body, "origin") => {
            "the server does not accept the Origin of the request, which comes from --header or a proxy"
        }
        ClientError::Call(CallError::NotMcp { status: 403, .. }) => {
            "the server denies access: check the credentials (--header 'Authorization: Bearer TOKEN') and their \
             permissions"
        }
        ClientError::Call(CallError::NotMcp {
            status: 404 | 405, ..
        }) => "check the path: most servers use /mcp",
        ClientError::Call(CallError::NotMcp { .. }) => "check that the URL is an MCP endpoint",
        ClientError::Call(CallError::HandshakeRefused(_)) => {
            "the server rejects `initialize` of earlier revisions: --era auto detects what it speaks"
        }
        ClientError::Call(CallError::TooLarge(_)) => {
            "request less: this command keeps whole answers in memory"
        }
        ClientError::Version(VersionError::NotModern(cause)) if cause.is_timeout() => {
            "if the server is only slow to start, raise --timeout"
        }
        ClientError::Version(VersionError::NotModern(_)) => {
            "for servers of 2025-11-25 and earlier, use --era auto or --era legacy"
        }
        ClientError::Version(VersionError::NoneInCommon { .. }) => {
            "this command speaks 2026-07-28, and with --era auto or --era legacy also 2025-11-25 and earlier"
        }
        ClientError::Server(error) if error.code == code::METHOD_NOT_FOUND => {
            "`carryall discover` shows what the server offers; with --era modern, servers of earlier revisions \
             also answer like this"
        }
        ClientError::Input(InputError::Undeclared { capability, .. }) => {
            match capability.as_str() {
                "elicitation.url" => {
                    "pages are opened only at a terminal, and only without --answer, --decline and --no-ask"
                }
                "roots" => "give the roots with --root",
                "sampling" => "give the model's reply with --sample",
                _ => return None,
            }
        }
        ClientError::Response(ResponseError::OutputSchema { .. }) => {
            "the result violates the output schema that the server declares: report it to the server's author"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Whether `word` occurs in the body as a whole word.
fn mentions(body: &str, word: &str) -> bool {
    body.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|part| part.eq_ignore_ascii_case(word))
}

/// Removes ` (os error 111)`, which repeats the description before it.
fn without_os_codes(text: &str) -> String {
    let mut rest = text;
    let mut out = String::with_capacity(text.len());
    while let Some(at) = rest.find(" (os error ") {
        let end = rest[at..]
            .find(')')
            .map_or(rest.len(), |close| at + close + 1);
        out.push_str(&rest[..at]);
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use carryall::types::ErrorObject;
    use std::time::Duration;

    #[test]
    fn errors_map_to_exit_codes() {
        let cases = [
            (
                ClientError::Call(CallError::unreachable("no")),
                ExitStatus::Unreachable,
            ),
            (
                ClientError::Call(CallError::broken("no")),
                ExitStatus::Unreachable,
            ),
            (
                ClientError::Call(CallError::Timeout(Duration::from_secs(1))),
                ExitStatus::Timeout,
            ),
            (
                ClientError::Call(CallError::NotMcp {
                    status: 200,
                    body: "<html>".into(),
                }),
                ExitStatus::Refused,
            ),
            (
                ClientError::Server(ErrorObject::internal()),
                ExitStatus::Refused,
            ),
            (
                ClientError::Call(CallError::HandshakeRefused(ErrorObject::internal())),
                ExitStatus::Refused,
            ),
            (
                ClientError::Call(CallError::Refused("a header cannot carry it".into())),
                ExitStatus::Usage,
            ),
            (
                ClientError::Server(ErrorObject::new(-32021, "sampling")),
                ExitStatus::InputRequired,
            ),
            (ClientError::Request("x".into()), ExitStatus::Usage),
        ];
        for (error, status) in cases {
            assert_eq!(
                CliError::client("here", TargetKind::Http, &error).status,
                status,
                "{error}"
            );
        }
    }

    #[test]
    fn hints_depend_on_how_the_server_is_reached() {
        let unreachable = ClientError::Call(CallError::unreachable("no"));
        let hint = |kind| hint_for(kind, &unreachable).unwrap();
        assert!(
            hint(TargetKind::Http).contains("port") && hint(TargetKind::Unix).contains("socket")
        );
        assert!(
            hint(TargetKind::Stdio).contains("standard streams")
                && !hint(TargetKind::Stdio).contains("port")
        );
        let broken = ClientError::Call(CallError::broken("no"));
        assert!(
            !hint_for(TargetKind::Http, &broken)
                .unwrap()
                .contains("standard error")
        );
    }

    #[test]
    fn hints_follow_the_status_and_body_of_a_refusal() {
        let hint = |status, body: &str| {
            hint_for(
                TargetKind::Http,
                &ClientError::Call(CallError::NotMcp {
                    status,
                    body: body.into(),
                }),
            )
            .unwrap()
        };
        assert!(hint(401, "").contains("requires credentials"));
        assert!(
            hint(403, "Host \"a.example\" is not a name of this server").contains("--allow-host")
        );
        assert!(hint(421, "Invalid Host header").contains("--allow-host"));
        assert!(hint(403, "Origin \"x\" is not allowed").contains("Origin"));
        assert!(hint(403, "ghosts only").contains("credentials"));
    }

    #[test]
    fn os_error_codes_are_removed() {
        assert_eq!(without_os_codes("a (os error 111): b (os error 2)"), "a: b");
        assert_eq!(without_os_codes("nothing (to do)"), "nothing (to do)");
    }

    #[test]
    fn a_closed_pipe_is_not_a_failure() {
        let error = CliError::output(std::io::ErrorKind::BrokenPipe.into());
        assert_eq!((error.status, error.message.as_str()), (ExitStatus::Ok, ""));
        assert_eq!(
            CliError::output(std::io::Error::other("full")).status,
            ExitStatus::Local
        );
    }
}
