//! PyPI packages: both generations of the Python SDK, each in its own virtual environment, and
//! published servers.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Peer, Programs, not_selected, source, strings};
use crate::interop::routes::ProtocolEra;
use crate::{CommandResult, process};

/// One generation of the SDK.
pub(super) struct PythonSdk {
    part: &'static str,
    name: &'static str,
    /// The suffix of the names of its programs.
    suffix: &'static str,
    package: &'static str,
    eras: &'static [ProtocolEra],
}

pub(super) const V2: PythonSdk = PythonSdk {
    part: "python-v2",
    name: "Python SDK v2",
    suffix: "v2",
    package: "mcp==2.3.0",
    eras: &[ProtocolEra::Modern, ProtocolEra::Legacy],
};

pub(super) const V1: PythonSdk = PythonSdk {
    part: "python-v1",
    name: "Python SDK v1",
    suffix: "v1",
    package: "mcp==1.30.0",
    eras: &[ProtocolEra::Legacy],
};

/// Published servers.
pub(in crate::interop) const REAL: [&str; 3] = [
    "mcp-server-time==2026.10.19",
    "mcp-server-fetch==2026.10.24",
    "mcp-server-git==2026.10.19",
];

pub(super) fn peer(generation: &PythonSdk, dir: &Path, wanted: bool) -> Peer {
    let suffix = generation.suffix;
    let venv = dir.join(format!("python-{suffix}"));
    let python = if wanted {
        installed(&venv, &[generation.package])
    } else {
        not_selected()
    };
    let program = |python: &Path, what: &str| {
        strings([
            python,
            Path::new("-B"),
            &source("py").join(format!("{what}_{suffix}.py")),
        ])
    };
    Peer {
        part: generation.part,
        name: generation.name,
        packages: generation.package.replace("==", " "),
        eras: generation.eras.to_vec(),
        both: generation.eras.len() > 1,
        toolchain: python
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|python| version(python)),
        programs: python.map(|python| Programs {
            server: program(&python, "server"),
            client: program(&python, "client"),
        }),
    }
}

/// Installs the published servers and returns the folder of their programs.
pub(in crate::interop) fn real(dir: &Path) -> CommandResult<PathBuf> {
    let venv = dir.join("python-servers");
    installed(&venv, &REAL)?;
    Ok(venv.join("bin"))
}

/// Installs these packages (`name==version`) into a virtual environment, unless they are already
/// installed. Returns its Python.
pub(in crate::interop) fn installed(venv: &Path, packages: &[&str]) -> CommandResult<PathBuf> {
    let python = venv.join("bin/python");
    let has = |package: &str| {
        let name = package.split("==").next().unwrap_or(package);
        let print_version =
            format!("import importlib.metadata as m; print('{name}==' + m.version('{name}'))");
        process::output(Command::new(&python).args(["-c", &print_version]))
            .is_ok_and(|found| found.trim() == package)
    };
    if !packages.iter().all(|package| has(package)) {
        if !process::exists("python3") {
            return Err("python3 is not installed".to_owned());
        }
        process::run(Command::new("python3").args(["-m", "venv"]).arg(venv))?;
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ];
        process::run(Command::new(&python).args(pip).args(packages))?;
    }
    Ok(python)
}

fn version(python: &Path) -> CommandResult<(String, String)> {
    let output = process::output(Command::new(python).arg("--version"))?;
    Ok((
        "Python".to_owned(),
        output.trim().trim_start_matches("Python ").to_owned(),
    ))
}
