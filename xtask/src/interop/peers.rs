//! What others wrote, and how the programs under `interop/` run on it.

mod go;
mod node;
mod python;
mod rust;

use std::path::{Path, PathBuf};

use super::transports::ProtocolEra;
use crate::{CommandResult, files};

pub(super) use node::{INSPECTOR, Node, inspector};
pub(super) use python::{REAL as PYTHON_SERVERS, installed, real as python_servers};

/// An SDK with a small server and a small client on it.
pub(super) struct Peer {
    /// As in `--only`, and with `interop-` in front what its server says it is.
    pub(super) part: &'static str,
    pub(super) name: &'static str,
    pub(super) packages: String,
    /// The eras that it speaks, on both sides and over both transports, and whether it speaks both.
    pub(super) eras: Vec<ProtocolEra>,
    pub(super) both: bool,
    /// The programs, or why they cannot run.
    pub(super) programs: CommandResult<Programs>,
    /// What runs them, with its version.
    pub(super) toolchain: CommandResult<(String, String)>,
}

impl Peer {
    pub(super) fn server_name(&self) -> String {
        format!("interop-{}", self.part)
    }
}

/// Command lines; the server's goes on with `http PORT` or `stdio`, the client's with
/// `ERA http URL` or `ERA stdio COMMAND...`.
pub(super) struct Programs {
    pub(super) server: Vec<String>,
    pub(super) client: Vec<String>,
}

/// The parts of `--only` that are SDKs, newest generations first.
pub(super) const PARTS: [&str; 6] = [
    "typescript-v2",
    "python-v2",
    "go",
    "rmcp",
    "typescript-v1",
    "python-v1",
];

/// Installs and builds what is wanted. Who is not wanted is there too, as not asked for.
pub(super) fn all(
    dir: &Path,
    node: &CommandResult<Node>,
    no_build: bool,
    wants: impl Fn(&str) -> bool,
) -> Vec<Peer> {
    let made = |part: &'static str| match part {
        "typescript-v2" => node::peer(&node::V2, dir, node),
        "typescript-v1" => node::peer(&node::V1, dir, node),
        "python-v2" => python::peer(&python::V2, dir, wants(part)),
        "python-v1" => python::peer(&python::V1, dir, wants(part)),
        "go" => go::peer(dir, wants(part), no_build),
        _ => rust::peer(dir, wants(part), no_build),
    };
    PARTS.into_iter().map(made).collect()
}

/// The Node that runs what comes from npm, and all of that.
pub(super) fn node(dir: &Path, wants: impl Fn(&str) -> bool) -> CommandResult<Node> {
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
        unwanted()
    }
}

/// Why something that nobody asked for is not there.
pub(super) fn unwanted<T>() -> CommandResult<T> {
    Err("not asked for".to_owned())
}

/// Where the programs are that we wrote on the SDKs.
fn ours(what: &str) -> PathBuf {
    files::root().join("interop").join(what)
}

fn words<const N: usize>(paths: [&Path; N]) -> Vec<String> {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect()
}
