//! Servers by name, from the configuration files that hosts keep: `mcpServers` as Claude and Cursor write it, `servers`
//! as VS Code does.

use crate::fail::Fail;
use crate::jsonc;
use crate::near;
use crate::target::{Process, Target};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where to look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// The file that `--config` names: then no other is looked at.
    pub(crate) config: Option<PathBuf>,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) workspace: PathBuf,
    /// Variables of the environment, for `${VAR}`.
    pub(crate) env: BTreeMap<String, String>,
}

impl Places {
    /// The places of this user and directory.
    pub(crate) fn usual(config: Option<PathBuf>) -> Self {
        let workspace = std::env::current_dir().unwrap_or_default();
        let home = std::env::home_dir();
        let env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let mut files: Vec<PathBuf> = [".mcp.json", "mcp.json", ".vscode/mcp.json", ".cursor/mcp.json"]
            .iter()
            .map(|file| workspace.join(file))
            .collect();
        let config_home = env.get("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(home.clone()?.join(".config")));
        files.extend(config_home.map(|directory| directory.join("carryall/mcp.json")));
        files.extend(home.as_ref().map(|home| home.join(".cursor/mcp.json")));
        files.extend(claude_desktop(home.as_deref(), &env));
        Self { config, files, workspace, env }
    }

    /// Nowhere at all.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self::default()
    }
}

/// Where Claude Desktop keeps its configuration.
fn claude_desktop(home: Option<&Path>, env: &BTreeMap<String, String>) -> Option<PathBuf> {
    const FILE: &str = "Claude/claude_desktop_config.json";
    if cfg!(target_os = "macos") {
        Some(home?.join("Library/Application Support").join(FILE))
    } else if cfg!(windows) {
        Some(PathBuf::from(env.get("APPDATA")?).join(FILE))
    } else {
        Some(
            env.get("XDG_CONFIG_HOME")
                .map_or_else(|| home.map(|home| home.join(".config")), |dir| Some(dir.into()))?
                .join(FILE),
        )
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(default, rename = "mcpServers")]
    mcp_servers: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    servers: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, Option<Scalar>>,
    cwd: Option<String>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// Some write numbers where strings belong.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Other(serde_json::Value),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Other(value) => value.to_string(),
        }
    }
}

/// The server of this name. The first file that has it wins.
pub(crate) fn find(name: &str, places: &Places) -> Result<Target, Fail> {
    let mut known: Vec<String> = Vec::new();
    let mut looked_at: Vec<String> = Vec::new();
    let files: Vec<&PathBuf> =
        places.config.iter().chain(places.files.iter().filter(|_| places.config.is_none())).collect();
    for file in files {
        let shown = file.display();
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if places.config.is_some() => return Err(Fail::usage(format!("--config {shown}: {error}"))),
            Err(_) => continue,
        };
        let servers = match parse(&text) {
            Ok(servers) => servers,
            Err(why) if places.config.is_some() => return Err(Fail::usage(format!("--config {shown}: {why}"))),
            Err(why) => {
                looked_at.push(format!("{shown} ({why})"));
                continue;
            }
        };
        if let Some(entry) = servers.get(name) {
            return target(entry, places).map_err(|why| Fail::usage(format!("server {name:?} in {shown}: {why}")));
        }
        looked_at.push(shown.to_string());
        known.extend(servers.into_keys());
    }
    Err(unknown(name, known, &looked_at, places))
}

fn unknown(name: &str, mut known: Vec<String>, looked_at: &[String], places: &Places) -> Fail {
    let mut fail = Fail::usage(format!("TARGET {name:?} is neither an address nor the name of a server"));
    known.sort();
    known.dedup();
    if looked_at.is_empty() {
        let names: Vec<String> = places.files.iter().map(|file| file.display().to_string()).collect();
        if !names.is_empty() {
            fail = fail.hint(format!("there is no mcp.json; looked for {}", names.join(", ")));
        }
    } else if known.is_empty() {
        fail = fail.hint(format!("no servers are configured in {}", looked_at.join(", ")));
    } else {
        fail.hints.extend(near::did_you_mean(name, known.iter().map(String::as_str)));
        fail = fail.hint(format!("known names: {}; from {}", known.join(", "), looked_at.join(", ")));
    }
    fail.hint("for a server on the net write its whole URL, for a command write it after `--`")
}

fn parse(text: &str) -> Result<BTreeMap<String, serde_json::Value>, String> {
    let plain = jsonc::to_json(text.trim_start_matches('\u{feff}'));
    let File { mut mcp_servers, servers } =
        serde_json::from_str(&plain).map_err(|error| format!("not valid: {error}"))?;
    for (name, entry) in servers {
        mcp_servers.entry(name).or_insert(entry);
    }
    Ok(mcp_servers)
}

fn target(entry: &serde_json::Value, places: &Places) -> Result<Target, String> {
    let entry = Entry::deserialize(entry).map_err(|error| error.to_string())?;
    let expand = |text: &str| expand(text, places);
    match (entry.command, entry.url) {
        (Some(_), Some(_)) => Err("has both `command` and `url`".into()),
        (None, None) => Err("has neither `command` nor `url`".into()),
        (Some(command), None) => {
            let mut env = Vec::new();
            for (name, value) in entry.env {
                if let Some(value) = value {
                    env.push((name, expand(&value.into_text())?));
                }
            }
            Ok(Target::Stdio(Process {
                program: expand(&command)?,
                args: entry.args.iter().map(|arg| expand(arg)).collect::<Result<_, _>>()?,
                env,
                cwd: entry.cwd.as_deref().map(expand).transpose()?.map(PathBuf::from),
            }))
        }
        (None, Some(url)) => {
            if entry.kind.as_deref() == Some("sse") {
                return Err("uses HTTP+SSE of revision 2024-11-05, which this command does not speak".into());
            }
            let url = expand(&url)?;
            if !(url.starts_with("http://") || url.starts_with("https://")) {
                return Err(format!("its url {url:?} is neither http:// nor https://"));
            }
            let headers = entry.headers.into_iter().map(|(name, value)| Ok((name, expand(&value)?)));
            Ok(Target::Http { url, headers: headers.collect::<Result<_, String>>()? })
        }
    }
}

/// `${VAR}`, `${env:VAR}`, `${VAR:-default}`, `${workspaceFolder}` and `${userHome}`.
fn expand(text: &str, places: &Places) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let end = rest[at..].find('}').ok_or_else(|| format!("a ${{ is not closed in {text:?}"))? + at;
        let expression = &rest[at + 2..end];
        let (name, default) = match expression.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (expression, None),
        };
        let name = name.strip_prefix("env:").unwrap_or(name);
        let value = match (name, places.env.get(name)) {
            (_, Some(value)) => value.clone(),
            ("workspaceFolder", None) => places.workspace.display().to_string(),
            ("userHome", None) => places.env.get("HOME").cloned().unwrap_or_default(),
            (input, None) if input.starts_with("input:") => {
                return Err(format!("needs ${{{input}}}, which only an editor can ask for"));
            }
            (name, None) => default.map(str::to_owned).ok_or_else(|| format!("the variable {name} is not set"))?,
        };
        out.push_str(&value);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests;
