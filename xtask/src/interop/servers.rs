//! `carryall` against third-party servers.

mod checks;

use serde_json::Value;

use super::clients::last_line;
use super::known_issues::{self, PeerSide};
use super::peers::Peer;
use super::record::{CheckOutcome, InteropRecord};
use super::routes::{ClientTarget, ProgramOutcome, ProtocolEra, Route, TestEnvironment};
use crate::CommandResult;
use checks::{CHECKS, ServerCheck};

/// The output of a command.
pub(super) struct CommandOutput {
    /// The printed JSON value, or an array if there are several (`listen` prints one for each event).
    pub(super) value: Value,
    pub(super) stderr: String,
}

pub(super) fn check(env: &TestEnvironment, peer: &Peer, record: &mut InteropRecord) {
    for era in peer.eras.iter().copied() {
        let who = format!(
            "carryall calls a server on the {}, {} era",
            peer.name,
            era.word()
        );
        for route in routes_of(peer, era) {
            let checks = || {
                CHECKS.iter().filter(|check| {
                    (check.applies)(route) && (!route.is_slow() || check.is_basic())
                })
            };
            let all = |record: &mut InteropRecord, result: &CheckOutcome| {
                checks().for_each(|check| record.add(&who, check.what, route, result.clone()));
            };
            let programs = match &peer.programs {
                Ok(programs) => programs,
                Err(why) => {
                    all(record, &CheckOutcome::NotRun(why.clone()));
                    continue;
                }
            };
            let (target, running) = match env.start_server(&programs.server, route) {
                Ok(found) => found,
                Err(why) => {
                    all(record, &CheckOutcome::Fail(why));
                    continue;
                }
            };
            for check in checks() {
                let result = judged(env, peer, (era, route), check, &target)
                    .map_or_else(CheckOutcome::Fail, CheckOutcome::Pass);
                let result = known_issues::classify(
                    PeerSide::Server,
                    peer.part,
                    era,
                    route,
                    check.what,
                    result,
                );
                record.add(&who, check.what, route, result);
            }
            if route.path() != "direct" {
                let ends = running
                    .end()
                    .map_or_else(CheckOutcome::Fail, |()| CheckOutcome::Pass(String::new()));
                record.add(&who, "up exits cleanly", route, ends);
            }
        }
    }
}

/// Returns the routes to test. `up` prefers the modern era, so servers of both eras are called
/// directly in the legacy era.
fn routes_of(peer: &Peer, era: ProtocolEra) -> Vec<Route> {
    let routes = Route::ALL.into_iter().chain(Route::SLOW);
    routes
        .filter(|route| route.path() == "direct" || !peer.both || era == ProtocolEra::Modern)
        .collect()
}

fn judged(
    env: &TestEnvironment,
    peer: &Peer,
    (era, route): (ProtocolEra, Route),
    check: &ServerCheck,
    target: &ClientTarget,
) -> CommandResult<String> {
    // The era of a server that supports only one must be detected.
    let era_option = if peer.both && era == ProtocolEra::Legacy {
        "legacy"
    } else {
        "auto"
    };
    let name = format!("{}-{}-{}", peer.part, era.word(), check.command);
    let run_command = |command: &str, args: &[&str], success: bool| {
        let mut all = vec![command, "--era", era_option];
        all.extend(args);
        run_command(env, &name, &all, target, success)
    };
    let before = match check.before {
        Some((command, args)) => run_command(command, args, true)?.value,
        None => Value::Null,
    };
    let found = run_command(check.command, check.args, check.success)?;
    let found = match check.after {
        Some((command, args)) => run_command(command, args, true)?,
        None => found,
    };
    (check.judge)(
        &found,
        &checks::Case {
            peer,
            era,
            through_up: route.path() != "direct",
            before,
        },
    )
}

/// Runs a command of `carryall` on a server. Fails unless the command succeeds or fails as expected.
pub(super) fn run_command(
    env: &TestEnvironment,
    name: &str,
    args: &[&str],
    target: &ClientTarget,
    success: bool,
) -> CommandResult<CommandOutput> {
    let ended = env.run(name, &env.carryall(&with_target(args, target)))?;
    let reason = last_line(&ended.stderr).to_owned();
    match ended.success {
        None => return Err(format!("timed out: {reason}")),
        Some(found) if found != success => return Err(format!("success: {found}; {reason}")),
        Some(_) => {}
    }
    Ok(CommandOutput {
        value: value(&ended)?,
        stderr: ended.stderr,
    })
}

/// Inserts the server into the arguments of a command: before the first positional argument, or at
/// the end.
fn with_target<'a>(args: &[&'a str], target: &'a ClientTarget) -> Vec<&'a str> {
    let mut all = vec![args[0]];
    match target {
        ClientTarget::Url(url) => {
            all.push(url);
            all.extend(&args[1..]);
        }
        ClientTarget::Command(command) => {
            all.extend(&args[1..]);
            all.push("--");
            all.extend(command.iter().map(String::as_str));
        }
    }
    all
}

fn value(ended: &ProgramOutcome) -> CommandResult<Value> {
    let values = serde_json::Deserializer::from_str(&ended.stdout).into_iter::<Value>();
    let mut found = values
        .collect::<Result<Vec<Value>, _>>()
        .map_err(|e| format!("the output is not JSON: {e}"))?;
    Ok(match found.len() {
        0 => Value::Null,
        1 => found.remove(0),
        _ => Value::Array(found),
    })
}

pub(super) fn same(found: &Value, wanted: impl Into<Value>) -> CommandResult<String> {
    let wanted = wanted.into();
    if *found == wanted {
        Ok(found.to_string())
    } else {
        Err(format!("expected {wanted}, found {found}"))
    }
}

/// Returns the value that a successful command printed.
pub(super) fn first(ended: &ProgramOutcome) -> CommandResult<Value> {
    if ended.success != Some(true) {
        return Err(format!(
            "success: {:?}; {}",
            ended.success,
            last_line(&ended.stderr)
        ));
    }
    serde_json::from_str(&ended.stdout).map_err(|e| format!("the output is not JSON: {e}"))
}
