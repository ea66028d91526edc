//! Servers and clients on frameworks other than the official SDKs, and hosts as people install
//! them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::clients::last_line;
use super::peers::{Node, installed};
use super::record::{InteropRecord, Result};
use super::servers::{CommandOutput, ask, same};
use super::transports::{ClientTarget, Transport, Ways, with};
use crate::{CommandResult, files, npm, process};

const FASTMCP: &str = "fastmcp==4.1.2";
const MCP_GO: &str = "mcp-go@1.2.1";
const TOWER_MCP: &str = "tower-mcp@0.25.0";
const JAVA_SDK: &str = "io.modelcontextprotocol.sdk:mcp@2.1.0";
const CLAUDE_CODE: &str = "@anthropic-ai/claude-code@2.1.330";

/// A framework with the small server of ours on it.
struct Framework {
    name: &'static str,
    package: &'static str,
    /// Goes on with `http PORT` or `stdio`.
    server: CommandResult<Vec<String>>,
    http: bool,
    /// Whether its server asks the user, which in these frameworks only works with a handshake.
    asks: bool,
}

/// A command of `carryall`, and what it must print.
struct FrameworkCheck {
    what: &'static str,
    words: &'static [&'static str],
    judge: fn(&CommandOutput) -> CommandResult<String>,
}

const CHECKS: [FrameworkCheck; 4] = [
    FrameworkCheck {
        what: "discover",
        words: &["discover"],
        judge: era,
    },
    FrameworkCheck {
        what: "tools",
        words: &["tools"],
        judge: tools,
    },
    FrameworkCheck {
        what: "call",
        words: &["call", "echo", "text=grüß dich"],
        judge: |found| says(found, "grüß dich"),
    },
    FrameworkCheck {
        what: "call, structured",
        words: &["call", "add", "a=2", "b=40"],
        judge: |found| says(found, "42"),
    },
];

/// Asking works in the era with the handshake alone.
const ASKING: FrameworkCheck = FrameworkCheck {
    what: "call, elicitation",
    words: &[
        "call",
        "--answer",
        "date=2026-08-01",
        "--answer",
        "guests=4",
        "book_table",
        "restaurant=Noma",
    ],
    judge: |found| says(found, "A table for 4 at Noma on 2026-08-01."),
};

pub(super) fn check(
    ways: &Ways,
    dir: &Path,
    node: &CommandResult<Node>,
    no_build: bool,
    record: &mut InteropRecord,
) {
    let fastmcp = installed(&dir.join("fastmcp"), &[FASTMCP]);
    let frameworks = [
        Framework {
            name: "FastMCP",
            package: FASTMCP,
            server: fastmcp
                .clone()
                .map(|python| script(&python, "fastmcp_server.py")),
            http: true,
            asks: true,
        },
        Framework {
            name: "mcp-go",
            package: MCP_GO,
            server: mcp_go(dir, no_build),
            http: true,
            asks: true,
        },
        Framework {
            name: "the Java SDK",
            package: JAVA_SDK,
            server: java(dir, no_build),
            http: false,
            asks: true,
        },
        Framework {
            name: "tower-mcp",
            package: TOWER_MCP,
            server: tower_mcp(dir, no_build),
            http: true,
            asks: false,
        },
    ];
    for framework in &frameworks {
        serve(ways, framework, record);
    }
    fastmcp_client(ways, &fastmcp, record);
    claude_code(ways, dir, node, record);
}

fn serve(ways: &Ways, framework: &Framework, record: &mut InteropRecord) {
    let who = format!(
        "carryall calls a server on {} ({})",
        framework.name, framework.package
    );
    let of_http =
        |way: &Transport| framework.http || !matches!(way, Transport::Http | Transport::HttpUp);
    for way in Transport::ALL
        .into_iter()
        .chain(Transport::SLOW)
        .filter(of_http)
    {
        // The endpoint has to be told which era to take for what only one of them has.
        let sets: [(&str, &[FrameworkCheck]); 2] = [
            ("auto", &CHECKS),
            ("legacy", if framework.asks { &[ASKING] } else { &[] }),
        ];
        for (era, checks) in sets {
            let options: &[&str] = if era == "auto" { &[] } else { &["--era", era] };
            let ways = ways.with_up(options);
            let reached = framework
                .server
                .clone()
                .map(|server| ways.to_theirs(&server, way));
            let (target, running) = match reached {
                Ok(Ok(found)) => found,
                Ok(Err(why)) => {
                    checks.iter().for_each(|check| {
                        record.add(&who, check.what, way, Result::Fail(why.clone()))
                    });
                    continue;
                }
                Err(why) => {
                    checks.iter().for_each(|check| {
                        record.add(&who, check.what, way, Result::NotRun(why.clone()))
                    });
                    continue;
                }
            };
            for check in checks {
                let era = if way.path() == "direct" { era } else { "auto" };
                let words: Vec<&str> = [check.words[0], "--era", era]
                    .iter()
                    .chain(&check.words[1..])
                    .copied()
                    .collect();
                let found = ask(&ways, framework.name, &words, &target, true);
                let result = found
                    .and_then(|found| (check.judge)(&found))
                    .map_or_else(Result::Fail, Result::Pass);
                record.add(&who, check.what, way, result);
            }
            if way.path() != "direct" && era == "auto" {
                let ends = running
                    .end()
                    .map_or_else(Result::Fail, |()| Result::Pass(String::new()));
                record.add(&who, "up ends in good order", way, ends);
            }
        }
    }
}

fn era(found: &CommandOutput) -> CommandResult<String> {
    let era = &found.value["_meta"]["carryall/era"];
    if era["version"].is_string() {
        Ok(era.to_string())
    } else {
        Err(format!("no era in {}", found.value))
    }
}

fn tools(found: &CommandOutput) -> CommandResult<String> {
    let tools = found.value["tools"].as_array().ok_or("there is no list")?;
    match tools.iter().any(|tool| tool["name"] == "echo") {
        true => Ok(format!("{} tools", tools.len())),
        false => Err(format!("no echo: {}", found.value)),
    }
}

fn says(found: &CommandOutput, wanted: &str) -> CommandResult<String> {
    let text = found.value.to_string();
    if text.contains(wanted) {
        Ok(wanted.to_owned())
    } else {
        Err(format!("no {wanted:?} in {text}"))
    }
}

/// Its client against the demo, whose tools it calls by the way that it takes by itself.
fn fastmcp_client(ways: &Ways, python: &CommandResult<PathBuf>, record: &mut InteropRecord) {
    let who = format!("FastMCP's client calls carryall ({FASTMCP})");
    for way in Transport::ALL {
        let result = match python {
            Err(why) => Result::NotRun(why.clone()),
            Ok(python) => called(ways, python, way).map_or_else(Result::Fail, Result::Pass),
        };
        record.add(&who, "lists, calls, a header, elicitation", way, result);
    }
}

fn called(ways: &Ways, python: &Path, way: Transport) -> CommandResult<String> {
    let (target, running) = ways.to_demo(way)?;
    let client = script(python, "fastmcp_client.py");
    let words = match &target {
        ClientTarget::Url(url) => with(&client, &["http", url]),
        ClientTarget::Command(command) => with(&client, &["stdio"])
            .into_iter()
            .chain(command.iter().cloned())
            .collect(),
    };
    let ended = ways.run("fastmcp-client", &words);
    running.end()?;
    let ended = ended?;
    let found: Value = serde_json::from_str(ended.stdout.trim())
        .map_err(|_| format!("it failed: {}", last_line(&ended.stderr)))?;
    same(&found["sum"], 42)?;
    let booked = found["booked"].as_str().unwrap_or_default();
    if booked.starts_with("A table for 4 at Noma on 2026-08-01") {
        Ok(found.to_string())
    } else {
        Err(found.to_string())
    }
}

/// `claude mcp list` connects to each server that is configured, and says whether that worked.
fn claude_code(ways: &Ways, dir: &Path, node: &CommandResult<Node>, record: &mut InteropRecord) {
    let who = format!("Claude Code's mcp list meets carryall ({CLAUDE_CODE})");
    let place = dir.join("claude-code");
    let program = node.as_ref().map_err(Clone::clone).and_then(|_| {
        npm::install(&place, &[CLAUDE_CODE])?;
        Ok(place.join("node_modules/.bin/claude"))
    });
    for way in Transport::ALL {
        let result = match &program {
            Err(why) => Result::NotRun(why.clone()),
            Ok(program) => listed(ways, program, way).map_or_else(Result::Fail, Result::Pass),
        };
        record.add(&who, "connected", way, result);
    }
}

fn listed(ways: &Ways, program: &Path, way: Transport) -> CommandResult<String> {
    let (target, running) = ways.to_demo(way)?;
    let claude = [program.display().to_string()];
    let _ = ways.run(
        "claude-remove",
        &with(&claude, &["mcp", "remove", "--scope", "user", "carryall"]),
    );
    let add = with(&claude, &["mcp", "add", "--scope", "user"]);
    let add = match &target {
        ClientTarget::Url(url) => with(&add, &["--transport", "http", "carryall", url]),
        ClientTarget::Command(command) => with(&add, &["carryall", "--"])
            .into_iter()
            .chain(command.iter().cloned())
            .collect(),
    };
    let added = ways.run("claude-add", &add)?;
    let list = ways.run("claude-list", &with(&claude, &["mcp", "list"]));
    running.end()?;
    let list = list?;
    let line = list
        .stdout
        .lines()
        .find(|line| line.starts_with("carryall"));
    match line {
        Some(line) if line.contains("Connected") => Ok("Connected".to_owned()),
        Some(line) => Err(line.to_owned()),
        None => Err(format!(
            "{} {}",
            last_line(&added.stderr),
            last_line(&list.stderr)
        )),
    }
}

fn script(python: &Path, name: &str) -> Vec<String> {
    [python, Path::new("-B"), &ours(name)]
        .iter()
        .map(|path| path.display().to_string())
        .collect()
}

/// Where the programs are that we wrote on the frameworks.
fn ours(what: &str) -> PathBuf {
    files::root().join("interop/frameworks").join(what)
}

fn mcp_go(dir: &Path, no_build: bool) -> CommandResult<Vec<String>> {
    let program = dir.join("mcp-go/server");
    if !process::exists("go") {
        return Err("go is not installed".to_owned());
    }
    if !no_build {
        let mut command = Command::new("go");
        command
            .current_dir(ours("mcp-go"))
            .args(["build", "-mod=readonly", "-o"])
            .arg(&program);
        process::run(command.arg("."))?;
    }
    Ok(vec![program.display().to_string()])
}

fn tower_mcp(dir: &Path, no_build: bool) -> CommandResult<Vec<String>> {
    let target = dir.join("tower-mcp");
    if !no_build {
        let mut command = process::cargo();
        command
            .args(["build", "--quiet", "--locked", "--manifest-path"])
            .arg(ours("tower-mcp/Cargo.toml"));
        process::run(
            command
                .arg("--target-dir")
                .arg(&target)
                .env_remove("CARGO_TARGET_DIR"),
        )?;
    }
    Ok(vec![
        target.join("debug/interop-tower-mcp").display().to_string(),
    ])
}

fn java(dir: &Path, no_build: bool) -> CommandResult<Vec<String>> {
    if let Some(missing) = ["java", "javac", "mvn"]
        .into_iter()
        .find(|program| !process::exists(program))
    {
        return Err(format!("{missing} is not installed"));
    }
    let place = dir.join("java");
    let path = place.join("classpath");
    if !no_build || !path.exists() {
        fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
        let mut maven = Command::new("mvn");
        maven
            .args(["-q", "-f"])
            .arg(ours("java/pom.xml"))
            .arg("dependency:build-classpath");
        process::run(maven.arg(format!("-Dmdep.outputFile={}", path.display())))?;
        let mut javac = Command::new("javac");
        javac
            .args(["-nowarn", "-cp", files::read(&path)?.trim(), "-d"])
            .arg(&place)
            .arg(ours("java/Server.java"));
        process::run(&mut javac)?;
    }
    let classes = format!("{}:{}", place.display(), files::read(&path)?.trim());
    Ok(["java", "-cp", &classes, "Server"]
        .map(str::to_owned)
        .to_vec())
}
