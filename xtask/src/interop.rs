//! `cargo xtask interop`: carryall against software that others wrote.
//!
//! The Inspector, and small servers and clients on the official SDKs (`interop/`), installed from their registries below
//! the target folder. Clients call our demo; `carryall` calls their servers; each directly and through `carryall up`.

mod clients;
mod inspector;
mod record;
mod servers;
mod software;
mod together;
mod ways;

use std::time::Instant;

use crate::args::Args;
use crate::{Outcome, files, process};
use record::Record;
use software::{RUST, Software};
use ways::Ways;

const PARTS: [&str; 4] = ["inspector", "python", "typescript", "rmcp"];

pub(crate) fn run(mut args: Args) -> Outcome {
    let only = args.list("--only")?;
    let no_build = args.flag("--no-build");
    args.done()?;
    if let Some(odd) = only.iter().find(|part| !PARTS.contains(&part.as_str())) {
        return Err(format!("there is no part `{odd}`; there are {}", PARTS.join(", ")));
    }
    let wants = |part: &str| only.is_empty() || only.iter().any(|p| p == part);

    let dir = files::target_dir().join("interop");
    if !no_build {
        process::run(process::cargo().args(["build", "--quiet", "--package", "carryall-cli"]))?;
    }
    let node = software::node(&dir, wants("inspector") || wants("typescript"));
    let every = [
        software::python(&dir, wants("python")),
        software::typescript(&dir, &node),
        software::rmcp(&dir, wants("rmcp"), no_build),
    ];
    let started = Instant::now();
    let ways = Ways::new(&dir)?;
    let mut record = Record::default();
    if wants("inspector") {
        inspector::check(&ways, &dir, &node, &mut record);
    }
    for software in every.iter().filter(|software| wants(software.part)) {
        servers::check(&ways, software, &mut record);
    }
    if only.is_empty() {
        together::check(&ways, &every, &mut record);
    }
    for software in every.iter().filter(|software| wants(software.part)) {
        clients::check(&ways, software, &mut record);
    }
    print!("{}", record.table());
    println!("\n{}; {} s without installing", record.sum(), started.elapsed().as_secs());
    // Only a run of everything is worth the record.
    if only.is_empty() {
        let path = files::root().join("docs/interop.md");
        files::write(&path, &record.document(&versions(&node, &every)))?;
        println!("written to docs/interop.md");
    }
    match record.failures() {
        0 => Ok(()),
        count => Err(format!("{count} checks fail; what the programs said is under {}", ways.logs().display())),
    }
}

/// What took part, with its version, and what kept it from taking part.
fn versions(node: &Outcome<software::Node>, every: &[Software]) -> Vec<(String, String)> {
    let known = |found: Outcome<String>| found.unwrap_or_else(|why| format!("not run: {why}"));
    let mut rows = vec![
        ("carryall".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("Inspector".to_owned(), software::INSPECTOR.to_owned()),
        ("Node".to_owned(), known(node.as_ref().map(|node| node.version.clone()).map_err(Clone::clone))),
    ];
    rows.extend(every.iter().map(|software| (software.name.to_owned(), software.packages.to_owned())));
    rows.push(("Python".to_owned(), known(software::python_version(every))));
    rows.push((format!("rustc, for {RUST}"), known(software::rustc_version())));
    rows
}
