//! `cargo xtask torture`: attacks on the running binary (`docs/security.md`).
//!
//! Each attack starts the programs it needs, acts as a hostile or careless client or server, and
//! compares what it observes with a bound. Everything runs on the loopback; callers with different
//! addresses use 127.0.0.x.

mod attacks;
mod http;
mod http2;
mod target;
mod upstream;

use crate::args::Args;
use crate::{CommandResult, files, process, table};
use std::path::PathBuf;
use std::time::Instant;

/// The environment of an attack: the binary to attack, and the folder for logs.
struct AttackEnv {
    binary: PathBuf,
    logs: PathBuf,
}

/// The outcome of an attack.
struct AttackOutcome {
    /// The measurements, as text.
    observed: String,
    /// Whether the bound holds.
    holds: bool,
}

impl AttackOutcome {
    fn new(holds: bool, observed: impl Into<String>) -> Self {
        Self {
            holds,
            observed: observed.into(),
        }
    }
}

pub(crate) fn run(mut args: Args) -> CommandResult {
    // The misbehaving upstream for attacks on the edge is this program itself.
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
    let env = AttackEnv { binary, logs };
    let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
    if let Some(unknown) = only.iter().find(|name| {
        !attacks::ALL
            .iter()
            .any(|attack| attack.name == name.as_str())
    }) {
        let names: Vec<&str> = attacks::ALL.iter().map(|attack| attack.name).collect();
        return Err(format!(
            "unknown attack `{unknown}`; expected one of {}",
            names.join(", ")
        ));
    }
    let (mut rows, mut failed) = (Vec::new(), 0);
    for attack in attacks::ALL.iter().filter(|attack| wanted(attack.name)) {
        let started = Instant::now();
        let outcome = (attack.run)(&env).unwrap_or_else(|error| AttackOutcome::new(false, error));
        let word = if outcome.holds { "holds" } else { "FAILS" };
        failed += usize::from(!outcome.holds);
        println!(
            "{word}  {:>3} s  {}: {}",
            started.elapsed().as_secs(),
            attack.name,
            outcome.observed
        );
        rows.push(vec![
            attack.name.into(),
            attack.bound.into(),
            outcome.observed,
            word.into(),
        ]);
    }
    println!(
        "\n{}",
        table::render(&["attack", "bound", "observed", ""], &rows)
    );
    println!("{} passed, {failed} failed", rows.len() - failed);
    if failed == 0 {
        Ok(())
    } else {
        Err(format!(
            "{failed} attacks succeeded; logs are in {}",
            env.logs.display()
        ))
    }
}
