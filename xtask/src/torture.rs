//! `cargo xtask torture`: attacks on the running binary (`docs/security.md`).
//!
//! Each attack starts the programs it needs, does what a hostile or careless client or server would
//! do, and compares what it saw with a bound. Everything stays on the loopback; callers of
//! different addresses are played from 127.0.0.x.

mod attacks;
mod http;
mod http2;
mod target;
mod upstream;

use crate::args::Args;
use crate::{CommandResult, files, process, table};
use std::path::PathBuf;
use std::time::Instant;

/// What an attack gets.
struct Arena {
    binary: PathBuf,
    logs: PathBuf,
}

/// What an attack has come to.
struct AttackOutcome {
    /// What was measured, for people.
    seen: String,
    /// Whether it stays within the bound.
    holds: bool,
}

impl AttackOutcome {
    fn new(holds: bool, seen: impl Into<String>) -> Self {
        Self {
            holds,
            seen: seen.into(),
        }
    }
}

pub(crate) fn run(mut args: Args) -> CommandResult {
    // The attacks on the edge need an upstream that misbehaves; it is this program.
    if args.flag("--upstream") {
        args.done()?;
        return upstream::serve();
    }
    let only = args.list("--only")?;
    let no_build = args.flag("--no-build");
    let binary = args.option("--binary")?;
    args.done()?;
    if !no_build && binary.is_none() {
        process::run(process::cargo().args(["build", "--locked", "-p", "carryall-cli"]))?;
    }
    let binary = binary.map_or_else(|| files::target_dir().join("debug/carryall"), PathBuf::from);
    let logs = files::target_dir().join("torture");
    std::fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
    let arena = Arena { binary, logs };
    let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
    if let Some(unknown) = only.iter().find(|name| {
        !attacks::ALL
            .iter()
            .any(|attack| attack.name == name.as_str())
    }) {
        let names: Vec<&str> = attacks::ALL.iter().map(|attack| attack.name).collect();
        return Err(format!(
            "there is no attack `{unknown}`; there are {}",
            names.join(", ")
        ));
    }
    let (mut rows, mut failed) = (Vec::new(), 0);
    for attack in attacks::ALL.iter().filter(|attack| wanted(attack.name)) {
        let started = Instant::now();
        let verdict = (attack.run)(&arena).unwrap_or_else(|error| AttackOutcome::new(false, error));
        let word = if verdict.holds { "holds" } else { "FAILS" };
        failed += usize::from(!verdict.holds);
        println!(
            "{word}  {:>3} s  {}: {}",
            started.elapsed().as_secs(),
            attack.name,
            verdict.seen
        );
        rows.push(vec![
            attack.name.into(),
            attack.bound.into(),
            verdict.seen,
            word.into(),
        ]);
    }
    println!(
        "\n{}",
        table::render(&["attack", "bound", "seen", ""], &rows)
    );
    println!("{} passed, {failed} failed", rows.len() - failed);
    if failed == 0 {
        Ok(())
    } else {
        Err(format!(
            "{failed} attacks succeed; logs are in {}",
            arena.logs.display()
        ))
    }
}
