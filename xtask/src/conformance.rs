//! `cargo xtask conformance`: runs the official suite from npm against our server and client.
//!
//! The suite's exit codes ignore warnings and clients that hang or crash, so each scenario's
//! `checks.json` is evaluated here. `spec/conformance-left.txt` lists the scenarios that are expected
//! to fail.

mod expected_failures;
mod judge;
mod suite;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::args::Args;
use crate::process::ChildGroup;
use crate::{CommandResult, files, net, process, table};
use expected_failures::ExpectedFailures;
use judge::CheckVerdict;
use suite::{REVISIONS, Suite, SuiteScenario, TestedSide};

pub(crate) fn run(mut args: Args) -> CommandResult {
    let (server, client) = (args.flag("--server"), args.flag("--client"));
    let revision = args.option("--revision")?;
    let scenario = args.option("--scenario")?;
    let server_url = args.option("--server-url")?;
    let client_command = args.option("--client-command")?;
    args.done()?;

    let suite = Suite::install(&files::target_dir().join("conformance"))?;
    let mut every = Vec::new();
    for known in REVISIONS {
        every.extend(suite.list(known)?);
    }
    let wanted: Vec<&SuiteScenario> = every
        .iter()
        .filter(|s| {
            revision
                .as_deref()
                .is_none_or(|revision| s.revision == revision)
        })
        .filter(|s| server == client || (s.side == TestedSide::Server) == server)
        .filter(|s| scenario.as_deref().is_none_or(|name| s.name == name))
        .collect();
    if wanted.is_empty() {
        return Err(format!(
            "unknown scenario; the suite has:\n{}",
            names(&every)
        ));
    }
    let out = files::target_dir().join("conformance/out");
    if out.exists() {
        std::fs::remove_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    }
    let one = scenario.as_deref();
    let has = |side: TestedSide| wanted.iter().any(|s| s.side == side);
    if (has(TestedSide::Server) && server_url.is_none())
        || (has(TestedSide::Client) && client_command.is_none())
    {
        process::run(process::cargo().args([
            "build",
            "--quiet",
            "--package",
            "carryall-conformance",
            "--bins",
        ]))?;
    }
    // One server on one URL serves all revisions: it has to detect the revision of each client.
    let (_running, url) = match (has(TestedSide::Server), server_url) {
        (true, None) => start_server(&out).map(|(group, url)| (Some(group), url))?,
        (_, url) => (None, url.unwrap_or_default()),
    };
    let command =
        client_command.unwrap_or_else(|| binary("everything-client").display().to_string());
    for revision in REVISIONS {
        let of = |side: TestedSide| {
            wanted
                .iter()
                .any(|s| s.side == side && s.revision == revision)
        };
        let dir = out.join(revision);
        if of(TestedSide::Server) {
            suite.server(revision, &url, one, &dir.join("server"))?;
        }
        if of(TestedSide::Client) {
            suite.client(revision, &command, one, &dir.join("client"))?;
        }
    }
    judge_all(&wanted, &every, &out)
}

fn judge_all(wanted: &[&SuiteScenario], every: &[SuiteScenario], out: &Path) -> CommandResult {
    let expected = ExpectedFailures::load(&files::root().join("spec/conformance-left.txt"))?;
    let mut problems = expected.unknown(every);
    let (mut rows, mut passed) = (Vec::new(), BTreeMap::<_, (usize, usize)>::new());
    for scenario in wanted {
        let verdict = judge::evaluate(scenario, out);
        let (good, all) = passed
            .entry((scenario.revision, scenario.side.word(), &scenario.group))
            .or_default();
        *good += usize::from(verdict.passed());
        *all += 1;
        let expected_failure = expected.contains(scenario);
        let mark = match (&verdict, expected_failure) {
            (CheckVerdict::Pass(_), false) => "pass",
            (CheckVerdict::Pass(_), true) => "PASS, expected to fail",
            (CheckVerdict::Fail(_), true) => "expected",
            (CheckVerdict::Fail(_), false) => "FAIL",
        };
        match (verdict.passed(), expected_failure) {
            (true, true) => problems.push(format!(
                "{scenario} passes: remove it from spec/conformance-left.txt"
            )),
            (false, false) => problems.push(format!("{scenario} fails: {}", verdict.message())),
            _ => {}
        }
        let cells = [
            scenario.revision,
            scenario.side.word(),
            &scenario.name,
            &scenario.group,
            mark,
            &truncate(&verdict.message()),
        ];
        rows.push(cells.iter().map(|c| (*c).to_owned()).collect());
    }
    print!(
        "{}",
        table::render(
            &["revision", "side", "scenario", "group", "", "checks"],
            &rows
        )
    );
    println!();
    for ((revision, side, group), (good, all)) in passed {
        println!("{revision} {side}: {good} of {all} {group} scenarios pass");
    }
    if problems.is_empty() {
        return Ok(());
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    Err(format!(
        "{} problems; the output of the suite is in {}",
        problems.len(),
        out.display()
    ))
}

/// Shortens a text for a table cell. Failures are printed in full below the table.
fn truncate(text: &str) -> String {
    match text.char_indices().nth(70) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Starts the everything server on a free loopback port and returns it with its URL.
fn start_server(out: &Path) -> CommandResult<(ChildGroup, String)> {
    let port = net::free_port()?;
    let address = format!("127.0.0.1:{port}");
    std::fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
    let log = out.join("everything-server.log");
    let mut command = Command::new(binary("everything-server"));
    command.args(["--listen", &address]);
    process::log_to(&mut command, &log)?;
    let mut group = ChildGroup::spawn(&mut command)?;
    net::wait_until_listening(&mut group, port, &log)?;
    Ok((group, format!("http://{address}/mcp")))
}

fn binary(name: &str) -> PathBuf {
    files::target_dir().join("debug").join(name)
}

fn names(scenarios: &[SuiteScenario]) -> String {
    scenarios.iter().map(|s| format!("  {s}\n")).collect()
}
