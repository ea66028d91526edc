//! `cargo xtask without-legacy`: whether the workspace still compiles when the crate for earlier
//! revisions is taken out and the one file that joins the eras is exchanged. Nothing else may know
//! of it.

use std::path::Path;
use std::process::Command;

use crate::args::Args;
use crate::{CommandResult, files, process};

const CRATE: &str = "carryall-legacy";
const JOINT: &str = "crates/carryall/src/eras.rs";
const INSTEAD: &str = "xtask/without-legacy/eras.rs";

pub(crate) fn run(args: Args) -> CommandResult {
    args.done()?;
    let root = files::root();
    let place = files::target_dir().join("without-legacy");
    if place.exists() {
        std::fs::remove_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    }
    let listed = process::output(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(&root),
    )?;
    for path in listed
        .lines()
        .filter(|path| !path.starts_with("crates/legacy/") && root.join(path).is_file())
    {
        copy(&root.join(path), &place.join(path))?;
    }
    copy(&root.join(INSTEAD), &place.join(JOINT))?;
    let mut mentions = Vec::new();
    for path in listed
        .lines()
        .filter(|path| path.ends_with("Cargo.toml") && place.join(path).is_file())
    {
        let text = files::read(&place.join(path))?;
        if text.contains(CRATE) {
            mentions.push(path);
            files::write(&place.join(path), &without(&text))?;
        }
    }
    // The joint hands out bytes; nothing else of the facade does.
    let manifest = place.join("crates/carryall/Cargo.toml");
    let text = files::read(&manifest)?;
    files::write(
        &manifest,
        &text.replace(
            "[dependencies]\n",
            "[dependencies]\nbytes.workspace = true\n",
        ),
    )?;
    if mentions != ["Cargo.toml", "crates/carryall/Cargo.toml"] {
        return Err(format!(
            "the facade alone may depend on {CRATE}, but these manifests name it: {mentions:?}"
        ));
    }
    let mut check = process::cargo();
    check.args([
        "check",
        "--quiet",
        "--workspace",
        "--offline",
        "--target-dir",
    ]);
    check.arg(files::target_dir()).current_dir(&place);
    process::run(&mut check)
        .map_err(|error| format!("something besides {JOINT} knows {CRATE}: {error}"))?;
    std::fs::remove_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    println!("without {CRATE} and {JOINT} the rest compiles");
    Ok(())
}

/// A manifest without the crate.
fn without(text: &str) -> String {
    let kept = text.lines().filter(|line| !line.starts_with(CRATE));
    let kept = kept.map(|line| line.replace(&format!(", \"{CRATE}/tls\""), ""));
    kept.collect::<Vec<_>>().join("\n") + "\n"
}

fn copy(from: &Path, to: &Path) -> CommandResult {
    let fail = |error: std::io::Error| format!("{}: {error}", to.display());
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    std::fs::copy(from, to).map(|_| ()).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn the_crate_leaves_manifests_and_features() {
        let text = "tls = [\"carryall-transport/tls\", \"carryall-legacy/tls\"]\ncarryall-legacy.workspace = true\nx = 1\n";
        assert_eq!(without(text), "tls = [\"carryall-transport/tls\"]\nx = 1\n");
    }
}
