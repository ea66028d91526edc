//! The Inspector's command line against our demo.

use std::path::Path;

use super::peers::{Node, inspector};
use super::record::{InteropRecord, Result};
use super::servers::first;
use super::transports::{ClientTarget, Transport, Ways, with};
use crate::CommandResult;

/// A method with its arguments, where to look in the result, and how the text found there begins.
struct InspectorCheck {
    what: &'static str,
    words: &'static [&'static str],
    pointer: &'static str,
    begins: &'static str,
}

const CHECKS: [InspectorCheck; 7] = [
    InspectorCheck {
        what: "tools/list",
        words: &["--method", "tools/list"],
        pointer: "/tools/0/name",
        begins: "add",
    },
    InspectorCheck {
        what: "tools/call whoami",
        words: &["--method", "tools/call", "--tool-name", "whoami"],
        pointer: "/content/0/text",
        begins: "replica ",
    },
    InspectorCheck {
        what: "tools/call add, structured output",
        words: &[
            "--method",
            "tools/call",
            "--tool-name",
            "add",
            "--tool-arg",
            "a=2",
            "b=40",
        ],
        pointer: "/structuredContent/sum",
        begins: "42",
    },
    InspectorCheck {
        what: "resources/list",
        words: &["--method", "resources/list"],
        pointer: "/resources/0/uri",
        begins: "demo://",
    },
    InspectorCheck {
        what: "resources/read",
        words: &[
            "--method",
            "resources/read",
            "--uri",
            "demo://capitals/norway",
        ],
        pointer: "/contents/0/text",
        begins: "Oslo",
    },
    InspectorCheck {
        what: "prompts/list",
        words: &["--method", "prompts/list"],
        pointer: "/prompts/0/name",
        begins: "explain_demo",
    },
    InspectorCheck {
        what: "prompts/get",
        words: &[
            "--method",
            "prompts/get",
            "--prompt-name",
            "greet",
            "--prompt-args",
            "name=Ada",
        ],
        pointer: "/messages/0/content/text",
        begins: "Write a friendly greeting to Ada",
    },
];

/// What it takes for `--protocol-era`.
const ERAS: [&str; 3] = ["legacy", "auto", "modern"];

pub(super) fn check(
    ways: &Ways,
    dir: &Path,
    node: &CommandResult<Node>,
    record: &mut InteropRecord,
) {
    for era in ERAS {
        let who = format!("The Inspector's --cli calls carryall, era {era}");
        for way in Transport::ALL {
            let all = |record: &mut InteropRecord, result: &Result| {
                CHECKS
                    .iter()
                    .for_each(|check| record.add(&who, check.what, way, result.clone()));
            };
            let start = match node {
                Ok(node) => inspector(dir, node),
                Err(why) => {
                    all(record, &Result::NotRun(why.clone()));
                    continue;
                }
            };
            let (target, running) = match ways.to_demo(way) {
                Ok(found) => found,
                Err(why) => {
                    all(record, &Result::Fail(why));
                    continue;
                }
            };
            for check in &CHECKS {
                let result = judged(ways, &start, era, check, &target)
                    .map_or_else(Result::Fail, Result::Pass);
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

fn judged(
    ways: &Ways,
    start: &[String],
    era: &str,
    check: &InspectorCheck,
    target: &ClientTarget,
) -> CommandResult<String> {
    let target = match target {
        ClientTarget::Url(url) => vec!["--server-url", url, "--transport", "http"],
        // A command goes first; what it does not end with are options of the Inspector.
        ClientTarget::Command(command) => command.iter().map(String::as_str).collect(),
    };
    let start = with(&with(start, &["--cli"]), &target);
    let words = with(
        &with(&start, &["--protocol-era", era, "--format", "json"]),
        check.words,
    );
    let ended = ways.run(&format!("inspector-{era}"), &words)?;
    let found = first(&ended)?;
    let place = found["result"]
        .pointer(check.pointer)
        .ok_or_else(|| format!("no {} in the result", check.pointer))?;
    let text = place
        .as_str()
        .map_or_else(|| place.to_string(), str::to_owned);
    if text.starts_with(check.begins) {
        Ok(text)
    } else {
        Err(format!("{text:?} instead of {:?}", check.begins))
    }
}
