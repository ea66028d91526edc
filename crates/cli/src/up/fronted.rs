//! The servers that somebody named on the command line.

use crate::era::memory;
use crate::fail::{Exit, Fail};
use crate::words;
use carryall::gateway::{Probe, Upstream};
use carryall::proto::SharedService;
use carryall::transport::http::HttpClient;
use carryall::transport::stdio::ServerCommand;
use carryall::{HttpWay, StdioWay, WayOptions};
use futures_util::future::join_all;
use std::time::Duration;

/// Servers that are somebody else's are asked less often whether they live.
const HTTP_PROBE: Probe = Probe { every: Duration::from_secs(10), within: Duration::from_secs(5) };
/// A child that has exited is started again by the next request, and be it this one.
const STDIO_PROBE: Probe = Probe { every: Duration::from_secs(2), within: Duration::from_secs(10) };

/// One server to stand in front of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fronted {
    name: Option<String>,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Url(String),
    Command { env: Vec<(String, String)>, words: Vec<String> },
}

/// Reads `[NAME=]URL`.
pub(super) fn http(text: &str) -> Result<Fronted, String> {
    let (name, url) = named(text, |url| url.starts_with("http://") || url.starts_with("https://"));
    HttpClient::new(url).map_err(|error| error.to_string())?;
    Ok(Fronted { name: checked(name)?, place: Place::Url(url.to_owned()) })
}

/// Reads `[NAME=][VARIABLE=value ...]COMMAND`. Variables are written in capitals, names are not, and so they are told
/// apart.
pub(super) fn stdio(text: &str) -> Result<Fronted, String> {
    let (name, command) = named(text, |_| true);
    let mut words = words::split(command)?;
    let program = words.iter().position(|word| variable(word).is_none()).unwrap_or(words.len());
    let env = words.drain(..program).filter_map(|word| variable(&word)).collect();
    if words.is_empty() {
        return Err(format!("{text:?} has no command; write it as you would in a terminal"));
    }
    Ok(Fronted { name: checked(name)?, place: Place::Command { env, words } })
}

/// A name in front of the rest, if what follows it can be the rest.
fn named(text: &str, is_rest: impl Fn(&str) -> bool) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, rest)) if looks_like_name(name) && is_rest(rest) => (Some(name), rest),
        _ => (None, text),
    }
}

fn looks_like_name(text: &str) -> bool {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.bytes().all(name) && text.bytes().any(|byte| byte.is_ascii_lowercase())
}

fn variable(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

fn checked(name: Option<&str>) -> Result<Option<String>, String> {
    if let Some(name) = name {
        Upstream::new(name).map_err(|error| error.to_string())?;
    }
    Ok(name.map(str::to_owned))
}

/// The upstreams in work.
#[derive(Default)]
pub(super) struct Running {
    pub(super) upstreams: Vec<Upstream>,
    /// What they are, for people.
    pub(super) shown: Vec<String>,
    children: Vec<StdioWay>,
}

impl Running {
    pub(super) fn only(upstream: Upstream) -> Self {
        Self { upstreams: vec![upstream], ..Self::default() }
    }

    /// Ends the children.
    pub(super) async fn stop(&self) {
        join_all(self.children.iter().map(StdioWay::shutdown)).await;
    }
}

/// Starts what is to be started. Servers at URLs need not be there yet.
pub(super) async fn start(all: Vec<Fronted>) -> Result<Running, Fail> {
    let mut running = Running::default();
    for Fronted { name, place } in all {
        match place {
            Place::Url(url) => running.add_url(name, &url)?,
            Place::Command { env, words } => running.add_command(name, env, words).await?,
        }
    }
    if running.upstreams.len() > 1 {
        let names =
            running.upstreams.iter().map(|upstream| format!("{} as {}__", running.place_of(upstream), upstream.name()));
        running.shown = names.collect();
    }
    Ok(running)
}

impl Running {
    fn add_url(&mut self, name: Option<String>, url: &str) -> Result<(), Fail> {
        let invalid = |error: &dyn std::fmt::Display| Fail::usage(format!("--http {url}: {error}"));
        let http = HttpClient::new(url).map_err(|error| invalid(&error))?;
        let client = SharedService::new_boxed(HttpWay::new(http, WayOptions::default().memory(memory())));
        self.shown.push(url.to_owned());
        // The same name again is another replica of the same server.
        if let Some(known) = name.as_ref().and_then(|name| self.upstreams.iter().find(|known| known.name() == name)) {
            known.replica(url).up(client);
            return Ok(());
        }
        let name = name.unwrap_or_else(|| self.free_name(&name_for_url(url)));
        let upstream = Upstream::new(&name).map_err(|error| invalid(&error))?.probe(Some(HTTP_PROBE));
        self.upstreams.push(upstream.with_replica(url, client));
        Ok(())
    }

    async fn add_command(
        &mut self,
        name: Option<String>,
        env: Vec<(String, String)>,
        words: Vec<String>,
    ) -> Result<(), Fail> {
        let name = name.unwrap_or_else(|| self.free_name(&name_for_command(&words)));
        let shown = words.join(" ");
        let invalid = |error: &dyn std::fmt::Display| Fail::usage(format!("--stdio {shown:?}: {error}"));
        let upstream = Upstream::new(&name).map_err(|error| invalid(&error))?;
        let mut words = words.into_iter();
        let command = ServerCommand::new(words.next().unwrap_or_default()).args(words);
        let said_by = name.clone();
        let command = env.into_iter().fold(command, |command, (name, value)| command.env(name, value));
        let command = command.on_stderr(move |line| tracing::info!("{said_by} says: {line}"));
        let client = StdioWay::spawn(command, WayOptions::default().memory(memory())).await.map_err(|error| {
            Fail::new(Exit::Usage, format!("--stdio: {error}")).hint("check that the command exists and runs by itself")
        })?;
        let upstream = upstream.shared_channel().probe(Some(STDIO_PROBE));
        self.upstreams.push(upstream.with_replica(&shown, SharedService::new_boxed(client.clone())));
        self.children.push(client);
        self.shown.push(shown);
        Ok(())
    }

    /// The name, with a number behind it if it is taken.
    fn free_name(&self, name: &str) -> String {
        let is_free = |name: &String| self.upstreams.iter().all(|known| known.name() != name);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        std::iter::once(name.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
    }

    fn place_of(&self, upstream: &Upstream) -> String {
        upstream.status().iter().map(|replica| replica.label.to_string()).collect::<Vec<_>>().join(" and ")
    }
}

/// The first part of the host that says something, or the port on a machine that has no name of its own.
fn name_for_url(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    let host = parsed.as_ref().and_then(url::Url::host);
    let name = match host {
        Some(url::Host::Domain(domain)) if domain != "localhost" => {
            let part = domain.split('.').find(|part| !["www", "mcp", "api"].contains(part));
            part.unwrap_or(domain).to_owned()
        }
        _ => format!("port-{}", parsed.as_ref().and_then(url::Url::port_or_known_default).unwrap_or_default()),
    };
    as_name(&name)
}

/// The first word that says something: not the program that runs all kinds of servers, not its flags.
fn name_for_command(words: &[String]) -> String {
    const RUNNERS: [&str; 14] =
        ["npx", "uvx", "node", "python", "python3", "uv", "run", "deno", "bun", "bunx", "npm", "exec", "docker", "env"];
    let file = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
    let says_something = |word: &String| !word.starts_with('-') && !RUNNERS.contains(&word.as_str());
    let word = words.iter().map(file).find(says_something).or_else(|| words.first().map(file)).unwrap_or_default();
    let stem = word.split(['@', '.']).find(|part| !part.is_empty()).unwrap_or_default();
    as_name(stem)
}

/// What can be a name of `text`.
fn as_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars().take(30) {
        let c = if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        if c != '-' || !name.ends_with('-') {
            name.push(c);
        }
    }
    let name = name.trim_matches('-');
    if name.is_empty() { "server".into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_url_are_told_apart() {
        let url = |text: &str| http(text).map(|fronted| (fronted.name, fronted.place));
        let place = |url: &str| Place::Url(url.into());
        assert_eq!(url("http://x/mcp?a=b"), Ok((None, place("http://x/mcp?a=b"))));
        assert_eq!(url("w=http://x/mcp?a=b"), Ok((Some("w".into()), place("http://x/mcp?a=b"))));
        for bad in ["localhost:8080", "w=ftp://x/", "a__b=http://x/", ""] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_variables_and_a_command_are_told_apart() {
        let parsed = stdio("files=TOKEN='a b' HOST=x python -m 'my server' K=v").unwrap();
        assert_eq!(parsed.name.as_deref(), Some("files"));
        let Place::Command { env, words } = parsed.place else { panic!() };
        assert_eq!(env, [("TOKEN".into(), "a b".into()), ("HOST".into(), "x".into())]);
        assert_eq!(words, ["python", "-m", "my server", "K=v"]);
        assert_eq!(stdio("TOKEN=x server").unwrap().name, None);
        for bad in ["", "TOKEN=x", "name=", "a 'b"] {
            assert!(stdio(bad).is_err(), "{bad}");
        }
    }

    // spec: tools-16
    #[test]
    fn names_come_from_the_command_line_and_never_from_the_server() {
        for (url, name) in [
            ("https://mcp.weather.example.com/mcp", "weather"),
            ("http://localhost:9001/mcp", "port-9001"),
            ("http://127.0.0.1/mcp", "port-80"),
        ] {
            assert_eq!(name_for_url(url), name);
        }
        for (command, name) in [
            ("npx -y @acme/My_Server@1.2", "my-server"),
            ("python3 -m server.py", "server"),
            ("/usr/bin/weather --x", "weather"),
            ("node", "node"),
            ("uvx ++", "server"),
        ] {
            assert_eq!(name_for_command(&words::split(command).unwrap()), name, "{command}");
        }
    }

    #[tokio::test]
    async fn one_name_for_several_urls_means_replicas_and_no_name_never_does() {
        let all = ["a=http://127.0.0.1:1/", "a=http://127.0.0.1:2/", "http://127.0.0.1:3/", "http://127.0.0.1:3/x"];
        let running = start(all.iter().map(|text| http(text).unwrap()).collect()).await.unwrap();
        let names: Vec<_> = running.upstreams.iter().map(|one| (one.name().to_owned(), one.status().len())).collect();
        assert_eq!(names, [("a".into(), 2), ("port-3".into(), 1), ("port-3-2".into(), 1)]);
    }
}
