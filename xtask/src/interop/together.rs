//! Servers of all SDKs behind one `carryall up`.

use serde_json::{Value, json};

use super::peers::Peer;
use super::record::{CheckOutcome, InteropRecord};
use super::routes::{ClientTarget, Route, TestEnvironment};
use super::servers::{first, same};
use crate::CommandResult;

const WHO: &str = "carryall calls the servers on all SDKs behind one up";
/// Number of tools of each server.
const TOOLS: usize = 12;
/// Checks the endpoint. Returns what was found, or what is wrong.
type EndpointCheck = fn(&TestEnvironment, &[Peer], &str) -> CommandResult<String>;

const CHECKS: [(&str, EndpointCheck); 4] = [
    ("tools of all", tools),
    ("call each", call),
    ("prompt of each", prompt),
    ("discover", discover),
];

pub(super) fn check(env: &TestEnvironment, every: &[Peer], record: &mut InteropRecord) {
    let route = Route::Both;
    let mut servers = Vec::new();
    for peer in every {
        match &peer.programs {
            Ok(programs) => servers.push((peer.part, programs.server.as_slice())),
            Err(why) => {
                CHECKS.iter().for_each(|(what, _)| {
                    record.add(WHO, what, route, CheckOutcome::NotRun(why.clone()))
                });
                return;
            }
        }
    }
    let (target, running) = match env.start_all(&servers) {
        Ok(found) => found,
        Err(why) => {
            CHECKS.iter().for_each(|(what, _)| {
                record.add(WHO, what, route, CheckOutcome::Fail(why.clone()))
            });
            return;
        }
    };
    let ClientTarget::Url(url) = target else {
        return;
    };
    for (what, judge) in CHECKS {
        record.add(
            WHO,
            what,
            route,
            judge(env, every, &url).map_or_else(CheckOutcome::Fail, CheckOutcome::Pass),
        );
    }
    let ends = running
        .end()
        .map_or_else(CheckOutcome::Fail, |()| CheckOutcome::Pass(String::new()));
    record.add(WHO, "up exits cleanly", route, ends);
}

fn tools(env: &TestEnvironment, every: &[Peer], url: &str) -> CommandResult<String> {
    let found = run_command(env, &["tools", url])?;
    let tools = found["tools"].as_array().ok_or("no list of tools")?;
    let mut names: Vec<&str> = tools
        .iter()
        .filter_map(|tool| tool["name"].as_str())
        .collect();
    names.sort_unstable();
    for peer in every {
        let own = names
            .iter()
            .filter(|name| name.starts_with(&format!("{}__", peer.part)))
            .count();
        if own != TOOLS {
            return Err(format!("{own} tools of {}: {names:?}", peer.part));
        }
    }
    if names.len() == TOOLS * every.len() {
        Ok(format!("{} tools", names.len()))
    } else {
        Err(format!("found {names:?}"))
    }
}

fn call(env: &TestEnvironment, every: &[Peer], url: &str) -> CommandResult<String> {
    for peer in every {
        let found = run_command(
            env,
            &["call", url, &format!("{}__add", peer.part), "a=2", "b=40"],
        )?;
        same(&found["structuredContent"], json!({"sum": 42}))?;
        // Servers should set `serverInfo` on each result. rmcp does not, but a wrong name is an
        // error.
        let info = &found["_meta"]["io.modelcontextprotocol/serverInfo"];
        if !info.is_null() {
            same(&info["name"], peer.server_name())?;
        }
    }
    Ok("each answers under its own name".to_owned())
}

fn prompt(env: &TestEnvironment, every: &[Peer], url: &str) -> CommandResult<String> {
    for peer in every {
        let found = run_command(
            env,
            &["prompt", url, &format!("{}__greet", peer.part), "name=Ada"],
        )?;
        same(
            &found["messages"][0]["content"]["text"],
            "Write a friendly greeting to Ada, in English.",
        )?;
    }
    Ok("each answers".to_owned())
}

fn discover(env: &TestEnvironment, every: &[Peer], url: &str) -> CommandResult<String> {
    let found = run_command(env, &["discover", url])?;
    let instructions = found["instructions"].as_str().unwrap_or_default();
    match every
        .iter()
        .find(|peer| !instructions.contains(&format!("{}__", peer.part)))
    {
        None => same(
            &found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
            "carryall",
        ),
        Some(peer) => Err(format!(
            "the instructions do not mention {}__: {instructions}",
            peer.part
        )),
    }
}

fn run_command(env: &TestEnvironment, args: &[&str]) -> CommandResult<Value> {
    first(&env.run(&format!("together-{}", args[0]), &env.carryall(args))?)
}
