//! Servers on all the SDKs behind one `carryall up`.

use serde_json::{Value, json};

use super::peers::Peer;
use super::record::{InteropRecord, Result};
use super::servers::{first, same};
use super::transports::{ClientTarget, Transport, Ways};
use crate::CommandResult;

const WHO: &str = "carryall calls the servers on all SDKs behind one up";
/// How many tools each server has.
const TOOLS: usize = 12;
/// Asks the endpoint, and says what it found or what is wrong with it.
type EndpointCheck = fn(&Ways, &[Peer], &str) -> CommandResult<String>;

const CHECKS: [(&str, EndpointCheck); 4] = [
    ("tools of all", tools),
    ("call each", call),
    ("prompt of each", prompt),
    ("discover", discover),
];

pub(super) fn check(ways: &Ways, every: &[Peer], record: &mut InteropRecord) {
    let way = Transport::Both;
    let mut servers = Vec::new();
    for peer in every {
        match &peer.programs {
            Ok(programs) => servers.push((peer.part, programs.server.as_slice())),
            Err(why) => {
                CHECKS
                    .iter()
                    .for_each(|(what, _)| record.add(WHO, what, way, Result::NotRun(why.clone())));
                return;
            }
        }
    }
    let (target, running) = match ways.to_all(&servers) {
        Ok(found) => found,
        Err(why) => {
            CHECKS
                .iter()
                .for_each(|(what, _)| record.add(WHO, what, way, Result::Fail(why.clone())));
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
            way,
            judge(ways, every, &url).map_or_else(Result::Fail, Result::Pass),
        );
    }
    let ends = running
        .end()
        .map_or_else(Result::Fail, |()| Result::Pass(String::new()));
    record.add(WHO, "up ends in good order", way, ends);
}

fn tools(ways: &Ways, every: &[Peer], url: &str) -> CommandResult<String> {
    let found = ask(ways, &["tools", url])?;
    let tools = found["tools"].as_array().ok_or("there is no list")?;
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

fn call(ways: &Ways, every: &[Peer], url: &str) -> CommandResult<String> {
    for peer in every {
        let found = ask(
            ways,
            &["call", url, &format!("{}__add", peer.part), "a=2", "b=40"],
        )?;
        same(&found["structuredContent"], json!({"sum": 42}))?;
        // A server should say in each result who it is; rmcp does not, but nobody may say another's
        // name.
        let info = &found["_meta"]["io.modelcontextprotocol/serverInfo"];
        if !info.is_null() {
            same(&info["name"], peer.server_name())?;
        }
    }
    Ok("each answers, none under the name of another".to_owned())
}

fn prompt(ways: &Ways, every: &[Peer], url: &str) -> CommandResult<String> {
    for peer in every {
        let found = ask(
            ways,
            &["prompt", url, &format!("{}__greet", peer.part), "name=Ada"],
        )?;
        same(
            &found["messages"][0]["content"]["text"],
            "Write a friendly greeting to Ada, in English.",
        )?;
    }
    Ok("each answers".to_owned())
}

fn discover(ways: &Ways, every: &[Peer], url: &str) -> CommandResult<String> {
    let found = ask(ways, &["discover", url])?;
    let told = found["instructions"].as_str().unwrap_or_default();
    match every
        .iter()
        .find(|peer| !told.contains(&format!("{}__", peer.part)))
    {
        None => same(
            &found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
            "carryall",
        ),
        Some(peer) => Err(format!(
            "the instructions do not speak of {}__: {told}",
            peer.part
        )),
    }
}

fn ask(ways: &Ways, words: &[&str]) -> CommandResult<Value> {
    first(&ways.run(&format!("together-{}", words[0]), &ways.ours(words))?)
}
