//! Servers by name, from the configuration files that MCP hosts keep.
//!
//! Files of the user win over those of the directory, since the latter may come with a cloned
//! repository. A project file is used only once it has been approved ([`crate::trust`]): before
//! that none of its programs is started, none of its URLs called, and no variable expanded for it.

mod expand;
mod format;

pub(crate) use expand::Variables;
pub(crate) use format::{ServerConfig, Servers, parse};

use crate::fail::Fail;
use crate::near;
use crate::screen::Output;
use crate::target::Target;
use crate::trust::{self, ApprovalStore};
use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Where hosts keep their configuration inside of a project, relative to its directory.
const PROJECT_FILES: [&str; 4] = [
    ".mcp.json",
    "mcp.json",
    ".vscode/mcp.json",
    ".cursor/mcp.json",
];

/// The configuration files to look a name up in.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigPaths {
    /// The file that `--config` names: then no other is read. Naming it approves it.
    pub(crate) config: Option<PathBuf>,
    /// The user's own files, most important first.
    pub(crate) user: Vec<PathBuf>,
    /// Those of the working directory.
    pub(crate) project: Vec<PathBuf>,
    /// Which project files have been approved.
    pub(crate) approvals: ApprovalStore,
    pub(crate) variables: Variables,
}

impl ConfigPaths {
    /// Those of this user and directory.
    pub(crate) fn of_process(config: Option<PathBuf>) -> Self {
        let variables = Variables::of_process();
        let home = std::env::home_dir();
        let env = &variables.env;
        let config_home =
            absolute(env, "XDG_CONFIG_HOME").or_else(|| Some(home.clone()?.join(".config")));
        let mut user = Vec::new();
        user.extend(
            config_home
                .as_ref()
                .map(|directory| directory.join("carryall/mcp.json")),
        );
        user.extend(home.as_ref().map(|home| home.join(".cursor/mcp.json")));
        user.extend(claude_desktop(home.as_deref(), config_home.as_deref(), env));
        let project = project_files(&variables.workspace, &user);
        let state_home =
            absolute(env, "XDG_STATE_HOME").or_else(|| Some(home?.join(".local/state")));
        let approvals = ApprovalStore::file(
            state_home.map(|directory| directory.join("carryall/approved.json")),
        );
        Self {
            config,
            user,
            project,
            approvals,
            variables,
        }
    }

    /// No files at all.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self::default()
    }
}

/// The files of a project directory, without those that are the user's own (in the home directory
/// they coincide).
fn project_files(workspace: &Path, user: &[PathBuf]) -> Vec<PathBuf> {
    let own: Vec<PathBuf> = user
        .iter()
        .filter_map(|file| file.canonicalize().ok())
        .collect();
    let is_own = |file: &PathBuf| file.canonicalize().is_ok_and(|file| own.contains(&file));
    PROJECT_FILES
        .iter()
        .map(|file| workspace.join(file))
        .filter(|file| !is_own(file))
        .collect()
}

fn absolute(env: &BTreeMap<String, String>, name: &str) -> Option<PathBuf> {
    env.get(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

/// Where Claude Desktop keeps its configuration.
fn claude_desktop(
    home: Option<&Path>,
    config_home: Option<&Path>,
    env: &BTreeMap<String, String>,
) -> Option<PathBuf> {
    const FILE: &str = "Claude/claude_desktop_config.json";
    if cfg!(target_os = "macos") {
        Some(home?.join("Library/Application Support").join(FILE))
    } else if cfg!(windows) {
        Some(PathBuf::from(env.get("APPDATA")?).join(FILE))
    } else {
        Some(config_home?.join(FILE))
    }
}

/// A configuration file that has been read.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) servers: Servers,
}

impl ConfigFile {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// A file that cannot be read, is larger than 4 MiB, or is none of the known formats.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let mut text = String::new();
        let length = std::fs::File::open(path)?
            .take(format::MAX_FILE + 1)
            .read_to_string(&mut text)?;
        if length as u64 > format::MAX_FILE {
            return Err(invalid(format!("larger than {} bytes", format::MAX_FILE)));
        }
        let servers = parse(&text).map_err(invalid)?;
        Ok(Self {
            path: path.to_owned(),
            text,
            servers,
        })
    }

    fn target(&self, name: &str, variables: &Variables) -> Option<Result<Target, Fail>> {
        let config = self.servers.get(name)?;
        let target = config
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|config| config.target(variables));
        Some(target.map_err(|why| {
            Fail::usage(format!("server {name:?} in {}: {why}", self.path.display()))
        }))
    }
}

/// Reads the file that `--config` names. [`ServerConfig::target`] turns its entries into targets.
///
/// # Errors
/// A file that cannot be read, or that is none of the known formats.
pub(crate) fn configured(file: &Path) -> Result<ConfigFile, Fail> {
    ConfigFile::read(file)
        .map_err(|error| Fail::usage(format!("--config {}: {error}", file.display())))
}

/// Finds the server of this name: in the file of `--config` if there is one, else in the user's
/// files, else in those of the directory. `screen` is where a person is asked to approve a project
/// file.
///
/// # Errors
/// A name that no file has, an entry that makes no sense, and a project file that nobody has
/// approved.
pub(crate) fn find(name: &str, paths: &ConfigPaths, screen: Output) -> Result<Target, Fail> {
    if let Some(config) = &paths.config {
        let file = configured(config)?;
        return match file.target(name, &paths.variables) {
            Some(target) => target,
            None => Err(unknown(name, &[file], &[], paths)),
        };
    }
    let (mut files, mut broken) = (Vec::new(), Vec::new());
    let read = |path: &PathBuf, broken: &mut Vec<String>| match ConfigFile::read(path) {
        Ok(file) => Some(file),
        Err(error) => {
            if error.kind() == io::ErrorKind::InvalidData {
                broken.push(format!("{} ({error})", path.display()));
            }
            None
        }
    };
    for path in &paths.user {
        files.extend(read(path, &mut broken));
    }
    let broken_user = broken.len();
    let users = files.len();
    for path in &paths.project {
        files.extend(read(path, &mut broken));
    }
    let (user, project) = files.split_at(users);
    let in_project = project.iter().find(|file| file.servers.contains_key(name));
    for file in user {
        let Some(target) = file.target(name, &paths.variables) else {
            continue;
        };
        if let Some(shadowed) = in_project {
            screen.note(&format!(
                "note: the server {name:?} is that of {}; the one in {} is not used (--config uses it)",
                file.path.display(),
                shadowed.path.display()
            ));
        }
        return target;
    }
    let Some(file) = in_project else {
        return Err(unknown(name, &files, &broken, paths));
    };
    for why in &broken[..broken_user] {
        screen.warn(&format!("this configuration of yours is not read: {why}"));
    }
    trust::require(file, name, &paths.approvals, screen)?;
    file.target(name, &paths.variables)
        .unwrap_or_else(|| Err(unknown(name, &files, &broken, paths)))
}

fn unknown(name: &str, files: &[ConfigFile], broken: &[String], paths: &ConfigPaths) -> Fail {
    let mut fail = Fail::usage(format!(
        "TARGET {name:?} is neither an address nor the name of a server"
    ));
    let mut known: Vec<&str> = files
        .iter()
        .flat_map(|file| file.servers.keys())
        .map(String::as_str)
        .collect();
    known.sort_unstable();
    known.dedup();
    let read: Vec<String> = files
        .iter()
        .map(|file| file.path.display().to_string())
        .chain(broken.iter().cloned())
        .collect();
    if read.is_empty() {
        let names: Vec<String> = paths
            .user
            .iter()
            .chain(&paths.project)
            .map(|file| file.display().to_string())
            .collect();
        if !names.is_empty() {
            fail = fail.hint(format!(
                "there is no mcp.json; looked for {}",
                names.join(", ")
            ));
        }
    } else if known.is_empty() {
        fail = fail.hint(format!("no servers are configured in {}", read.join(", ")));
    } else {
        fail.hints
            .extend(near::did_you_mean(name, known.iter().copied()));
        fail = fail.hint(format!(
            "known names: {}; from {}",
            known.join(", "),
            read.join(", ")
        ));
    }
    fail.hint("for a server on the net write its whole URL, for a command write it after `--`")
}

#[cfg(test)]
mod tests;
