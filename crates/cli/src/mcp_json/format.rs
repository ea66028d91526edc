//! The configuration formats of MCP hosts, parsed into one shape.
//!
//! | Member | Written by |
//! |---|---|
//! | `mcpServers` | Claude, Cursor, Windsurf, Gemini and most others |
//! | `servers`, `mcp.servers` | VS Code: `mcp.json`, and its settings |
//! | `context_servers` | Zed |
//! | `mcp` | opencode |

use super::expand::{VariableSyntax, Variables};
use crate::jsonc;
use crate::target::{Process, Target};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Configuration files larger than this are not read, in bytes.
pub(super) const MAX_FILE: u64 = 4 * 1024 * 1024;

/// One configured server as its file spells it: no variable has been expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerConfig {
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
    /// Whether the file switches it off (`disabled`, `enabled`).
    pub(crate) disabled: bool,
    syntax: VariableSyntax,
}

/// How a configured server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A process on whose standard streams MCP is spoken.
    Command {
        program: String,
        args: Vec<String>,
        env: Vec<(String, String)>,
        cwd: Option<String>,
    },
    /// A URL. Which transport it takes is detected when it is called, whatever `type` says.
    Url {
        url: String,
        headers: Vec<(String, String)>,
    },
}

impl ServerConfig {
    /// The server with its variables expanded.
    ///
    /// # Errors
    /// A variable that is not set, or a URL that is neither `http` nor `https`.
    pub(crate) fn target(&self, variables: &Variables) -> Result<Target, String> {
        let expand = |text: &str| variables.expand(text, self.syntax);
        let pairs = |pairs: &[(String, String)]| {
            pairs
                .iter()
                .map(|(name, value)| Ok((name.clone(), expand(value)?)))
                .collect::<Result<Vec<_>, String>>()
        };
        match &self.endpoint {
            Endpoint::Command {
                program,
                args,
                env,
                cwd,
            } => Ok(Target::Stdio(Process {
                program: expand(program)?,
                args: args
                    .iter()
                    .map(|arg| expand(arg))
                    .collect::<Result<_, _>>()?,
                env: pairs(env)?,
                cwd: cwd.as_deref().map(expand).transpose()?.map(PathBuf::from),
            })),
            Endpoint::Url { url, headers } => {
                let url = expand(url)?;
                if !(url.starts_with("http://") || url.starts_with("https://")) {
                    return Err(format!("its url {url:?} is neither http:// nor https://"));
                }
                Ok(Target::Http {
                    url,
                    headers: pairs(headers)?,
                })
            }
        }
    }

    /// The name, and what the file says would be run or called, on one line, with variables as they
    /// are written. Values of `env` and `headers` are left out, since they often are secrets, but
    /// not the names of the variables that they expand.
    pub(crate) fn summary(&self) -> String {
        let (what, pairs, title) = match &self.endpoint {
            Endpoint::Command {
                program,
                args,
                env,
                cwd,
            } => {
                let words: Vec<String> = std::iter::once(program)
                    .chain(args)
                    .map(|word| crate::words::quoted(word))
                    .collect();
                let place = cwd
                    .as_ref()
                    .map(|dir| format!(" in {dir}"))
                    .unwrap_or_default();
                (
                    format!("runs {}{place}", words.join(" ")),
                    env,
                    "environment",
                )
            }
            Endpoint::Url { url, headers } => (format!("calls {url}"), headers, "headers"),
        };
        let mut summary = what;
        if !pairs.is_empty() {
            let names: Vec<String> = pairs
                .iter()
                .map(
                    |(name, value)| match self.syntax.references(value).as_slice() {
                        [] => name.clone(),
                        variables => format!("{name} (from {})", variables.join(", ")),
                    },
                )
                .collect();
            summary += &format!("; {title}: {}", names.join(", "));
        }
        if self.disabled {
            summary += " (switched off there)";
        }
        format!("{}: {summary}", self.name)
    }
}

/// The servers of one configuration file, by name. An entry that makes no sense is an error of that
/// entry alone.
pub(crate) type Servers = BTreeMap<String, Result<ServerConfig, String>>;

#[derive(Deserialize)]
struct File {
    #[serde(default, rename = "mcpServers")]
    mcp_servers: BTreeMap<String, Value>,
    #[serde(default)]
    servers: BTreeMap<String, Value>,
    #[serde(default)]
    context_servers: BTreeMap<String, Value>,
    #[serde(default)]
    mcp: BTreeMap<String, Value>,
}

/// Parses the text of a configuration file; comments and trailing commas are allowed.
///
/// # Errors
/// Text that is not JSON, or whose members have other types than in any of the known formats.
pub(crate) fn parse(text: &str) -> Result<Servers, String> {
    let plain = jsonc::to_json(text.trim_start_matches('\u{feff}'));
    let file: File = serde_json::from_str(&plain).map_err(|error| format!("not valid: {error}"))?;
    let mut servers = Servers::new();
    let mut add = |name: String, entry: &Value, syntax| {
        servers
            .entry(name)
            .or_insert_with_key(|name| self::entry(name, entry, syntax));
    };
    for (name, value) in file
        .mcp_servers
        .into_iter()
        .chain(file.servers)
        .chain(file.context_servers)
    {
        add(name, &value, VariableSyntax::Dollar);
    }
    for (name, value) in file.mcp {
        match value {
            // VS Code's settings: {"mcp": {"servers": {...}, "inputs": [...]}}
            Value::Object(nested) if name == "servers" && nested.values().all(Value::is_object) => {
                for (name, value) in nested {
                    add(name, &value, VariableSyntax::Dollar);
                }
            }
            Value::Object(_) => add(name, &value, VariableSyntax::Brace),
            _ => {}
        }
    }
    Ok(servers)
}

#[derive(Deserialize)]
struct Entry {
    command: Option<Command>,
    #[serde(default)]
    args: Option<Vec<Scalar>>,
    #[serde(default, alias = "environment")]
    env: Option<BTreeMap<String, Option<Scalar>>>,
    cwd: Option<String>,
    url: Option<String>,
    #[serde(rename = "httpUrl")]
    http_url: Option<String>,
    #[serde(rename = "serverUrl")]
    server_url: Option<String>,
    #[serde(default)]
    headers: Option<BTreeMap<String, Scalar>>,
    #[serde(default)]
    disabled: Option<bool>,
    #[serde(default)]
    enabled: Option<bool>,
}

/// A program with its arguments beside it, or all in one list (opencode), or in an object (Zed).
#[derive(Deserialize)]
#[serde(untagged)]
enum Command {
    Program(String),
    Words(Vec<String>),
    Object {
        path: String,
        #[serde(default)]
        args: Option<Vec<Scalar>>,
        #[serde(default)]
        env: Option<BTreeMap<String, Option<Scalar>>>,
    },
}

/// Some write numbers where strings belong.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(serde_json::Number),
    Boolean(bool),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Boolean(yes) => yes.to_string(),
        }
    }
}

fn entry(name: &str, value: &Value, syntax: VariableSyntax) -> Result<ServerConfig, String> {
    let entry = Entry::deserialize(value).map_err(|error| match error.to_string() {
        why if why.contains("untagged enum Command") => {
            "its `command` is neither a string, nor a list of strings, nor an object with a `path`"
                .to_owned()
        }
        why if why.contains("untagged enum Scalar") => {
            "a value in its `args`, `env` or `headers` is neither a string nor a number".to_owned()
        }
        why => why,
    })?;
    let disabled = entry.disabled == Some(true) || entry.enabled == Some(false);
    // Gemini uses `url` for the older HTTP+SSE transport, and prefers `httpUrl` where both are set.
    let url = entry.http_url.or(entry.server_url).or(entry.url);
    let texts = |list: Option<Vec<Scalar>>| {
        list.into_iter()
            .flatten()
            .map(Scalar::into_text)
            .collect::<Vec<_>>()
    };
    let endpoint = match (entry.command, url) {
        (Some(_), Some(_)) => return Err("has both a command and a URL".into()),
        (None, None) => {
            return Err(
                "has neither a `command` nor a URL (`url`, `httpUrl` or `serverUrl`)".into(),
            );
        }
        (Some(command), None) => {
            let mut env = entry.env.unwrap_or_default();
            let (program, args) = match command {
                Command::Program(program) => (program, texts(entry.args)),
                Command::Words(mut words) => {
                    if words.is_empty() {
                        return Err("its `command` is an empty list".into());
                    }
                    let program = words.remove(0);
                    words.extend(texts(entry.args));
                    (program, words)
                }
                Command::Object {
                    path,
                    args,
                    env: inner,
                } => {
                    env.extend(inner.unwrap_or_default());
                    (path, texts(args))
                }
            };
            let env = env
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?.into_text())))
                .collect();
            Endpoint::Command {
                program,
                args,
                env,
                cwd: entry.cwd,
            }
        }
        (None, Some(url)) => {
            let headers = entry.headers.unwrap_or_default();
            Endpoint::Url {
                url,
                headers: headers
                    .into_iter()
                    .map(|(name, value)| (name, value.into_text()))
                    .collect(),
            }
        }
    };
    Ok(ServerConfig {
        name: name.to_owned(),
        endpoint,
        disabled,
        syntax,
    })
}
