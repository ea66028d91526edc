//! The SDKs, and how the programs under `interop/` are installed and run with them.

mod go;
mod node;
mod python;
mod rust;

use std::path::{Path, PathBuf};

use super::routes::ProtocolEra;
use crate::{CommandResult, files};

pub(super) use node::{INSPECTOR, NodeRuntime, inspector};
pub(super) use python::{REAL as PYTHON_SERVERS, installed, real as python_servers};

/// An SDK, with a small server and a small client built with it.
pub(super) struct Peer {
    /// The name in `--only`. Its server calls itself `interop-` and this name.
    pub(super) part: &'static str,
    pub(super) name: &'static str,
    pub(super) packages: String,
    /// The eras that client and server support over both transports.
    pub(super) eras: Vec<ProtocolEra>,
    /// Whether both eras are supported.
    pub(super) both: bool,
    /// The programs, or the reason that they cannot run.
    pub(super) programs: CommandResult<Programs>,
    /// Name and version of the toolchain that runs them.
    pub(super) toolchain: CommandResult<(String, String)>,
}

impl Peer {
    pub(super) fn server_name(&self) -> String {
        format!("interop-{}", self.part)
    }
}

/// Command lines. The server's is followed by `http PORT` or `stdio`, the client's by `ERA http URL`
/// or `ERA stdio COMMAND...`.
pub(super) struct Programs {
    pub(super) server: Vec<String>,
    pub(super) client: Vec<String>,
}

/// The SDKs among the parts of `--only`, newest generations first.
pub(super) const PARTS: [&str; 6] = [
    "typescript-v2",
    "python-v2",
    "go",
    "rmcp",
    "typescript-v1",
    "python-v1",
];

/// Installs and builds the selected peers. Peers that are not selected are included as not run.
pub(super) fn all(
    dir: &Path,
    node: &CommandResult<NodeRuntime>,
    no_build: bool,
    wants: impl Fn(&str) -> bool,
) -> Vec<Peer> {
    let peer = |part: &'static str| match part {
        "typescript-v2" => node::peer(&node::V2, dir, node),
        "typescript-v1" => node::peer(&node::V1, dir, node),
        "python-v2" => python::peer(&python::V2, dir, wants(part)),
        "python-v1" => python::peer(&python::V1, dir, wants(part)),
        "go" => go::peer(dir, wants(part), no_build),
        _ => rust::peer(dir, wants(part), no_build),
    };
    PARTS.into_iter().map(peer).collect()
}

/// Installs Node and the npm packages, if a part needs them.
pub(super) fn node(dir: &Path, wants: impl Fn(&str) -> bool) -> CommandResult<NodeRuntime> {
    if [
        "inspector",
        "typescript-v2",
        "typescript-v1",
        "servers",
        "frameworks",
    ]
    .into_iter()
    .any(wants)
    {
        node::install(dir)
    } else {
        not_selected()
    }
}

/// Returns the reason for a part that was not selected.
pub(super) fn not_selected<T>() -> CommandResult<T> {
    Err("not selected".to_owned())
}

/// Returns the path of a program in `interop`.
fn source(name: &str) -> PathBuf {
    files::root().join("interop").join(name)
}

fn strings<const N: usize>(paths: [&Path; N]) -> Vec<String> {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect()
}
