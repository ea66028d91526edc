//! Resolves TARGET on the command line.

use super::{ResolvedTarget, ServerTarget, StdioCommand};
use crate::config::{self, ConfigPaths};
use crate::error::CliError;
use crate::output::Output;
use crate::shell;
use std::net::IpAddr;
use url::Url;

/// The forms of a TARGET.
const FORMS: &str =
    "TARGET is a URL, a name from an mcp.json, unix:PATH, stdio:'COMMAND', or a command after `--`";

/// Separates TARGET from the words after it.
///
/// With a command after `--` there is no TARGET, and the word in its place is the first of the
/// others; a bare `stdio:` is allowed there as well.
///
/// # Errors
/// A TARGET that is missing, invalid, or a name that no configuration file has.
pub(crate) fn resolve(
    target: Option<String>,
    rest: Vec<String>,
    command: Vec<String>,
    paths: &ConfigPaths,
    output: Output,
) -> Result<(ResolvedTarget, Vec<String>), CliError> {
    if let Some(command) = StdioCommand::from_words(command) {
        let first_word = target.filter(|target| target != "stdio:");
        let resolved = ResolvedTarget {
            target: ServerTarget::Stdio(command),
            typed: None,
        };
        return Ok((resolved, first_word.into_iter().chain(rest).collect()));
    }
    let Some(target) = target else {
        return Err(CliError::usage("no TARGET was given").hint(FORMS));
    };
    let resolved = ResolvedTarget {
        target: parse(&target, paths, output)?,
        typed: Some(target),
    };
    Ok((resolved, rest))
}

fn parse(text: &str, paths: &ConfigPaths, output: Output) -> Result<ServerTarget, CliError> {
    if let Some(line) = text.strip_prefix("stdio:") {
        let words = shell::split(line).map_err(|why| CliError::usage(format!("TARGET: {why}")))?;
        let command = StdioCommand::from_words(words).ok_or_else(|| {
            CliError::usage("TARGET `stdio:` names no command")
                .hint("write stdio:'COMMAND ARGS', or put the command at the end: carryall tools -- COMMAND ARGS")
        })?;
        return Ok(ServerTarget::Stdio(command));
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.is_empty() {
            Err(CliError::usage("TARGET `unix:` names no socket")
                .hint("write unix:/path/to/socket"))
        } else {
            Ok(ServerTarget::Unix(path.into()))
        };
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return url(text, scheme);
    }
    match address_to_url(text) {
        Some(url) => Ok(ServerTarget::Http {
            url,
            headers: Vec::new(),
        }),
        None => config::find(text, paths, output),
    }
}

fn url(text: &str, scheme: &str) -> Result<ServerTarget, CliError> {
    let invalid = |why: &str| CliError::usage(format!("TARGET {text:?} {why}"));
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        return Err(invalid("is neither http:// nor https://").hint(FORMS));
    }
    let parsed = Url::parse(text).map_err(|error| invalid(&format!("is not a URL: {error}")))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(
            CliError::usage("TARGET contains credentials, which would end up in logs")
                .hint("pass them with --header 'Authorization: ...'"),
        );
    }
    Ok(ServerTarget::Http {
        url: text.to_owned(),
        headers: Vec::new(),
    })
}

/// Completes `localhost:8080`, `127.0.0.1:8080/mcp`, `[::1]:8080` or `example.com:8080` to a URL:
/// HTTP on loopback, HTTPS elsewhere, and `/mcp` unless there is a path.
fn address_to_url(text: &str) -> Option<String> {
    let (authority, path) = match text.find('/') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port))
            if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            (host, Some(port.parse::<u16>().ok()?))
        }
        _ => (authority, None),
    };
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
        .ok();
    let localhost = host.eq_ignore_ascii_case("localhost");
    // Without a port, only IP addresses and `localhost` are hosts; other words are names.
    if port.is_none() && !localhost && address.is_none() {
        return None;
    }
    if host.is_empty() || host.contains(char::is_whitespace) {
        return None;
    }
    let scheme = if localhost || address.is_some_and(|address| address.is_loopback()) {
        "http"
    } else {
        "https"
    };
    let path = if matches!(path, "" | "/") {
        "/mcp"
    } else {
        path
    };
    let url = format!("{scheme}://{authority}{path}");
    Url::parse(&url).ok().map(|_| url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::ExitStatus;
    use crate::output::OutputOptions;

    fn parse(text: &str) -> Result<ServerTarget, CliError> {
        super::parse(text, &ConfigPaths::none(), output())
    }

    fn output() -> Output {
        Output::new(OutputOptions::default())
    }

    fn http(url: &str) -> ServerTarget {
        ServerTarget::Http {
            url: url.into(),
            headers: Vec::new(),
        }
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn urls_are_unchanged() {
        for url in [
            "http://127.0.0.1:8080/mcp",
            "https://example.com/",
            "HTTPS://example.com/x?y=z",
        ] {
            assert_eq!(parse(url).unwrap(), http(url));
        }
    }

    #[test]
    fn addresses_are_completed_to_urls() {
        let cases = [
            ("localhost:8080", "http://localhost:8080/mcp"),
            ("localhost", "http://localhost/mcp"),
            ("127.0.0.1:1/", "http://127.0.0.1:1/mcp"),
            ("[::1]:8080/other", "http://[::1]:8080/other"),
            ("example.com:8443", "https://example.com:8443/mcp"),
            ("10.0.0.7", "https://10.0.0.7/mcp"),
        ];
        for (text, url) in cases {
            assert_eq!(parse(text).unwrap(), http(url), "{text}");
        }
    }

    #[test]
    fn commands_and_sockets_are_recognised() {
        let ServerTarget::Stdio(command) = parse("stdio:npx -y 'my server'").unwrap() else {
            panic!()
        };
        assert_eq!(
            (command.program.as_str(), command.args),
            ("npx", strings(&["-y", "my server"]))
        );
        assert_eq!(
            parse("unix:/run/x.sock").unwrap(),
            ServerTarget::Unix("/run/x.sock".into())
        );
    }

    #[test]
    fn invalid_targets_are_usage_errors() {
        for text in [
            "ftp://x/",
            "http://",
            "stdio:",
            "stdio:'x",
            "unix:",
            "http://user:secret@host/",
            "no-such-name",
            "",
            "a:99999",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.status, ExitStatus::Usage, "{text}");
            assert!(!error.message.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_command_after_the_dashes_replaces_target() {
        let resolve = |target, rest, command| {
            let resolved = super::resolve(target, rest, command, &ConfigPaths::none(), output());
            resolved.map(|(resolved, words)| (resolved.target, words))
        };
        let (target, words) = resolve(
            Some("echo".into()),
            strings(&["text=x"]),
            strings(&["server", "--stdio"]),
        )
        .unwrap();
        assert_eq!(words, ["echo", "text=x"]);
        assert!(
            matches!(&target, ServerTarget::Stdio(command) if command.program == "server" && command.args == ["--stdio"])
        );
        let (_, words) = resolve(
            Some("stdio:".into()),
            strings(&["echo"]),
            strings(&["server"]),
        )
        .unwrap();
        assert_eq!(words, ["echo"]);
        let (target, words) =
            resolve(Some("localhost:1".into()), strings(&["echo"]), vec![]).unwrap();
        assert_eq!(
            (target, words),
            (http("http://localhost:1/mcp"), strings(&["echo"]))
        );
        assert!(resolve(None, vec![], vec![]).is_err());
    }
}
