//! The revisions before the last one of the old era. All clients but one insist on the last; the Go
//! SDK takes any.

use super::clients::{CHECKS, lines, result};
use super::peers::Peer;
use super::record::{InteropRecord, Result};
use super::transports::{Transport, Ways};

/// The SDK whose client is used.
const PART: &str = "go";
/// A revision, and the checks of what came after it. `list tools` looks for an output schema.
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

pub(super) fn check(ways: &Ways, every: &[Peer], record: &mut InteropRecord) {
    let Some(peer) = every.iter().find(|peer| peer.part == PART) else {
        return;
    };
    for (revision, later) in REVISIONS {
        let who = format!("{}'s client calls carryall, revision {revision}", peer.name);
        for way in [Transport::Http, Transport::Stdio] {
            let checks = || CHECKS.into_iter().filter(|what| !later.contains(what));
            let found = peer
                .programs
                .as_ref()
                .map(|programs| lines(ways, PART, &programs.client, revision, way));
            let (lines, trouble) = match found {
                Ok(found) => found.unwrap_or_else(|why| (Vec::new(), why)),
                Err(why) => {
                    checks()
                        .for_each(|what| record.add(&who, what, way, Result::NotRun(why.clone())));
                    continue;
                }
            };
            for what in checks() {
                record.add(&who, what, way, result(&lines, &trouble, what));
            }
        }
    }
}
