//! `cargo xtask interop`: tests carryall against third-party software, in both eras.
//!
//! Uses the Inspector, published servers, and small servers and clients built with the SDKs
//! (`interop/`), installed from their registries below the target folder. Clients call our demo, and
//! `carryall` calls the servers, each directly and through `carryall up`.

mod clients;
mod frameworks;
mod inspector;
mod known_issues;
mod peers;
mod real;
mod record;
mod revisions;
mod routes;
mod servers;
mod together;

use std::path::Path;
use std::time::Instant;

use crate::args::Args;
use crate::{CommandResult, files, process};
use peers::{INSPECTOR, Peer};
use record::InteropRecord;
use routes::{ProtocolEra, TestEnvironment};

/// The parts of `--only` other than SDKs.
const INSPECTORS: &str = "inspector";
const SERVERS: &str = "servers";
const FRAMEWORKS: &str = "frameworks";

pub(crate) fn run(mut args: Args) -> CommandResult {
    let only = args.list("--only")?;
    let no_build = args.flag("--no-build");
    let era = args.option("--era")?;
    args.done()?;
    let era = era
        .map(|word| ProtocolEra::named(&word).ok_or(format!("unknown era `{word}`")))
        .transpose()?;
    let parts: Vec<&str> = [INSPECTORS, SERVERS, FRAMEWORKS]
        .into_iter()
        .chain(peers::PARTS)
        .collect();
    if let Some(unknown) = only.iter().find(|part| !parts.contains(&part.as_str())) {
        return Err(format!(
            "unknown part `{unknown}`; expected one of {}",
            parts.join(", ")
        ));
    }
    let wants = |part: &str| only.is_empty() || only.iter().any(|p| p == part);

    let dir = files::target_dir().join("interop");
    if !no_build {
        process::run(process::cargo().args(["build", "--quiet", "--package", "carryall-cli"]))?;
    }
    let node = peers::node(&dir, wants);
    let mut every = peers::all(&dir, &node, no_build, wants);
    if let Some(era) = era {
        every
            .iter_mut()
            .for_each(|peer| peer.eras.retain(|other| *other == era));
    }
    let whole = only.is_empty() && era.is_none();
    let started = Instant::now();
    let env = TestEnvironment::new(&dir)?;
    let mut record = InteropRecord::default();
    if wants(INSPECTORS) {
        inspector::check(&env, &dir, &node, &mut record);
    }
    let wanted = || every.iter().filter(|peer| wants(peer.part));
    wanted().for_each(|peer| clients::check(&env, peer, &mut record));
    if wants("go") && era != Some(ProtocolEra::Modern) {
        revisions::check(&env, &every, &mut record);
    }
    wanted().for_each(|peer| servers::check(&env, peer, &mut record));
    if whole {
        together::check(&env, &every, &mut record);
    }
    if wants(SERVERS) {
        real::check(&env, &dir, &node, &mut record);
    }
    if wants(FRAMEWORKS) {
        frameworks::check(&env, &dir, &node, no_build, &mut record);
    }
    print!("{}", record.table());
    println!(
        "\n{}; {} s without installation",
        record.sum(),
        started.elapsed().as_secs()
    );
    // Only complete runs are recorded.
    if whole {
        write(
            &files::root().join("docs/interop.md"),
            &record,
            &versions(&every),
        )?;
    }
    match record.failures() {
        0 => Ok(()),
        count => Err(format!(
            "{count} checks failed; the output of the programs is in {}",
            env.logs().display()
        )),
    }
}

fn write(path: &Path, record: &InteropRecord, versions: &[(String, String)]) -> CommandResult {
    files::write(path, &record.document(versions))?;
    println!("written to {}", path.display());
    Ok(())
}

/// Returns the version of each participant, or the reason that it was not run.
fn versions(every: &[Peer]) -> Vec<(String, String)> {
    let mut rows = vec![
        ("carryall".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        (
            "Inspector".to_owned(),
            INSPECTOR.rsplit('@').next().unwrap_or_default().to_owned(),
        ),
    ];
    rows.extend(
        every
            .iter()
            .map(|peer| (peer.name.to_owned(), peer.packages.clone())),
    );
    let mut toolchains = Vec::new();
    for peer in every {
        let row = match &peer.toolchain {
            Ok((name, version)) => (name.clone(), version.clone()),
            Err(why) => (format!("for the {}", peer.name), format!("not run: {why}")),
        };
        if !toolchains.contains(&row) {
            toolchains.push(row);
        }
    }
    rows.extend(toolchains);
    rows
}
