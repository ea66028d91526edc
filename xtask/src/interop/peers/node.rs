//! npm packages: both generations of the TypeScript SDK, the Inspector, and published servers.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Peer, Programs, source, strings};
use crate::interop::routes::ProtocolEra;
use crate::{CommandResult, files, npm, process};

pub(in crate::interop) const INSPECTOR: &str = "@modelcontextprotocol/inspector@2.12.0";

/// One generation of the SDK.
pub(super) struct NodeSdk {
    part: &'static str,
    name: &'static str,
    /// The suffix of the names of its programs.
    suffix: &'static str,
    packages: &'static [&'static str],
    eras: &'static [ProtocolEra],
}

pub(super) const V2: NodeSdk = NodeSdk {
    part: "typescript-v2",
    name: "TypeScript SDK v2",
    suffix: "v2",
    packages: &[
        "@modelcontextprotocol/server@2.4.0",
        "@modelcontextprotocol/client@2.4.0",
        "@modelcontextprotocol/node@2.1.2",
    ],
    eras: &[ProtocolEra::Modern, ProtocolEra::Legacy],
};

pub(super) const V1: NodeSdk = NodeSdk {
    part: "typescript-v1",
    name: "TypeScript SDK v1",
    suffix: "v1",
    packages: &["@modelcontextprotocol/sdk@1.32.2"],
    eras: &[ProtocolEra::Legacy],
};

/// Further packages: a dependency of our programs, and published servers.
const OTHER_PACKAGES: [&str; 5] = [
    "zod@4.2.0",
    "@modelcontextprotocol/server-everything@2026.8.31",
    "@modelcontextprotocol/server-filesystem@2026.8.31",
    "@modelcontextprotocol/server-memory@2026.8.31",
    CONTEXT7,
];
const CONTEXT7: &str = "@upstash/context7-mcp@4.1.1";

/// Node, and the packages installed with npm.
pub(in crate::interop) struct NodeRuntime {
    pub(in crate::interop) program: PathBuf,
    pub(in crate::interop) version: String,
    modules: PathBuf,
}

impl NodeRuntime {
    /// Returns the command line of a published server.
    pub(in crate::interop) fn server(&self, name: &str) -> Vec<String> {
        let package = npm::package(&self.modules, &format!("@modelcontextprotocol/{name}"));
        strings([&self.program, &package.join("dist/index.js")])
    }

    /// Returns the command line of context7, a TypeScript SDK v2 server that is slow to start.
    pub(in crate::interop) fn context7(&self) -> Vec<String> {
        let package = npm::package(
            &self.modules,
            CONTEXT7.rsplit_once('@').map_or(CONTEXT7, |(name, _)| name),
        );
        strings([&self.program, &package.join("dist/index.js")])
    }

    /// Returns name and version of a published server.
    pub(in crate::interop) fn version_of(name: &str) -> &'static str {
        OTHER_PACKAGES
            .into_iter()
            .find(|package| package.contains(name))
            .unwrap_or_default()
    }
}

pub(super) fn install(dir: &Path) -> CommandResult<NodeRuntime> {
    let modules = modules(dir);
    let packages: Vec<&str> = [INSPECTOR]
        .iter()
        .chain(V2.packages)
        .chain(V1.packages)
        .chain(&OTHER_PACKAGES)
        .copied()
        .collect();
    let program = npm::install(&modules, &packages)?;
    let version = process::output(Command::new(&program).arg("--version"))?;
    Ok(NodeRuntime {
        program,
        version: version.trim().trim_start_matches('v').to_owned(),
        modules,
    })
}

/// Returns the folder that npm installs into.
fn modules(dir: &Path) -> PathBuf {
    dir.join("npm")
}

/// Returns the command line of the Inspector.
pub(in crate::interop) fn inspector(dir: &Path, node: &NodeRuntime) -> Vec<String> {
    let name = INSPECTOR
        .rsplit_once('@')
        .map_or(INSPECTOR, |(name, _)| name);
    strings([
        &node.program,
        &npm::package(&modules(dir), name).join("clients/launcher/build/index.js"),
    ])
}

pub(super) fn peer(generation: &NodeSdk, dir: &Path, node: &CommandResult<NodeRuntime>) -> Peer {
    let node = node.as_ref().map_err(Clone::clone);
    let packages = generation
        .packages
        .iter()
        .map(|name| name.trim_start_matches("@modelcontextprotocol/"));
    Peer {
        part: generation.part,
        name: generation.name,
        packages: packages
            .map(|name| name.replace('@', " "))
            .collect::<Vec<_>>()
            .join(", "),
        eras: generation.eras.to_vec(),
        both: generation.eras.len() > 1,
        programs: node
            .clone()
            .and_then(|node| programs(generation.suffix, dir, node)),
        toolchain: node.map(|node| ("Node".to_owned(), node.version.clone())),
    }
}

fn programs(suffix: &str, dir: &Path, node: &NodeRuntime) -> CommandResult<Programs> {
    // Node resolves packages from the folder of the module upwards, so the copies are next to them.
    let folder = modules(dir).join("programs");
    let copy = |name: String| -> CommandResult<PathBuf> {
        let path = folder.join(&name);
        files::write(&path, &files::read(&source("ts").join(name))?)?;
        Ok(path)
    };
    copy("tour.mjs".to_owned())?;
    copy("checks.mjs".to_owned())?;
    let program = |what: &str| -> CommandResult<Vec<String>> {
        Ok(strings([
            &node.program,
            &copy(format!("{what}-{suffix}.mjs"))?,
        ]))
    };
    Ok(Programs {
        server: program("server")?,
        client: program("client")?,
    })
}
