//! What others wrote: where it comes from, and how the programs under `interop/` run on it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Outcome, files, npm, process};

pub(super) const INSPECTOR: &str = "@modelcontextprotocol/inspector@2.12.0";
const TYPESCRIPT: [&str; 4] = [
    "@modelcontextprotocol/server@2.4.0",
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/node@2.1.2",
    "zod@4.2.0",
];
const PYTHON: &str = "mcp==2.3.0";
/// As pinned in `interop/rust/Cargo.toml`.
pub(super) const RUST: &str = "rmcp 3.9.0";

/// An SDK with a small server and a small client on it.
pub(super) struct Software {
    /// As in `--only`.
    pub(super) part: &'static str,
    pub(super) name: &'static str,
    pub(super) packages: &'static str,
    /// What its server says it is.
    pub(super) server_name: &'static str,
    /// The programs, or why they cannot run.
    pub(super) programs: Outcome<Programs>,
}

/// Command lines; the server's goes on with `http PORT` or `stdio`, the client's with `http URL` or `stdio COMMAND...`.
pub(super) struct Programs {
    pub(super) server: Vec<String>,
    pub(super) client: Vec<String>,
}

/// The Node that runs what comes from npm.
pub(super) struct Node {
    pub(super) program: PathBuf,
    pub(super) version: String,
}

/// Why something that nobody asked for is not there.
fn unwanted<T>() -> Outcome<T> {
    Err("not asked for".to_owned())
}

pub(super) fn node(dir: &Path, wanted: bool) -> Outcome<Node> {
    if !wanted {
        return unwanted();
    }
    let mut packages = vec![INSPECTOR];
    packages.extend(TYPESCRIPT);
    let program = npm::install(&modules(dir), &packages)?;
    let version = process::output(Command::new(&program).arg("--version"))?;
    Ok(Node { program, version: version.trim().trim_start_matches('v').to_owned() })
}

/// Where npm installs.
pub(super) fn modules(dir: &Path) -> PathBuf {
    dir.join("npm")
}

pub(super) fn typescript(dir: &Path, node: &Outcome<Node>) -> Software {
    let programs = node.as_ref().map_err(Clone::clone).and_then(|node| {
        // A module looks for its packages above the place where it lies, so it has to lie beside them.
        let place = |name: &str| -> Outcome<Vec<String>> {
            let copy = modules(dir).join("programs").join(name);
            files::write(&copy, &files::read(&ours("ts").join(name))?)?;
            Ok(words([&node.program, &copy]))
        };
        Ok(Programs { server: place("server.mjs")?, client: place("client.mjs")? })
    });
    Software {
        part: "typescript",
        name: "TypeScript SDK",
        packages: "@modelcontextprotocol/server 2.4.0, client 2.4.0, node 2.1.2",
        server_name: "interop-typescript",
        programs,
    }
}

pub(super) fn python(dir: &Path, wanted: bool) -> Software {
    let programs = if wanted { python_programs(&dir.join("venv")) } else { unwanted() };
    Software { part: "python", name: "Python SDK", packages: "mcp 2.3.0", server_name: "interop-python", programs }
}

fn python_programs(venv: &Path) -> Outcome<Programs> {
    let python = venv.join("bin/python");
    let has = |python: &Path| {
        let ask = "import importlib.metadata as m; print('mcp==' + m.version('mcp'))";
        process::output(Command::new(python).args(["-c", ask])).is_ok_and(|found| found.trim() == PYTHON)
    };
    if !has(&python) {
        if !process::exists("python3") {
            return Err("python3 is not installed".to_owned());
        }
        process::run(Command::new("python3").args(["-m", "venv"]).arg(venv))?;
        process::run(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            PYTHON,
        ]))?;
    }
    Ok(Programs {
        server: words([&python, &ours("py").join("server.py")]),
        client: words([&python, &ours("py").join("client.py")]),
    })
}

pub(super) fn rmcp(dir: &Path, wanted: bool, no_build: bool) -> Software {
    let programs = if wanted { rmcp_programs(&dir.join("rust"), no_build) } else { unwanted() };
    Software { part: "rmcp", name: "Rust SDK", packages: RUST, server_name: "interop-rmcp", programs }
}

fn rmcp_programs(target: &Path, no_build: bool) -> Outcome<Programs> {
    if !no_build {
        let mut command = process::cargo();
        command.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(ours("rust/Cargo.toml"));
        process::run(command.arg("--target-dir").arg(target).env_remove("CARGO_TARGET_DIR"))?;
    }
    let program = |name: &str| words([&target.join("debug").join(name)]);
    Ok(Programs { server: program("rmcp-server"), client: program("rmcp-client") })
}

pub(super) fn python_version(every: &[Software]) -> Outcome<String> {
    let python = every.iter().find(|software| software.part == "python");
    let programs = python.ok_or("not asked for")?.programs.as_ref().map_err(Clone::clone)?;
    let program = programs.server.first().ok_or("no program")?;
    let said = process::output(Command::new(program).arg("--version"))?;
    Ok(said.trim().trim_start_matches("Python ").to_owned())
}

pub(super) fn rustc_version() -> Outcome<String> {
    let said = process::output(Command::new("rustc").arg("--version"))?;
    Ok(said.split_whitespace().nth(1).unwrap_or(&said).to_owned())
}

/// Where the programs are that we wrote on the SDKs.
fn ours(what: &str) -> PathBuf {
    files::root().join("interop").join(what)
}

fn words<const N: usize>(paths: [&PathBuf; N]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}
