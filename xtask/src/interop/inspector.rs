//! The command line of the Inspector against our demo.

use std::path::Path;

use super::peers::{NodeRuntime, inspector};
use super::record::{CheckOutcome, InteropRecord};
use super::routes::{ClientTarget, Route, TestEnvironment, with};
use super::servers::first;
use crate::CommandResult;

/// A method with its arguments, a JSON pointer into the result, and the expected prefix of the text
/// there.
struct InspectorCheck {
    what: &'static str,
    args: &'static [&'static str],
    pointer: &'static str,
    begins: &'static str,
}

const CHECKS: [InspectorCheck; 7] = [
    InspectorCheck {
        what: "tools/list",
        args: &["--method", "tools/list"],
        pointer: "/tools/0/name",
        begins: "add",
    },
    InspectorCheck {
        what: "tools/call whoami",
        args: &["--method", "tools/call", "--tool-name", "whoami"],
        pointer: "/content/0/text",
        begins: "replica ",
    },
    InspectorCheck {
        what: "tools/call add, structured output",
        args: &[
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
        args: &["--method", "resources/list"],
        pointer: "/resources/0/uri",
        begins: "demo://",
    },
    InspectorCheck {
        what: "resources/read",
        args: &[
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
        args: &["--method", "prompts/list"],
        pointer: "/prompts/0/name",
        begins: "explain_demo",
    },
    InspectorCheck {
        what: "prompts/get",
        args: &[
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

/// The values of `--protocol-era`.
const ERAS: [&str; 3] = ["legacy", "auto", "modern"];

pub(super) fn check(
    env: &TestEnvironment,
    dir: &Path,
    node: &CommandResult<NodeRuntime>,
    record: &mut InteropRecord,
) {
    for era in ERAS {
        let who = format!("The Inspector's --cli calls carryall, era {era}");
        for route in Route::ALL {
            let all = |record: &mut InteropRecord, result: &CheckOutcome| {
                CHECKS
                    .iter()
                    .for_each(|check| record.add(&who, check.what, route, result.clone()));
            };
            let start = match node {
                Ok(node) => inspector(dir, node),
                Err(why) => {
                    all(record, &CheckOutcome::NotRun(why.clone()));
                    continue;
                }
            };
            let (target, running) = match env.start_demo(route) {
                Ok(found) => found,
                Err(why) => {
                    all(record, &CheckOutcome::Fail(why));
                    continue;
                }
            };
            for check in &CHECKS {
                let result = judged(env, &start, era, check, &target)
                    .map_or_else(CheckOutcome::Fail, CheckOutcome::Pass);
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

fn judged(
    env: &TestEnvironment,
    start: &[String],
    era: &str,
    check: &InspectorCheck,
    target: &ClientTarget,
) -> CommandResult<String> {
    let target = match target {
        ClientTarget::Url(url) => vec!["--server-url", url, "--transport", "http"],
        // A command comes first, followed by the options of the Inspector.
        ClientTarget::Command(command) => command.iter().map(String::as_str).collect(),
    };
    let start = with(&with(start, &["--cli"]), &target);
    let args = with(
        &with(&start, &["--protocol-era", era, "--format", "json"]),
        check.args,
    );
    let ended = env.run(&format!("inspector-{era}"), &args)?;
    let found = first(&ended)?;
    let value = found["result"]
        .pointer(check.pointer)
        .ok_or_else(|| format!("no {} in the result", check.pointer))?;
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    if text.starts_with(check.begins) {
        Ok(text)
    } else {
        Err(format!("{text:?} instead of {:?}", check.begins))
    }
}
