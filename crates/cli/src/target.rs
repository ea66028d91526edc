//! TARGET: which server a command talks to.

use crate::fail::{Fail, TargetKind};
use crate::mcp_json::{self, ConfigPaths};
use crate::screen::Output;
use crate::words;
use std::net::IpAddr;
use std::path::PathBuf;
use url::Url;

/// A server and the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Streamable HTTP.
    Http {
        url: String,
        /// Headers that the configuration gives; those of the command line come on top.
        headers: Vec<(String, String)>,
    },
    /// A process, spoken to on its standard streams.
    Stdio(Process),
    /// The stdio framing on a Unix socket.
    Unix(PathBuf),
}

/// A target, and the word that chose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvedTarget {
    pub(crate) target: Target,
    /// TARGET as it was typed; nothing where a command after `--` stands for it.
    pub(crate) typed: Option<String>,
}

/// How to start a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: Option<PathBuf>,
}

impl Process {
    fn from_words(mut words: Vec<String>) -> Option<Self> {
        if words.is_empty() {
            return None;
        }
        let program = words.remove(0);
        Some(Self {
            program,
            args: words,
            ..Self::default()
        })
    }
}

impl Target {
    /// A command after `--`.
    pub(crate) fn command(words: Vec<String>) -> Result<Self, Fail> {
        let process = Process::from_words(words);
        process
            .map(Self::Stdio)
            .ok_or_else(|| Fail::usage("there is no command after `--`"))
    }

    /// Whatever TARGET may be.
    pub(crate) fn parse(text: &str, paths: &ConfigPaths, screen: Output) -> Result<Self, Fail> {
        if let Some(line) = text.strip_prefix("stdio:") {
            let words = words::split(line).map_err(|why| Fail::usage(format!("TARGET: {why}")))?;
            return Process::from_words(words).map(Self::Stdio).ok_or_else(|| {
                Fail::usage("TARGET `stdio:` names no command")
                    .hint("write stdio:'COMMAND ARGS', or put the command at the end: carryall tools -- COMMAND ARGS")
            });
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(Fail::usage("TARGET `unix:` names no socket")
                    .hint("write unix:/path/to/socket"))
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return url(text, scheme);
        }
        match bare_address(text) {
            Some(url) => Ok(Self::Http {
                url,
                headers: Vec::new(),
            }),
            None => mcp_json::find(text, paths, screen),
        }
    }

    pub(crate) fn reach(&self) -> TargetKind {
        match self {
            Self::Http { .. } => TargetKind::Http,
            Self::Stdio(_) => TargetKind::Child,
            Self::Unix(_) => TargetKind::Socket,
        }
    }

    /// The server in a few words, for messages.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Http { url, .. } => url.clone(),
            // Arguments often hold secrets.
            Self::Stdio(process) => format!("`{}`", process.program),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

fn url(text: &str, scheme: &str) -> Result<Target, Fail> {
    let invalid = |why: &str| Fail::usage(format!("TARGET {text:?} {why}"));
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        return Err(invalid("is neither http:// nor https://")
            .hint("a TARGET is a URL, a name from an mcp.json, unix:PATH, stdio:'COMMAND', or a command after `--`"));
    }
    let parsed = Url::parse(text).map_err(|error| invalid(&format!("is not a URL: {error}")))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(
            Fail::usage("TARGET has credentials in its URL, where they end up in logs")
                .hint("give them with --header 'Authorization: ...'"),
        );
    }
    Ok(Target::Http {
        url: text.to_owned(),
        headers: Vec::new(),
    })
}

/// `localhost:8080`, `127.0.0.1:8080/mcp`, `[::1]:8080`, `example.com:8080`: plain HTTP on this
/// machine, HTTPS elsewhere, at `/mcp` unless there is a path.
fn bare_address(text: &str) -> Option<String> {
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
    // Without a port a word is rather a name than a host, unless it cannot be anything else.
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

/// TARGET and the words after it. With a command after `--` there is no TARGET, and what stands in
/// its place is the first of the words; a lone `stdio:` may stand there too.
pub(crate) fn split(
    target: Option<String>,
    rest: Vec<String>,
    command: Vec<String>,
    paths: &ConfigPaths,
    screen: Output,
) -> Result<(ResolvedTarget, Vec<String>), Fail> {
    if command.is_empty() {
        let Some(target) = target else {
            return Err(Fail::usage("no TARGET was given").hint(
                "a TARGET is a URL, a name from an mcp.json, unix:PATH, stdio:'COMMAND', or a command after `--`",
            ));
        };
        let chosen = ResolvedTarget {
            target: Target::parse(&target, paths, screen)?,
            typed: Some(target),
        };
        return Ok((chosen, rest));
    }
    let target_word = target.filter(|target| target != "stdio:");
    let words = target_word.into_iter().chain(rest).collect();
    Ok((
        ResolvedTarget {
            target: Target::command(command)?,
            typed: None,
        },
        words,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fail::Exit;
    use crate::screen::OutputOptions;

    fn parse(text: &str) -> Result<Target, Fail> {
        Target::parse(text, &ConfigPaths::none(), screen())
    }

    fn screen() -> Output {
        Output::new(OutputOptions::default())
    }

    fn http(url: &str) -> Target {
        Target::Http {
            url: url.into(),
            headers: Vec::new(),
        }
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn urls_stay_as_they_are() {
        for url in [
            "http://127.0.0.1:8080/mcp",
            "https://example.com/",
            "HTTPS://example.com/x?y=z",
        ] {
            assert_eq!(parse(url).unwrap(), http(url));
        }
    }

    #[test]
    fn bare_addresses_get_what_is_missing() {
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
    fn commands_and_sockets_are_told_apart() {
        let Target::Stdio(process) = parse("stdio:npx -y 'my server'").unwrap() else {
            panic!()
        };
        assert_eq!(
            (process.program.as_str(), process.args),
            ("npx", strings(&["-y", "my server"]))
        );
        assert_eq!(
            parse("unix:/run/x.sock").unwrap(),
            Target::Unix("/run/x.sock".into())
        );
    }

    #[test]
    fn what_is_no_target_is_a_usage_error_that_helps() {
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
            let fail = parse(text).unwrap_err();
            assert_eq!(fail.exit, Exit::Usage, "{text}");
            assert!(!fail.what.contains("secret"), "{fail}");
        }
    }

    #[test]
    fn a_command_after_the_dashes_takes_the_place_of_the_target() {
        let split = |target, rest, command| {
            let split = super::split(target, rest, command, &ConfigPaths::none(), screen());
            split.map(|(chosen, words)| (chosen.target, words))
        };
        let (target, words) = split(
            Some("echo".into()),
            strings(&["text=x"]),
            strings(&["server", "--stdio"]),
        )
        .unwrap();
        assert_eq!(words, ["echo", "text=x"]);
        assert!(
            matches!(&target, Target::Stdio(process) if process.program == "server" && process.args == ["--stdio"])
        );
        let (_, words) = split(
            Some("stdio:".into()),
            strings(&["echo"]),
            strings(&["server"]),
        )
        .unwrap();
        assert_eq!(words, ["echo"]);
        let (target, words) =
            split(Some("localhost:1".into()), strings(&["echo"]), vec![]).unwrap();
        assert_eq!(
            (target, words),
            (http("http://localhost:1/mcp"), strings(&["echo"]))
        );
        assert!(split(None, vec![], vec![]).is_err());
    }
}
