//! Where configuration files are looked for.

use super::approvals::ApprovalStore;
use super::variables::ConfigVariables;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where hosts keep their configuration inside of a project, relative to its directory.
pub(super) const PROJECT_FILES: [&str; 4] = [
    ".mcp.json",
    "mcp.json",
    ".vscode/mcp.json",
    ".cursor/mcp.json",
];

/// The configuration files to look a name up in, and what else that needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigPaths {
    /// The file of `--config`, which replaces all others. Naming it approves it.
    pub(crate) explicit: Option<PathBuf>,
    /// The user's own files, most important first.
    pub(crate) user: Vec<PathBuf>,
    /// The files of the working directory.
    pub(crate) project: Vec<PathBuf>,
    /// Which project files are approved.
    pub(crate) approvals: ApprovalStore,
    pub(crate) variables: ConfigVariables,
}

impl ConfigPaths {
    /// Returns the paths for the user and the working directory of this process.
    pub(crate) fn of_process(explicit: Option<PathBuf>) -> Self {
        let variables = ConfigVariables::of_process();
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
        let approvals = ApprovalStore::new(
            state_home.map(|directory| directory.join("carryall/approved.json")),
        );
        Self {
            explicit,
            user,
            project,
            approvals,
            variables,
        }
    }

    /// Returns no paths at all.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self::default()
    }
}

/// Returns the files of a project directory. The user's own files, which coincide with them in the
/// home directory, are left out.
pub(super) fn project_files(workspace: &Path, user: &[PathBuf]) -> Vec<PathBuf> {
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

/// Returns the path in this variable. The XDG specification ignores relative ones.
fn absolute(env: &BTreeMap<String, String>, name: &str) -> Option<PathBuf> {
    env.get(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

/// Returns the configuration file of Claude Desktop on this platform.
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
