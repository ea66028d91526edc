//! Servers and clients on frameworks other than the official SDKs, and published hosts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::clients::last_line;
use super::peers::{NodeRuntime, installed};
use super::record::{CheckOutcome, InteropRecord};
use super::routes::{ClientTarget, Route, TestEnvironment, with};
use super::servers::{CommandOutput, run_command, same};
use crate::{CommandResult, files, npm, process};

const FASTMCP: &str = "fastmcp==4.1.2";
const MCP_GO: &str = "mcp-go@1.2.1";
const TOWER_MCP: &str = "tower-mcp@0.25.0";
const JAVA_SDK: &str = "io.modelcontextprotocol.sdk:mcp@2.1.0";
const CLAUDE_CODE: &str = "@anthropic-ai/claude-code@2.1.330";

/// A framework, and our small server built with it.
struct Framework {
    name: &'static str,
    package: &'static str,
    /// The command line, to be followed by `http PORT` or `stdio`.
    server: CommandResult<Vec<String>>,
    http: bool,
    /// Whether its server elicits input, which these frameworks support in the legacy era only.
    elicits: bool,
}

/// A command of `carryall` and a check of its output.
struct FrameworkCheck {
    what: &'static str,
    args: &'static [&'static str],
    judge: fn(&CommandOutput) -> CommandResult<String>,
}

const CHECKS: [FrameworkCheck; 4] = [
    FrameworkCheck {
        what: "discover",
        args: &["discover"],
        judge: era,
    },
    FrameworkCheck {
        what: "tools",
        args: &["tools"],
        judge: tools,
    },
    FrameworkCheck {
        what: "call",
        args: &["call", "echo", "text=grüß dich"],
        judge: |found| contains_text(found, "grüß dich"),
    },
    FrameworkCheck {
        what: "call, structured",
        args: &["call", "add", "a=2", "b=40"],
        judge: |found| contains_text(found, "42"),
    },
];

/// These frameworks support elicitation in the legacy era only.
const ELICITATION_CHECK: FrameworkCheck = FrameworkCheck {
    what: "call, elicitation",
    args: &[
        "call",
        "--answer",
        "date=2026-08-01",
        "--answer",
        "guests=4",
        "book_table",
        "restaurant=Noma",
    ],
    judge: |found| contains_text(found, "A table for 4 at Noma on 2026-08-01."),
};

pub(super) fn check(
    env: &TestEnvironment,
    dir: &Path,
    node: &CommandResult<NodeRuntime>,
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
            elicits: true,
        },
        Framework {
            name: "mcp-go",
            package: MCP_GO,
            server: mcp_go(dir, no_build),
            http: true,
            elicits: true,
        },
        Framework {
            name: "the Java SDK",
            package: JAVA_SDK,
            server: java(dir, no_build),
            http: false,
            elicits: true,
        },
        Framework {
            name: "tower-mcp",
            package: TOWER_MCP,
            server: tower_mcp(dir, no_build),
            http: true,
            elicits: false,
        },
    ];
    for framework in &frameworks {
        serve(env, framework, record);
    }
    fastmcp_client(env, &fastmcp, record);
    claude_code(env, dir, node, record);
}

fn serve(env: &TestEnvironment, framework: &Framework, record: &mut InteropRecord) {
    let who = format!(
        "carryall calls a server on {} ({})",
        framework.name, framework.package
    );
    let is_supported =
        |route: &Route| framework.http || !matches!(route, Route::Http | Route::HttpUp);
    for route in Route::ALL
        .into_iter()
        .chain(Route::SLOW)
        .filter(is_supported)
    {
        // Checks of features of one era need `--era` on the endpoint.
        let sets: [(&str, &[FrameworkCheck]); 2] = [
            ("auto", &CHECKS),
            (
                "legacy",
                if framework.elicits {
                    &[ELICITATION_CHECK]
                } else {
                    &[]
                },
            ),
        ];
        for (era, checks) in sets {
            let options: &[&str] = if era == "auto" { &[] } else { &["--era", era] };
            let env = env.with_up(options);
            let reached = framework
                .server
                .clone()
                .map(|server| env.start_server(&server, route));
            let (target, running) = match reached {
                Ok(Ok(found)) => found,
                Ok(Err(why)) => {
                    checks.iter().for_each(|check| {
                        record.add(&who, check.what, route, CheckOutcome::Fail(why.clone()))
                    });
                    continue;
                }
                Err(why) => {
                    checks.iter().for_each(|check| {
                        record.add(&who, check.what, route, CheckOutcome::NotRun(why.clone()))
                    });
                    continue;
                }
            };
            for check in checks {
                let era = if route.path() == "direct" {
                    era
                } else {
                    "auto"
                };
                let args: Vec<&str> = [check.args[0], "--era", era]
                    .iter()
                    .chain(&check.args[1..])
                    .copied()
                    .collect();
                let found = run_command(&env, framework.name, &args, &target, true);
                let result = found
                    .and_then(|found| (check.judge)(&found))
                    .map_or_else(CheckOutcome::Fail, CheckOutcome::Pass);
                record.add(&who, check.what, route, result);
            }
            if route.path() != "direct" && era == "auto" {
                let ends = running
                    .end()
                    .map_or_else(CheckOutcome::Fail, |()| CheckOutcome::Pass(String::new()));
                record.add(&who, "up exits cleanly", route, ends);
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
    let tools = found.value["tools"].as_array().ok_or("no list of tools")?;
    match tools.iter().any(|tool| tool["name"] == "echo") {
        true => Ok(format!("{} tools", tools.len())),
        false => Err(format!("no echo: {}", found.value)),
    }
}

fn contains_text(found: &CommandOutput, wanted: &str) -> CommandResult<String> {
    let text = found.value.to_string();
    if text.contains(wanted) {
        Ok(wanted.to_owned())
    } else {
        Err(format!("no {wanted:?} in {text}"))
    }
}

/// Runs the FastMCP client against the demo, with the protocol version that it negotiates.
fn fastmcp_client(
    env: &TestEnvironment,
    python: &CommandResult<PathBuf>,
    record: &mut InteropRecord,
) {
    let who = format!("FastMCP's client calls carryall ({FASTMCP})");
    for route in Route::ALL {
        let result = match python {
            Err(why) => CheckOutcome::NotRun(why.clone()),
            Ok(python) => run_fastmcp_client(env, python, route)
                .map_or_else(CheckOutcome::Fail, CheckOutcome::Pass),
        };
        record.add(&who, "lists, calls, a header, elicitation", route, result);
    }
}

fn run_fastmcp_client(env: &TestEnvironment, python: &Path, route: Route) -> CommandResult<String> {
    let (target, running) = env.start_demo(route)?;
    let client = script(python, "fastmcp_client.py");
    let args = match &target {
        ClientTarget::Url(url) => with(&client, &["http", url]),
        ClientTarget::Command(command) => with(&client, &["stdio"])
            .into_iter()
            .chain(command.iter().cloned())
            .collect(),
    };
    let ended = env.run("fastmcp-client", &args);
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

/// Runs `claude mcp list`, which connects to each configured server and prints the result.
fn claude_code(
    env: &TestEnvironment,
    dir: &Path,
    node: &CommandResult<NodeRuntime>,
    record: &mut InteropRecord,
) {
    let who = format!("Claude Code's mcp list connects to carryall ({CLAUDE_CODE})");
    let install_dir = dir.join("claude-code");
    let program = node.as_ref().map_err(Clone::clone).and_then(|_| {
        npm::install(&install_dir, &[CLAUDE_CODE])?;
        Ok(install_dir.join("node_modules/.bin/claude"))
    });
    for route in Route::ALL {
        let result = match &program {
            Err(why) => CheckOutcome::NotRun(why.clone()),
            Ok(program) => claude_mcp_list(env, program, route)
                .map_or_else(CheckOutcome::Fail, CheckOutcome::Pass),
        };
        record.add(&who, "connected", route, result);
    }
}

fn claude_mcp_list(env: &TestEnvironment, program: &Path, route: Route) -> CommandResult<String> {
    let (target, running) = env.start_demo(route)?;
    let claude = [program.display().to_string()];
    let _ = env.run(
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
    let added = env.run("claude-add", &add)?;
    let list = env.run("claude-list", &with(&claude, &["mcp", "list"]));
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
    [python, Path::new("-B"), &source(name)]
        .iter()
        .map(|path| path.display().to_string())
        .collect()
}

/// Returns the path of a program in `interop/frameworks`.
fn source(name: &str) -> PathBuf {
    files::root().join("interop/frameworks").join(name)
}

fn mcp_go(dir: &Path, no_build: bool) -> CommandResult<Vec<String>> {
    let program = dir.join("mcp-go/server");
    if !process::exists("go") {
        return Err("go is not installed".to_owned());
    }
    if !no_build {
        let mut command = Command::new("go");
        command
            .current_dir(source("mcp-go"))
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
            .arg(source("tower-mcp/Cargo.toml"));
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
    let install_dir = dir.join("java");
    let path = install_dir.join("classpath");
    if !no_build || !path.exists() {
        fs::create_dir_all(&install_dir)
            .map_err(|error| format!("{}: {error}", install_dir.display()))?;
        let mut maven = Command::new("mvn");
        maven
            .args(["-q", "-f"])
            .arg(source("java/pom.xml"))
            .arg("dependency:build-classpath");
        process::run(maven.arg(format!("-Dmdep.outputFile={}", path.display())))?;
        let mut javac = Command::new("javac");
        javac
            .args(["-nowarn", "-cp", files::read(&path)?.trim(), "-d"])
            .arg(&install_dir)
            .arg(source("java/Server.java"));
        process::run(&mut javac)?;
    }
    let classes = format!("{}:{}", install_dir.display(), files::read(&path)?.trim());
    Ok(["java", "-cp", &classes, "Server"]
        .map(str::to_owned)
        .to_vec())
}
