//! Why a command ends without a result, and the exit code that says so.

use crate::text;
use carryall::client::{ClientError, InputError, ResponseError, VersionError};
use carryall::proto::CallError;
use carryall::types::code;
use std::fmt;
use std::process::ExitCode;

/// Exit codes. `carryall --help` and `docs/cli.md` list them; scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It worked.
    Ok = 0,
    /// The tool was called and failed (`isError`).
    ToolFailed = 1,
    /// The command line is wrong: unknown names, missing arguments, files that cannot be read.
    Usage = 2,
    /// The server cannot be reached, or the connection broke.
    Unreachable = 3,
    /// The server answered with an error, or with something that is not MCP.
    Refused = 4,
    /// No answer within the time allowed.
    Timeout = 5,
    /// The server asks for input that was not given.
    InputRequired = 6,
    /// Something on this machine failed: an address in use, output that cannot be written.
    Local = 7,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command has no result: what was wrong, and what to do about it.
#[derive(Debug)]
pub(crate) struct Fail {
    pub(crate) exit: Exit,
    pub(crate) what: String,
    pub(crate) hints: Vec<String>,
}

impl Fail {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            hints: Vec::new(),
        }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// What to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Output cannot be written. A reader that has seen enough (`| head`) is no failure.
    pub(crate) fn output(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::new(Exit::Ok, ""),
            _ => Self::new(Exit::Local, format!("cannot write the output: {error}")),
        }
    }

    /// What went wrong with a request to the server that `place` names and that is reached like
    /// this.
    pub(crate) fn of(place: &str, reach: TargetKind, error: &ClientError) -> Self {
        let mut fail = Self::new(
            exit_of(error),
            format!(
                "{place}: {}",
                without_os_codes(&text::line(&error.to_string()))
            ),
        );
        fail.hints.extend(hint_for(reach, error));
        fail
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

fn exit_of(error: &ClientError) -> Exit {
    match error {
        ClientError::Server(error) if error.code == code::MISSING_REQUIRED_CLIENT_CAPABILITY => {
            Exit::InputRequired
        }
        ClientError::Input(_) => Exit::InputRequired,
        ClientError::Call(CallError::Timeout(_)) => Exit::Timeout,
        ClientError::Call(CallError::Unreachable(_) | CallError::Broken(_)) => Exit::Unreachable,
        ClientError::Call(CallError::Refused(_)) | ClientError::Request(_) => Exit::Usage,
        ClientError::Tool(_) => Exit::ToolFailed,
        ClientError::Version(VersionError::NotModern(cause)) if cause.is_timeout() => Exit::Timeout,
        _ => Exit::Refused,
    }
}

/// How a server is reached, on which depends what can be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetKind {
    Http,
    /// A process that is started here.
    Child,
    Socket,
}

fn hint_for(reach: TargetKind, error: &ClientError) -> Option<String> {
    let hint = match error {
        ClientError::Call(CallError::Unreachable(cause)) => {
            let cause = cause.to_string();
            match reach {
                TargetKind::Child if cause.starts_with("cannot start") => {
                    "check that the command exists and runs by itself; what it needs of the environment is given with --env"
                }
                TargetKind::Child => {
                    "check that the command is an MCP server on its standard streams (some want an argument like `stdio` \
                     for that), and give it more time with --timeout if it is slow to start"
                }
                TargetKind::Socket => "check that a server listens on this socket",
                TargetKind::Http if cause.contains("ertificate") => {
                    "the server's certificate is not trusted by this machine"
                }
                TargetKind::Http => "check that the server runs and that host and port are right",
            }
        }
        ClientError::Call(CallError::Broken(_)) if reach == TargetKind::Child => {
            "whether the request was carried out is unknown; --verbose shows what the server wrote to standard error"
        }
        ClientError::Call(CallError::Broken(_)) => "whether the request was carried out is unknown",
        ClientError::Call(CallError::Timeout(_)) => {
            "give it more time with --timeout, for example --timeout 5m"
        }
        ClientError::Call(CallError::NotMcp { status: 401, .. }) => {
            "the server wants credentials: --header 'Authorization: Bearer TOKEN'"
        }
        // As this project's servers say it, and the SDKs of others.
        ClientError::Call(CallError::NotMcp {
            status: 403 | 421,
            body,
        }) if mentions(body, "host") => {
            "the server does not answer to this host name: use one that it knows, or have it accept this one \
             (`--allow-host` of carryall up and demo)"
        }
        ClientError::Call(CallError::NotMcp { status: 403, body }) if mentions(body, "origin") => {
            "the server does not accept the Origin of the request, which it has from --header or a proxy"
        }
        ClientError::Call(CallError::NotMcp { status: 403, .. }) => {
            "the server does not let this caller in: check the credentials (--header 'Authorization: Bearer TOKEN') and \
             what they allow"
        }
        ClientError::Call(CallError::NotMcp {
            status: 404 | 405, ..
        }) => "check the path: most servers answer at /mcp",
        ClientError::Call(CallError::NotMcp { .. }) => {
            "check that the URL is that of an MCP endpoint"
        }
        ClientError::Call(CallError::HandshakeRefused(_)) => {
            "the server does not take initialize of earlier revisions: --era auto finds out what it speaks"
        }
        ClientError::Call(CallError::TooLarge(_)) => {
            "ask for less: this command keeps whole answers in memory"
        }
        ClientError::Version(VersionError::NotModern(cause)) if cause.is_timeout() => {
            "if the server is only slow to start, give it more time with --timeout"
        }
        ClientError::Version(VersionError::NotModern(_)) => {
            "servers of 2025-11-25 and earlier are spoken to with --era auto or --era legacy"
        }
        ClientError::Version(VersionError::NoneInCommon { .. }) => {
            "this command speaks 2026-07-28, and 2025-11-25 and earlier with --era auto or --era legacy"
        }
        ClientError::Server(error) if error.code == code::METHOD_NOT_FOUND => {
            "`carryall discover` shows what the server offers; with --era modern, servers of earlier revisions answer so too"
        }
        ClientError::Input(InputError::Undeclared { capability, .. }) => {
            match capability.as_str() {
                "elicitation.url" => {
                    "pages are opened at a terminal alone, and without --answer, --decline and --no-ask"
                }
                "roots" => "roots are given with --root",
                "sampling" => "the words of a model are given with --say",
                _ => return None,
            }
        }
        ClientError::Response(ResponseError::OutputSchema { .. }) => {
            "the server breaks its own promise: tell its author"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

fn mentions(body: &str, word: &str) -> bool {
    body.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|part| part.eq_ignore_ascii_case(word))
}

/// Takes ` (os error 111)` out: it says again what the words before it say.
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
    fn each_fault_has_its_code() {
        let cases = [
            (
                ClientError::Call(CallError::unreachable("no")),
                Exit::Unreachable,
            ),
            (
                ClientError::Call(CallError::broken("no")),
                Exit::Unreachable,
            ),
            (
                ClientError::Call(CallError::Timeout(Duration::from_secs(1))),
                Exit::Timeout,
            ),
            (
                ClientError::Call(CallError::NotMcp {
                    status: 200,
                    body: "<html>".into(),
                }),
                Exit::Refused,
            ),
            (ClientError::Server(ErrorObject::internal()), Exit::Refused),
            (
                ClientError::Call(CallError::HandshakeRefused(ErrorObject::internal())),
                Exit::Refused,
            ),
            (
                ClientError::Call(CallError::Refused("a header cannot carry it".into())),
                Exit::Usage,
            ),
            (
                ClientError::Server(ErrorObject::new(-32021, "sampling")),
                Exit::InputRequired,
            ),
            (ClientError::Request("x".into()), Exit::Usage),
        ];
        for (error, exit) in cases {
            assert_eq!(
                Fail::of("here", TargetKind::Http, &error).exit,
                exit,
                "{error}"
            );
        }
    }

    #[test]
    fn hints_are_about_the_way_the_server_is_reached() {
        let unreachable = ClientError::Call(CallError::unreachable("no"));
        let hint = |reach| hint_for(reach, &unreachable).unwrap();
        assert!(
            hint(TargetKind::Http).contains("port") && hint(TargetKind::Socket).contains("socket")
        );
        assert!(
            hint(TargetKind::Child).contains("standard streams")
                && !hint(TargetKind::Child).contains("port")
        );
        let broken = ClientError::Call(CallError::broken("no"));
        assert!(
            !hint_for(TargetKind::Http, &broken)
                .unwrap()
                .contains("standard error")
        );
    }

    #[test]
    fn what_was_refused_is_what_the_hint_is_about() {
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
        assert!(hint(401, "").contains("wants credentials"));
        assert!(
            hint(403, "Host \"a.example\" is not a name of this server").contains("--allow-host")
        );
        assert!(hint(421, "Invalid Host header").contains("--allow-host"));
        assert!(hint(403, "Origin \"x\" is not allowed").contains("Origin"));
        assert!(hint(403, "ghosts only").contains("credentials"));
    }

    #[test]
    fn operating_system_codes_are_left_out() {
        assert_eq!(without_os_codes("a (os error 111): b (os error 2)"), "a: b");
        assert_eq!(without_os_codes("nothing (to do)"), "nothing (to do)");
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        let fail = Fail::output(std::io::ErrorKind::BrokenPipe.into());
        assert_eq!((fail.exit, fail.what.as_str()), (Exit::Ok, ""));
        assert_eq!(
            Fail::output(std::io::Error::other("full")).exit,
            Exit::Local
        );
    }
}
