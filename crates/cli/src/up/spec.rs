//! The servers that `carryall up` stands in front of, as the command line and a configuration file
//! name them.

mod name;

use crate::era::EraOption;
use crate::fail::Fail;
use crate::jsonc;
use crate::mcp_json::{self, Variables};
use crate::target::{Process, Target};
use crate::words;
use carryall::gateway::Upstream;
use carryall::transport::http::HttpClient;
use carryall::{Era, SessionScope};
use clap::ValueEnum as _;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use std::path::Path;
use std::str::FromStr as _;

/// One server to stand in front of, or one replica of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamSpec {
    name: Option<String>,
    endpoint: Endpoint,
    era: Option<Era>,
    sharing: Option<SessionScope>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Endpoint {
    Url {
        url: String,
        headers: Vec<(HeaderName, HeaderValue)>,
    },
    Command(Process),
}

/// The value of an option for one server, or for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scoped<T> {
    name: Option<String>,
    value: T,
}

/// `--header`: its value may hold variables, which are expanded when the servers are known.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HeaderOption {
    header: HeaderName,
    value: String,
}

impl std::fmt::Debug for HeaderOption {
    /// Without the value, which often is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeaderOption")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// A server under its name, with all its replicas.
#[derive(Clone, Debug)]
pub(super) struct ResolvedUpstream {
    pub(super) name: String,
    pub(super) replicas: Replicas,
    pub(super) era: Era,
    pub(super) sharing: SessionScope,
}

#[derive(Clone, Debug)]
pub(super) enum Replicas {
    /// Each of them a URL and what is sent there with every request.
    Urls(Vec<(String, Vec<(HeaderName, HeaderValue)>)>),
    Command(Process),
}

/// Options that hold for servers by name.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerOptions {
    pub(super) headers: Vec<Scoped<HeaderOption>>,
    pub(super) eras: Vec<Scoped<EraOption>>,
    pub(super) sharing: Vec<Scoped<SessionScope>>,
}

/// Parses `[NAME=]URL`.
pub(super) fn http(text: &str) -> Result<UpstreamSpec, String> {
    let (name, url) = named(text, |url| {
        url.starts_with("http://") || url.starts_with("https://")
    });
    HttpClient::new(url).map_err(|error| error.to_string())?;
    let endpoint = Endpoint::Url {
        url: url.to_owned(),
        headers: Vec::new(),
    };
    Ok(UpstreamSpec {
        name: checked(name)?,
        endpoint,
        era: None,
        sharing: None,
    })
}

/// Parses `[NAME=][VARIABLE=value ...]COMMAND`. Variables are written in capitals, names are not,
/// and so they are told apart.
pub(super) fn stdio(text: &str) -> Result<UpstreamSpec, String> {
    let (name, command) = named(text, |_| true);
    let mut words = words::split(command)?;
    let program = words
        .iter()
        .position(|word| variable(word).is_none())
        .unwrap_or(words.len());
    let env = words
        .drain(..program)
        .filter_map(|word| variable(&word))
        .collect();
    if words.is_empty() {
        return Err(format!(
            "{text:?} has no command; write it as you would in a terminal"
        ));
    }
    let process = Process {
        program: words.remove(0),
        args: words,
        env,
        cwd: None,
    };
    Ok(UpstreamSpec {
        name: checked(name)?,
        endpoint: Endpoint::Command(process),
        era: None,
        sharing: None,
    })
}

/// Parses `[NAME=]auto|modern|legacy`.
pub(super) fn era(text: &str) -> Result<Scoped<EraOption>, String> {
    let (name, value) = named(text, |_| true);
    let value = EraOption::from_str(value, true)
        .map_err(|_| "an era is auto, modern or legacy".to_owned())?;
    Ok(Scoped {
        name: checked(name)?,
        value,
    })
}

/// Parses `[NAME=]SCOPE`.
pub(super) fn sharing(text: &str) -> Result<Scoped<SessionScope>, String> {
    let (name, value) = named(text, |_| true);
    let value = SessionScope::from_str(value).map_err(|error| error.to_string())?;
    Ok(Scoped {
        name: checked(name)?,
        value,
    })
}

/// Parses `[NAME=]HEADER: VALUE`. The name of a header cannot hold `=`, so what is before one names
/// a server. Errors do not repeat the value.
pub(super) fn header(text: &str) -> Result<Scoped<HeaderOption>, String> {
    let (head, value) = text
        .split_once(':')
        .ok_or("it has no colon; write [NAME=]'HEADER: VALUE'")?;
    let (name, header) = match head.split_once('=') {
        Some((name, header)) => (Some(name.trim()), header),
        None => (None, head),
    };
    let header = HeaderName::try_from(header.trim())
        .map_err(|_| format!("{:?} is not the name of an HTTP header", header.trim()))?;
    Ok(Scoped {
        name: checked(name)?,
        value: HeaderOption {
            header,
            value: value.trim().to_owned(),
        },
    })
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
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

fn checked(name: Option<&str>) -> Result<Option<String>, String> {
    if let Some(name) = name {
        Upstream::new(name).map_err(|error| error.to_string())?;
    }
    Ok(name.map(str::to_owned))
}

/// The servers of a configuration file, in the order of their names. Those that are switched off
/// are left out.
///
/// # Errors
/// A file or an entry that makes no sense, a variable that is not set, a file without servers.
pub(super) fn configured(file: &Path, variables: &Variables) -> Result<Vec<UpstreamSpec>, Fail> {
    let config = mcp_json::configured(file)?;
    let shown = file.display();
    let mut specs = Vec::new();
    for (name, server) in &config.servers {
        let invalid =
            |why: String| Fail::usage(format!("--config {shown}: server {name:?}: {why}"));
        let server = server.as_ref().map_err(|why| invalid(why.clone()))?;
        if server.disabled {
            continue;
        }
        let endpoint = match server.target(variables).map_err(invalid)? {
            Target::Http { url, headers } => {
                HttpClient::new(&url).map_err(|error| invalid(error.to_string()))?;
                let headers = headers.iter().map(|(name, value)| sensitive(name, value));
                Endpoint::Url {
                    url,
                    headers: headers.collect::<Result<_, _>>().map_err(invalid)?,
                }
            }
            Target::Stdio(process) => Endpoint::Command(process),
            Target::Unix(_) => return Err(invalid("Unix sockets are not supported here".into())),
        };
        let own = ExtraKeys::of(&config.text, name).map_err(invalid)?;
        specs.push(UpstreamSpec {
            name: Some(name::from_text(name)),
            endpoint,
            era: own.era,
            sharing: own.sharing,
        });
    }
    if specs.is_empty() {
        return Err(Fail::usage(format!(
            "--config {shown}: there is no server in it that is switched on"
        )));
    }
    Ok(specs)
}

/// What only this program reads of an entry.
#[derive(Default)]
struct ExtraKeys {
    era: Option<Era>,
    sharing: Option<SessionScope>,
}

impl ExtraKeys {
    fn of(text: &str, name: &str) -> Result<Self, String> {
        #[derive(Deserialize, Default)]
        struct Entry {
            era: Option<String>,
            #[serde(rename = "sessions")]
            sharing: Option<String>,
        }
        let file: serde_json::Value =
            serde_json::from_str(&jsonc::to_json(text.trim_start_matches('\u{feff}')))
                .unwrap_or_default();
        let maps = [
            "/mcpServers",
            "/servers",
            "/context_servers",
            "/mcp/servers",
            "/mcp",
        ];
        let entry = maps.iter().find_map(|map| file.pointer(map)?.get(name));
        let entry = entry.map(Entry::deserialize).transpose();
        let entry = entry
            .map_err(|_| "`era` and `sessions` are strings")?
            .unwrap_or_default();
        let era = entry
            .era
            .map(|era| EraOption::from_str(&era, true).map(Era::from));
        let era = era
            .transpose()
            .map_err(|_| "`era` is auto, modern or legacy")?;
        let sharing = entry.sharing.map(|scope| scope.parse::<SessionScope>());
        Ok(Self {
            era,
            sharing: sharing
                .transpose()
                .map_err(|error| format!("`sessions`: {error}"))?,
        })
    }
}

/// A header whose value is kept out of logs.
fn sensitive(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let header = HeaderName::try_from(name)
        .map_err(|_| format!("{name:?} is not the name of an HTTP header"))?;
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| format!("the value of header {name} has characters that HTTP cannot carry"))?;
    value.set_sensitive(true);
    Ok((header, value))
}

/// Gives each server its name, joins replicas, and applies the options that name servers.
///
/// # Errors
/// Options for servers that are not there, and headers whose variables are not set.
pub(super) fn resolve(
    specs: Vec<UpstreamSpec>,
    options: ServerOptions,
    variables: &Variables,
) -> Result<Vec<ResolvedUpstream>, Fail> {
    let mut all: Vec<ResolvedUpstream> = Vec::new();
    for UpstreamSpec {
        name,
        endpoint,
        era,
        sharing,
    } in specs
    {
        let known = name
            .as_ref()
            .and_then(|name| all.iter_mut().find(|known| known.name == *name));
        let (replicas, derived) = match endpoint {
            Endpoint::Url { url, headers } => {
                // The same name again is another replica of the same server.
                if let Some(ResolvedUpstream {
                    replicas: Replicas::Urls(urls),
                    ..
                }) = known
                {
                    urls.push((url, headers));
                    continue;
                }
                let derived = name::from_url(&url);
                (Replicas::Urls(vec![(url, headers)]), derived)
            }
            Endpoint::Command(process) => {
                let words = std::iter::once(&process.program)
                    .chain(&process.args)
                    .cloned()
                    .collect::<Vec<_>>();
                (Replicas::Command(process), name::from_command(&words))
            }
        };
        if known_name(&all, name.as_deref()) {
            let name = name.unwrap_or_default();
            return Err(Fail::usage(format!("two servers are called {name:?}"))
                .hint("replicas of one server are URLs; give one of these servers another name"));
        }
        let name = name.unwrap_or_else(|| free_name(&all, &derived));
        let (era, sharing) = (era.unwrap_or_default(), sharing.unwrap_or_default());
        all.push(ResolvedUpstream {
            name,
            replicas,
            era,
            sharing,
        });
    }
    for Scoped { name, value } in options.eras {
        each(&mut all, "--era", name.as_deref(), |upstream| {
            upstream.era = value.into()
        })?;
    }
    for Scoped { name, value } in options.sharing {
        each(&mut all, "--sessions", name.as_deref(), |upstream| {
            upstream.sharing = value
        })?;
    }
    for Scoped { name, value } in options.headers {
        add_header(&mut all, name.as_deref(), &value, variables)?;
    }
    Ok(all)
}

fn known_name(all: &[ResolvedUpstream], name: Option<&str>) -> bool {
    name.is_some_and(|name| all.iter().any(|known| known.name == name))
}

/// Applies an option to the server it names, or to all.
fn each(
    all: &mut [ResolvedUpstream],
    option: &str,
    name: Option<&str>,
    mut apply: impl FnMut(&mut ResolvedUpstream),
) -> Result<(), Fail> {
    if name.is_some() && !known_name(all, name) {
        return Err(no_such_server(all, option, name.unwrap_or_default()));
    }
    all.iter_mut()
        .filter(|upstream| name.is_none_or(|name| upstream.name == name))
        .for_each(&mut apply);
    Ok(())
}

/// A header is for one server: sent to all of them, a secret would be told to servers that it does
/// not concern.
fn add_header(
    all: &mut [ResolvedUpstream],
    name: Option<&str>,
    option: &HeaderOption,
    variables: &Variables,
) -> Result<(), Fail> {
    let fail = |why: String| Fail::usage(format!("--header {}: {why}", option.header));
    let remote = |upstream: &ResolvedUpstream| matches!(upstream.replicas, Replicas::Urls(_));
    let name = match name {
        Some(name) if !known_name(all, Some(name)) => {
            return Err(no_such_server(all, "--header", name));
        }
        Some(name) => name.to_owned(),
        None => {
            let mut remote = all.iter().filter(|upstream| remote(upstream));
            match (remote.next(), remote.next()) {
                (Some(only), None) => only.name.clone(),
                (None, _) => {
                    return Err(fail(
                        "headers are for servers at URLs, and there is none".into(),
                    ));
                }
                _ => {
                    return Err(fail(
                        "there are several servers at URLs, and it does not say which is meant"
                            .into(),
                    )
                    .hint(format!(
                        "write --header 'NAME={}: ...'; {}",
                        option.header,
                        names(all)
                    )));
                }
            }
        }
    };
    let value = variables.expand_text(&option.value).map_err(fail)?;
    let (header, value) = sensitive(option.header.as_str(), &value).map_err(fail)?;
    match all
        .iter_mut()
        .find(|upstream| upstream.name == name)
        .map(|upstream| &mut upstream.replicas)
    {
        Some(Replicas::Urls(urls)) => {
            for (_, headers) in urls {
                // The command line wins over the configuration.
                headers.retain(|(other, _)| *other != header);
                headers.push((header.clone(), value.clone()));
            }
            Ok(())
        }
        _ => Err(fail(format!(
            "{name} is started here, and headers are for servers at URLs"
        ))
        .hint("its variables are set in front of its command")),
    }
}

fn no_such_server(all: &[ResolvedUpstream], option: &str, name: &str) -> Fail {
    Fail::usage(format!("{option}: there is no server called {name:?}")).hint(names(all))
}

fn names(all: &[ResolvedUpstream]) -> String {
    let names: Vec<&str> = all.iter().map(|upstream| &*upstream.name).collect();
    format!("the names are: {}", names.join(", "))
}

/// The name, with a number behind it if it is taken.
fn free_name(all: &[ResolvedUpstream], name: &str) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let free = |name: &String| !known_name(all, Some(name));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(free)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
