//! The legacy revisions before the last one. Only the Go SDK can request them; the other clients
//! always request the last.

use super::clients::{CHECKS, lines, result};
use super::peers::Peer;
use super::record::{CheckOutcome, InteropRecord};
use super::routes::{Route, TestEnvironment};

/// The SDK whose client is used.
const PART: &str = "go";
/// A revision, and the checks of features added later. `list tools` checks an output schema.
const REVISIONS: [(&str, &[&str]); 3] = [
    ("2025-06-18", &[]),
    (
        "2025-03-26",
        &["list tools", "call, structured output", "elicitation"],
    ),
    (
        "2024-11-05",
        &[
            "list tools",
            "call, structured output",
            "elicitation",
            "progress notifications",
        ],
    ),
];

pub(super) fn check(env: &TestEnvironment, every: &[Peer], record: &mut InteropRecord) {
    let Some(peer) = every.iter().find(|peer| peer.part == PART) else {
        return;
    };
    for (revision, later) in REVISIONS {
        let who = format!("{}'s client calls carryall, revision {revision}", peer.name);
        for route in [Route::Http, Route::Stdio] {
            let checks = || CHECKS.into_iter().filter(|what| !later.contains(what));
            let found = peer
                .programs
                .as_ref()
                .map(|programs| lines(env, PART, &programs.client, revision, route));
            let (lines, trouble) = match found {
                Ok(found) => found.unwrap_or_else(|why| (Vec::new(), why)),
                Err(why) => {
                    checks().for_each(|what| {
                        record.add(&who, what, route, CheckOutcome::NotRun(why.clone()))
                    });
                    continue;
                }
            };
            for what in checks() {
                record.add(&who, what, route, result(&lines, &trouble, what));
            }
        }
    }
}
