//! `cargo xtask interop`: carryall against software that others wrote, in both eras.
//!
//! The Inspector, servers that people run, and small servers and clients on the SDKs (`interop/`),
//! installed from their registries below the target folder. Clients call our demo; `carryall` calls
//! their servers; each directly and through `carryall up`.

mod clients;
mod frameworks;
mod inspector;
mod peers;
mod real;
mod record;
mod revisions;
mod servers;
mod shortfalls;
mod together;
mod transports;

use std::path::Path;
use std::time::Instant;

use crate::args::Args;
use crate::{CommandResult, files, process};
use peers::{INSPECTOR, Peer};
use record::InteropRecord;
use transports::{ProtocolEra, Ways};

/// The parts of `--only` that are no SDKs.
const INSPECTORS: &str = "inspector";
const SERVERS: &str = "servers";
const FRAMEWORKS: &str = "frameworks";

pub(crate) fn run(mut args: Args) -> CommandResult {
    let only = args.list("--only")?;
    let no_build = args.flag("--no-build");
    let era = args.option("--era")?;
    args.done()?;
    let era = era
        .map(|word| ProtocolEra::named(&word).ok_or(format!("there is no era `{word}`")))
        .transpose()?;
    let parts: Vec<&str> = [INSPECTORS, SERVERS, FRAMEWORKS]
        .into_iter()
        .chain(peers::PARTS)
        .collect();
    if let Some(odd) = only.iter().find(|part| !parts.contains(&part.as_str())) {
        return Err(format!(
            "there is no part `{odd}`; there are {}",
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
    let ways = Ways::new(&dir)?;
    let mut record = InteropRecord::default();
    if wants(INSPECTORS) {
        inspector::check(&ways, &dir, &node, &mut record);
    }
    let wanted = || every.iter().filter(|peer| wants(peer.part));
    wanted().for_each(|peer| clients::check(&ways, peer, &mut record));
    if wants("go") && era != Some(ProtocolEra::Modern) {
        revisions::check(&ways, &every, &mut record);
    }
    wanted().for_each(|peer| servers::check(&ways, peer, &mut record));
    if whole {
        together::check(&ways, &every, &mut record);
    }
    if wants(SERVERS) {
        real::check(&ways, &dir, &node, &mut record);
    }
    if wants(FRAMEWORKS) {
        frameworks::check(&ways, &dir, &node, no_build, &mut record);
    }
    print!("{}", record.table());
    println!(
        "\n{}; {} s without installing",
        record.sum(),
        started.elapsed().as_secs()
    );
    // Only a run of everything is worth the record.
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
            "{count} checks fail; what the programs said is under {}",
            ways.logs().display()
        )),
    }
}

fn write(path: &Path, record: &InteropRecord, versions: &[(String, String)]) -> CommandResult {
    files::write(path, &record.document(versions))?;
    println!("written to {}", path.display());
    Ok(())
}

/// What took part, with its version, and what kept it from taking part.
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
