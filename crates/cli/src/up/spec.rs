//! The servers that `carryall up` stands in front of, as the command line and a configuration file
//! name them.

mod config;
mod name;
mod resolve;

pub(super) use config::from_config;
pub(super) use resolve::{ResolvedUpstream, UpstreamReplicas, resolve};

use crate::era::EraOption;
use crate::shell;
use crate::target::StdioCommand;
use carryall::gateway::Upstream;
use carryall::transport::http::HttpClient;
use carryall::{Era, SessionScope};
use clap::ValueEnum as _;
use http::{HeaderName, HeaderValue};
use std::str::FromStr as _;

/// One server, or one replica of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamSpec {
    name: Option<String>,
    endpoint: UpstreamEndpoint,
    era: Option<Era>,
    sharing: Option<SessionScope>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum UpstreamEndpoint {
    Url {
        url: String,
        headers: Vec<(HeaderName, HeaderValue)>,
    },
    Command(StdioCommand),
}

/// The value of an option for one server, or for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scoped<T> {
    /// The server; `None` for all of them.
    name: Option<String>,
    value: T,
}

/// `--header`. Variables in the value are expanded when the servers are resolved.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HeaderOption {
    header: HeaderName,
    value: String,
}

impl std::fmt::Debug for HeaderOption {
    /// Leaves out the value, which often is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeaderOption")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// Options that apply to servers by name.
#[derive(Clone, Debug, Default)]
pub(super) struct PerServerOptions {
    pub(super) headers: Vec<Scoped<HeaderOption>>,
    pub(super) eras: Vec<Scoped<EraOption>>,
    pub(super) sharing: Vec<Scoped<SessionScope>>,
}

impl PerServerOptions {
    pub(super) fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.eras.is_empty() && self.sharing.is_empty()
    }
}

/// Parses `[NAME=]URL`.
pub(super) fn http(text: &str) -> Result<UpstreamSpec, String> {
    let (name, url) = split_name(text, |url| {
        url.starts_with("http://") || url.starts_with("https://")
    });
    HttpClient::new(url).map_err(|error| error.to_string())?;
    let endpoint = UpstreamEndpoint::Url {
        url: url.to_owned(),
        headers: Vec::new(),
    };
    Ok(UpstreamSpec {
        name: checked_name(name)?,
        endpoint,
        era: None,
        sharing: None,
    })
}

/// Parses `[NAME=][VARIABLE=value ...]COMMAND`. Variables are in capitals, and names are not.
pub(super) fn stdio(text: &str) -> Result<UpstreamSpec, String> {
    let (name, line) = split_name(text, |_| true);
    let mut words = shell::split(line)?;
    let variables = words
        .iter()
        .position(|word| parse_variable(word).is_none())
        .unwrap_or(words.len());
    let env = words
        .drain(..variables)
        .filter_map(|word| parse_variable(&word))
        .collect();
    let mut command = StdioCommand::from_words(words)
        .ok_or_else(|| format!("{text:?} has no command; write it as in a terminal"))?;
    command.env = env;
    Ok(UpstreamSpec {
        name: checked_name(name)?,
        endpoint: UpstreamEndpoint::Command(command),
        era: None,
        sharing: None,
    })
}

/// Parses `[NAME=]auto|modern|legacy`.
pub(super) fn era(text: &str) -> Result<Scoped<EraOption>, String> {
    let (name, value) = split_name(text, |_| true);
    let value = EraOption::from_str(value, true)
        .map_err(|_| "an era is auto, modern or legacy".to_owned())?;
    Ok(Scoped {
        name: checked_name(name)?,
        value,
    })
}

/// Parses `[NAME=]SCOPE`.
pub(super) fn sharing(text: &str) -> Result<Scoped<SessionScope>, String> {
    let (name, value) = split_name(text, |_| true);
    let value = SessionScope::from_str(value).map_err(|error| error.to_string())?;
    Ok(Scoped {
        name: checked_name(name)?,
        value,
    })
}

/// Parses `[NAME=]HEADER: VALUE`. Header names cannot contain `=`, so the part before one is NAME.
/// Errors do not repeat the value.
pub(super) fn header(text: &str) -> Result<Scoped<HeaderOption>, String> {
    let (head, value) = text
        .split_once(':')
        .ok_or("there is no colon; write [NAME=]'HEADER: VALUE'")?;
    let (name, header) = match head.split_once('=') {
        Some((name, header)) => (Some(name.trim()), header),
        None => (None, head),
    };
    let header = HeaderName::try_from(header.trim())
        .map_err(|_| format!("{:?} is not a valid HTTP header name", header.trim()))?;
    Ok(Scoped {
        name: checked_name(name)?,
        value: HeaderOption {
            header,
            value: value.trim().to_owned(),
        },
    })
}

/// Splits `NAME=REST` if both parts are plausible.
fn split_name(text: &str, is_rest: impl Fn(&str) -> bool) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, rest)) if looks_like_name(name) && is_rest(rest) => (Some(name), rest),
        _ => (None, text),
    }
}

fn looks_like_name(text: &str) -> bool {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.bytes().all(name) && text.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// Parses `VARIABLE=value`.
fn parse_variable(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

/// Checks the name of an upstream.
fn checked_name(name: Option<&str>) -> Result<Option<String>, String> {
    if let Some(name) = name {
        Upstream::new(name).map_err(|error| error.to_string())?;
    }
    Ok(name.map(str::to_owned))
}

/// Creates a header whose value is kept out of logs.
fn sensitive_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let header = HeaderName::try_from(name)
        .map_err(|_| format!("{name:?} is not a valid HTTP header name"))?;
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| format!("the value of header {name} has invalid characters"))?;
    value.set_sensitive(true);
    Ok((header, value))
}

#[cfg(test)]
mod tests;
