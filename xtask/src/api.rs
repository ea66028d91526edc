//! `cargo xtask api`: compares the public API of each published crate with the lists in `docs/api/`,
//! so that every change of the API is a visible diff.
//!
//! The lists are made from rustdoc's JSON output, whose format changes between releases of Rust. The
//! check is skipped with a toolchain whose format the `public-api` crate does not read.

use std::path::Path;
use std::process::Command;

use crate::args::Args;
use crate::{CommandResult, files};

/// The published crates.
const CRATES: [&str; 14] = [
    "carryall",
    "carryall-client",
    "carryall-gateway",
    "carryall-legacy",
    "carryall-macros",
    "carryall-proto",
    "carryall-schema",
    "carryall-server",
    "carryall-store",
    "carryall-store-postgres",
    "carryall-store-redis",
    "carryall-store-sqlite",
    "carryall-transport",
    "carryall-types",
];

/// The release of Rust whose rustdoc JSON format the `public-api` dependency reads.
const RUST: &str = "rustc 1.95.";

pub(crate) fn run(mut args: Args) -> CommandResult {
    let write = args.flag("--write");
    args.done()?;
    let version = crate::process::output(Command::new("rustc").arg("--version"))?;
    if !version.starts_with(RUST) {
        println!("api: skipped: the lists need {RUST}x; found {version}");
        return Ok(());
    }
    let root = files::root();
    let mut changed = Vec::new();
    for package in CRATES {
        let json = rustdoc_json(&root, package)?;
        let now = list(&json)?;
        let path = root.join("docs/api").join(format!("{package}.txt"));
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        if before == now {
            continue;
        }
        if write {
            files::write(&path, &now)?;
        }
        changed.push(format!("{package}:\n{}", difference(&before, &now)));
    }
    if changed.is_empty() {
        println!("api: {} crates, unchanged", CRATES.len());
        return Ok(());
    }
    println!("{}", changed.join("\n"));
    if write {
        return Ok(());
    }
    Err(
        "the public API differs from docs/api; if this is intended, run `cargo xtask api --write` and \
         commit the result"
            .to_owned(),
    )
}

/// Builds the JSON documentation of a crate with all features and returns its path.
fn rustdoc_json(root: &Path, package: &str) -> CommandResult<std::path::PathBuf> {
    let mut rustdoc = crate::process::cargo();
    rustdoc
        .args(["rustdoc", "--quiet", "--locked", "--lib", "--all-features"])
        .args(["--package", package])
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        .args(["--cap-lints", "allow"])
        .env("RUSTDOC", wrapper()?)
        .current_dir(root);
    crate::process::output(&mut rustdoc)?;
    let name = package.replace('-', "_");
    Ok(files::target_dir()
        .join("doc")
        .join(name)
        .with_extension("json"))
}

/// Returns a rustdoc wrapper that accepts unstable options on the stable toolchain.
///
/// Only rustdoc gets `RUSTC_BOOTSTRAP`: build scripts read it too, and would rebuild everything.
fn wrapper() -> CommandResult<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = files::target_dir().join("api-rustdoc.sh");
    let script = "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n";
    if files::read(&path).is_ok_and(|text| text == script) {
        return Ok(path);
    }
    files::write(&path, script)?;
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, executable)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

fn list(json: &Path) -> CommandResult<String> {
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .map_err(|error| format!("{}: {error}", json.display()))?;
    Ok(api.items().map(|item| format!("{item}\n")).collect())
}

/// Returns the lines that occur in only one of the two texts.
fn difference(before: &str, now: &str) -> String {
    let old: std::collections::BTreeSet<_> = before.lines().collect();
    let new: std::collections::BTreeSet<_> = now.lines().collect();
    let removed = old.difference(&new).map(|line| format!("  - {line}\n"));
    let added = new.difference(&old).map(|line| format!("  + {line}\n"));
    removed.chain(added).collect()
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn difference_lists_removed_and_added_lines() {
        assert_eq!(difference("a\nb\n", "b\nc\n"), "  - a\n  + c\n");
    }
}
