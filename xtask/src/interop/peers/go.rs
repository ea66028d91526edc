//! The Go SDK, from the Go module proxy.

use std::path::Path;
use std::process::Command;

use super::{Peer, Programs, not_selected, source, strings};
use crate::interop::routes::ProtocolEra;
use crate::{CommandResult, process};

/// As pinned in `interop/go/go.mod`.
const PACKAGE: &str = "go-sdk 1.8.0";

pub(super) fn peer(dir: &Path, wanted: bool, no_build: bool) -> Peer {
    let build_dir = dir.join("go");
    Peer {
        part: "go",
        name: "Go SDK",
        packages: PACKAGE.to_owned(),
        eras: vec![ProtocolEra::Modern, ProtocolEra::Legacy],
        both: true,
        programs: if wanted {
            programs(&build_dir, no_build)
        } else {
            not_selected()
        },
        toolchain: if wanted { version() } else { not_selected() },
    }
}

fn programs(build_dir: &Path, no_build: bool) -> CommandResult<Programs> {
    if !process::exists("go") {
        return Err("go is not installed".to_owned());
    }
    if !no_build {
        std::fs::create_dir_all(build_dir).map_err(|e| format!("{}: {e}", build_dir.display()))?;
        let mut command = Command::new("go");
        command
            .current_dir(source("go"))
            .args(["build", "-mod=readonly", "-o"])
            .arg(build_dir);
        process::run(command.args(["./server", "./client"]))?;
    }
    Ok(Programs {
        server: strings([&build_dir.join("server")]),
        client: strings([&build_dir.join("client")]),
    })
}

fn version() -> CommandResult<(String, String)> {
    let output = process::output(Command::new("go").args(["env", "GOVERSION"]))?;
    Ok((
        "Go".to_owned(),
        output.trim().trim_start_matches("go").to_owned(),
    ))
}
