//! The configuration formats of MCP hosts.
//!
//! | Member | Written by |
//! |---|---|
//! | `mcpServers` | Claude, Cursor, Windsurf, Gemini and most others |
//! | `servers`, `mcp.servers` | VS Code: `mcp.json`, and its settings |
//! | `context_servers` | Zed |
//! | `mcp` | opencode |

use super::jsonc;
use super::server::{ConfiguredEndpoint, ServerConfig};
use super::variables::VariableSyntax;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The servers of one configuration file, by name. An invalid entry is an error of that entry
/// alone.
pub(crate) type ServerConfigs = BTreeMap<String, Result<ServerConfig, String>>;

#[derive(Deserialize)]
struct HostConfig {
    #[serde(default, rename = "mcpServers")]
    mcp_servers: BTreeMap<String, Value>,
    #[serde(default)]
    servers: BTreeMap<String, Value>,
    #[serde(default)]
    context_servers: BTreeMap<String, Value>,
    #[serde(default)]
    mcp: BTreeMap<String, Value>,
}

/// Parses the text of a configuration file. Comments and trailing commas are allowed.
///
/// # Errors
/// Text that is not JSON, or whose members have other types than in any of the known formats.
pub(super) fn parse(text: &str) -> Result<ServerConfigs, String> {
    let file: HostConfig = jsonc::parse(text.trim_start_matches('\u{feff}'))
        .map_err(|error| format!("invalid: {error}"))?;
    let mut servers = ServerConfigs::new();
    let mut add = |name: String, entry: &Value, syntax| {
        servers
            .entry(name)
            .or_insert_with_key(|name| parse_entry(name, entry, syntax));
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
struct ServerEntry {
    command: Option<CommandField>,
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
    era: Option<Value>,
    sessions: Option<Value>,
}

/// A program with its arguments in `args`, a list of both (opencode), or an object (Zed).
#[derive(Deserialize)]
#[serde(untagged)]
enum CommandField {
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

/// A string, or a number or boolean in its place.
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

fn parse_entry(name: &str, value: &Value, syntax: VariableSyntax) -> Result<ServerConfig, String> {
    let entry = ServerEntry::deserialize(value).map_err(|error| match error.to_string() {
        why if why.contains("untagged enum CommandField") => {
            "its `command` is neither a string, nor a list of strings, nor an object with a `path`"
                .to_owned()
        }
        why if why.contains("untagged enum Scalar") => {
            "a value in its `args`, `env` or `headers` is neither a string nor a number".to_owned()
        }
        why => why,
    })?;
    let disabled = entry.disabled == Some(true) || entry.enabled == Some(false);
    // Gemini uses `url` for HTTP+SSE, and prefers `httpUrl` if both are set.
    let url = entry.http_url.or(entry.server_url).or(entry.url);
    let texts = |list: Option<Vec<Scalar>>| {
        list.into_iter()
            .flatten()
            .map(Scalar::into_text)
            .collect::<Vec<_>>()
    };
    let endpoint = match (entry.command, url) {
        (Some(_), Some(_)) => return Err("it has both a command and a URL".into()),
        (None, None) => {
            return Err(
                "it has neither a `command` nor a URL (`url`, `httpUrl` or `serverUrl`)".into(),
            );
        }
        (Some(command), None) => {
            let mut env = entry.env.unwrap_or_default();
            let (program, args) = match command {
                CommandField::Program(program) => (program, texts(entry.args)),
                CommandField::Words(mut words) => {
                    if words.is_empty() {
                        return Err("its `command` is an empty list".into());
                    }
                    let program = words.remove(0);
                    words.extend(texts(entry.args));
                    (program, words)
                }
                CommandField::Object {
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
            ConfiguredEndpoint::Command {
                program,
                args,
                env,
                cwd: entry.cwd,
            }
        }
        (None, Some(url)) => {
            let headers = entry.headers.unwrap_or_default();
            ConfiguredEndpoint::Url {
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
        era: entry.era,
        sessions: entry.sessions,
        syntax,
    })
}
