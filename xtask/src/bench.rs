//! `cargo xtask bench`: compares carryall with a bare hyper server (the limit) and with rmcp in its
//! best stateless configuration.
//!
//! The server runs on core 0 and the load on core 1. Servers are measured in turn within a run, so
//! that a machine that slows down affects all of them. Figures are medians over the runs; only the
//! ratios within one invocation are meaningful.

mod measure;
mod report;

use std::path::PathBuf;
use std::process::Command;

use crate::args::Args;
use crate::{CommandResult, files, process};
use measure::{MeasurementPlan, Results};

const PARTS: [&str; 5] = ["http", "startup", "memory", "stdio", "client"];

pub(crate) fn run(mut args: Args) -> CommandResult {
    let quick = args.flag("--quick");
    let no_build = args.flag("--no-build");
    let only = args.list("--only")?;
    let servers = args.list("--servers")?;
    args.done()?;
    if let Some(unknown) = only.iter().find(|part| !PARTS.contains(&part.as_str())) {
        return Err(format!(
            "unknown part `{unknown}`; expected one of {}",
            PARTS.join(", ")
        ));
    }
    check_tools()?;

    let servers = if servers.is_empty() {
        ["carryall", "raw-typed", "rmcp-best"]
            .map(str::to_owned)
            .to_vec()
    } else {
        servers
    };
    if !no_build {
        build(servers.iter().any(|s| s == "carryall"))?;
    }
    let plan = MeasurementPlan::new(quick, servers);
    let wants = |part: &str| only.is_empty() || only.iter().any(|p| p == part);
    let mut results = Results::default();
    if wants("startup") {
        measure::startup(&plan, &mut results)?;
    }
    if wants("memory") {
        measure::memory(&plan, &mut results)?;
    }
    if wants("http") {
        measure::http(&plan, &mut results)?;
    }
    if wants("stdio") {
        measure::stdio(&plan, &mut results)?;
    }
    if wants("client") {
        measure::client(&plan, &mut results)?;
    }
    let text = report::render(&plan, &results);
    files::write(&files::root().join("bench/results.md"), &text)?;
    println!("{text}");
    // Only complete runs that include carryall are recorded.
    if !quick && only.is_empty() && plan.servers.iter().any(|s| s == "carryall") {
        record(&text)?;
    }
    Ok(())
}

const BEGIN: &str = "<!-- measured -->";
const END: &str = "<!-- end of measured -->";

/// Writes the tables between the two markers of `bench/README.md`.
fn record(text: &str) -> CommandResult {
    let path = files::root().join("bench/README.md");
    let readme = files::read(&path)?;
    let parts = readme
        .split_once(BEGIN)
        .and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) =
        parts.ok_or("bench/README.md lacks the markers around the measured tables")?;
    let tables = text.replace("\n## ", "\n### ");
    let tables = tables.trim_start_matches("# Measured").trim();
    files::write(&path, &format!("{head}{BEGIN}\n\n{tables}\n\n{END}{tail}"))
}

/// Checks for the tools that cargo does not install: load generator, CPU pinning, interpreters.
fn check_tools() -> CommandResult {
    let tools = [
        ("wrk", "wrk"),
        ("taskset", "util-linux"),
        ("python3", "python3"),
        ("curl", "curl"),
    ];
    let missing: Vec<&str> = tools
        .iter()
        .filter(|(tool, _)| !process::exists(tool))
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        return Err(format!(
            "missing programs; install these packages: {}",
            missing.join(" ")
        ));
    }
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return Err("two cores are needed: one for the server, one for the load".to_owned());
    }
    Ok(())
}

fn build(carryall: bool) -> CommandResult {
    let mut crates = vec![
        "peers/raw",
        "peers/rmcp-http",
        "peers/rmcp-stdio",
        "peers/rmcp-client",
    ];
    if carryall {
        crates.push("carryall");
    }
    for folder in crates {
        let manifest = files::root().join("bench").join(folder).join("Cargo.toml");
        eprintln!("building bench/{folder}");
        let mut command = Command::new("nice");
        command
            .args(["-n", "10"])
            .arg(process::cargo().get_program());
        command
            .args(["build", "--quiet", "--release", "--manifest-path"])
            .arg(manifest);
        // Each peer is its own workspace with its own target folder, where servers.conf expects the
        // binary.
        process::run(command.env_remove("CARGO_TARGET_DIR"))?;
    }
    Ok(())
}

/// Returns the path of a binary built by a crate under `bench/`.
fn program(folder: &str, name: &str) -> PathBuf {
    files::root()
        .join("bench")
        .join(folder)
        .join("target/release")
        .join(name)
}
