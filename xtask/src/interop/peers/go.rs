//! The Go SDK, from the module proxy that `go` is set up for.

use std::path::Path;
use std::process::Command;

use super::{Peer, Programs, ours, unwanted, words};
use crate::interop::transports::ProtocolEra;
use crate::{CommandResult, process};

/// As pinned in `interop/go/go.mod`.
const PACKAGE: &str = "go-sdk 1.8.0";

pub(super) fn peer(dir: &Path, wanted: bool, no_build: bool) -> Peer {
    let place = dir.join("go");
    Peer {
        part: "go",
        name: "Go SDK",
        packages: PACKAGE.to_owned(),
        eras: vec![ProtocolEra::Modern, ProtocolEra::Legacy],
        both: true,
        programs: if wanted {
            programs(&place, no_build)
        } else {
            unwanted()
        },
        toolchain: if wanted { version() } else { unwanted() },
    }
}

fn programs(place: &Path, no_build: bool) -> CommandResult<Programs> {
    if !process::exists("go") {
        return Err("go is not installed".to_owned());
    }
    if !no_build {
        std::fs::create_dir_all(place).map_err(|e| format!("{}: {e}", place.display()))?;
        let mut command = Command::new("go");
        command
            .current_dir(ours("go"))
            .args(["build", "-mod=readonly", "-o"])
            .arg(place);
        process::run(command.args(["./server", "./client"]))?;
    }
    Ok(Programs {
        server: words([&place.join("server")]),
        client: words([&place.join("client")]),
    })
}

fn version() -> CommandResult<(String, String)> {
    let said = process::output(Command::new("go").args(["env", "GOVERSION"]))?;
    Ok((
        "Go".to_owned(),
        said.trim().trim_start_matches("go").to_owned(),
    ))
}
