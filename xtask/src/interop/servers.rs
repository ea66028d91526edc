//! `carryall` against servers that others wrote.

mod checks;

use serde_json::Value;

use super::clients::last_line;
use super::peers::Peer;
use super::record::{InteropRecord, Result};
use super::shortfalls::{self, PeerSide};
use super::transports::{ClientTarget, ProgramOutcome, ProtocolEra, Transport, Ways};
use crate::CommandResult;
use checks::{CHECKS, ServerCheck};

/// What a command printed.
pub(super) struct CommandOutput {
    /// Its one value; of several (`listen` prints one for each event) a list.
    pub(super) value: Value,
    pub(super) stderr: String,
}

pub(super) fn check(ways: &Ways, peer: &Peer, record: &mut InteropRecord) {
    for era in peer.eras.iter().copied() {
        let who = format!(
            "carryall calls a server on the {}, {} era",
            peer.name,
            era.word()
        );
        for way in ways_of(peer, era) {
            let checks = || {
                CHECKS
                    .iter()
                    .filter(|check| (check.where_)(way) && (!way.is_slow() || check.is_basic()))
            };
            let all = |record: &mut InteropRecord, result: &Result| {
                checks().for_each(|check| record.add(&who, check.what, way, result.clone()));
            };
            let programs = match &peer.programs {
                Ok(programs) => programs,
                Err(why) => {
                    all(record, &Result::NotRun(why.clone()));
                    continue;
                }
            };
            let (target, running) = match ways.to_theirs(&programs.server, way) {
                Ok(found) => found,
                Err(why) => {
                    all(record, &Result::Fail(why));
                    continue;
                }
            };
            for check in checks() {
                let result = judged(ways, peer, (era, way), check, &target)
                    .map_or_else(Result::Fail, Result::Pass);
                let result =
                    shortfalls::of(PeerSide::Server, peer.part, era, way, check.what, result);
                record.add(&who, check.what, way, result);
            }
            if way.path() != "direct" {
                let ends = running
                    .end()
                    .map_or_else(Result::Fail, |()| Result::Pass(String::new()));
                record.add(&who, "up ends in good order", way, ends);
            }
        }
    }
}

/// `up` finds out which era a server is of, and prefers the new one: a server of both is called in
/// the old era directly.
fn ways_of(peer: &Peer, era: ProtocolEra) -> Vec<Transport> {
    let ways = Transport::ALL.into_iter().chain(Transport::SLOW);
    ways.filter(|way| way.path() == "direct" || !peer.both || era == ProtocolEra::Modern)
        .collect()
}

fn judged(
    ways: &Ways,
    peer: &Peer,
    (era, way): (ProtocolEra, Transport),
    check: &ServerCheck,
    target: &ClientTarget,
) -> CommandResult<String> {
    // Which era a server is of that knows only one must be found out.
    let era_option = if peer.both && era == ProtocolEra::Legacy {
        "legacy"
    } else {
        "auto"
    };
    let name = format!("{}-{}-{}", peer.part, era.word(), check.command);
    let ask = |command: &str, words: &[&str], success: bool| {
        let mut all = vec![command, "--era", era_option];
        all.extend(words);
        ask(ways, &name, &all, target, success)
    };
    let before = match check.before {
        Some((command, words)) => ask(command, words, true)?.value,
        None => Value::Null,
    };
    let found = ask(check.command, check.words, check.success)?;
    let found = match check.after {
        Some((command, words)) => ask(command, words, true)?,
        None => found,
    };
    (check.judge)(
        &found,
        &checks::Case {
            peer,
            era,
            through_up: way.path() != "direct",
            before,
        },
    )
}

/// Runs a command of `carryall` on a server, which must end as it says.
pub(super) fn ask(
    ways: &Ways,
    name: &str,
    words: &[&str],
    target: &ClientTarget,
    success: bool,
) -> CommandResult<CommandOutput> {
    let ended = ways.run(name, &ways.ours(&at(words, target)))?;
    let said = last_line(&ended.stderr).to_owned();
    match ended.success {
        None => return Err(format!("it did not end: {said}")),
        Some(found) if found != success => return Err(format!("success: {found}; {said}")),
        Some(_) => {}
    }
    Ok(CommandOutput {
        value: value(&ended)?,
        stderr: ended.stderr,
    })
}

/// The words of a command with the server that it is for: before the words that are not options, or
/// at the end.
fn at<'a>(words: &[&'a str], target: &'a ClientTarget) -> Vec<&'a str> {
    let mut all = vec![words[0]];
    match target {
        ClientTarget::Url(url) => {
            all.push(url);
            all.extend(&words[1..]);
        }
        ClientTarget::Command(command) => {
            all.extend(&words[1..]);
            all.push("--");
            all.extend(command.iter().map(String::as_str));
        }
    }
    all
}

fn value(ended: &ProgramOutcome) -> CommandResult<Value> {
    let values = serde_json::Deserializer::from_str(&ended.stdout).into_iter::<Value>();
    let mut found = values
        .collect::<std::result::Result<Vec<Value>, _>>()
        .map_err(|e| format!("the output is no JSON: {e}"))?;
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
        Err(format!("{found} instead of {wanted}"))
    }
}

/// The one value that a command printed which succeeded.
pub(super) fn first(ended: &ProgramOutcome) -> CommandResult<Value> {
    if ended.success != Some(true) {
        return Err(format!(
            "success: {:?}; {}",
            ended.success,
            last_line(&ended.stderr)
        ));
    }
    serde_json::from_str(&ended.stdout).map_err(|e| format!("the output is no JSON: {e}"))
}
