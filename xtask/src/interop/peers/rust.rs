//! The Rust SDK, from crates.io.

use std::path::Path;
use std::process::Command;

use super::{Peer, Programs, not_selected, source, strings};
use crate::interop::routes::ProtocolEra;
use crate::{CommandResult, process};

/// As pinned in `interop/rust/Cargo.toml`.
const PACKAGE: &str = "rmcp 3.9.0";

pub(super) fn peer(dir: &Path, wanted: bool, no_build: bool) -> Peer {
    Peer {
        part: "rmcp",
        name: "Rust SDK",
        packages: PACKAGE.to_owned(),
        eras: vec![ProtocolEra::Modern, ProtocolEra::Legacy],
        both: true,
        programs: if wanted {
            programs(&dir.join("rust"), no_build)
        } else {
            not_selected()
        },
        toolchain: if wanted { version() } else { not_selected() },
    }
}

fn programs(target: &Path, no_build: bool) -> CommandResult<Programs> {
    if !no_build {
        let mut command = process::cargo();
        command
            .args(["build", "--quiet", "--locked", "--manifest-path"])
            .arg(source("rust/Cargo.toml"));
        process::run(
            command
                .arg("--target-dir")
                .arg(target)
                .env_remove("CARGO_TARGET_DIR"),
        )?;
    }
    let program = |name: &str| strings([&target.join("debug").join(name)]);
    Ok(Programs {
        server: program("rmcp-server"),
        client: program("rmcp-client"),
    })
}

fn version() -> CommandResult<(String, String)> {
    let output = process::output(Command::new("rustc").arg("--version"))?;
    Ok((
        "rustc".to_owned(),
        output
            .split_whitespace()
            .nth(1)
            .unwrap_or(&output)
            .to_owned(),
    ))
}
