//! Published servers, unmodified, listed and called with `carryall`.

mod page;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::peers::{self, NodeRuntime};
use super::record::{CheckOutcome, InteropRecord};
use super::routes::{ClientTarget, Route, TestEnvironment, with};
use super::servers::{CommandOutput, run_command};
use crate::{CommandResult, process};
use page::StaticPage;

/// A command and a check of its output.
struct CommandCheck {
    what: &'static str,
    args: Vec<String>,
    judge: OutputCheck,
}

/// Returns what it found in the output, or what is wrong.
type OutputCheck = Box<dyn Fn(&CommandOutput) -> CommandResult<String>>;

/// A published server.
struct RealServer {
    name: &'static str,
    package: String,
    /// The command line, or the reason that it cannot run.
    command: CommandResult<Vec<String>>,
    /// For servers that support HTTP: the argument that selects it, and the path of the endpoint.
    http: Option<(&'static str, &'static str)>,
    /// Whether it supports stdio.
    stdio: bool,
    checks: Vec<CommandCheck>,
}

/// Checks that the era is detected, with a reason.
fn discovers() -> CommandCheck {
    let judge = |found: &CommandOutput| {
        let era = &found.value["_meta"]["carryall/era"];
        let why = era["why"]
            .as_str()
            .ok_or_else(|| format!("no era in {}", found.value))?;
        Ok(format!("{}: {why}", texts(&era["version"])))
    };
    CommandCheck {
        what: "discover",
        args: vec!["discover".to_owned()],
        judge: Box::new(judge),
    }
}

/// Checks that the list of tools contains this one.
fn lists(tool: &'static str) -> CommandCheck {
    let judge = move |found: &CommandOutput| {
        let tools = found.value["tools"].as_array().ok_or("no list of tools")?;
        if tools.iter().any(|found| found["name"] == tool) {
            Ok(format!("{} tools", tools.len()))
        } else {
            Err(format!("no {tool}: {}", found.value))
        }
    };
    CommandCheck {
        what: "tools",
        args: vec!["tools".to_owned()],
        judge: Box::new(judge),
    }
}

/// Checks that the output contains this text.
fn prints(what: &'static str, args: &[&str], wanted: impl Into<String>) -> CommandCheck {
    let wanted = wanted.into();
    let judge = move |found: &CommandOutput| {
        let text = texts(&found.value);
        if text.contains(&wanted) {
            Ok(wanted.clone())
        } else {
            Err(format!("no {wanted:?} in {text:?}"))
        }
    };
    CommandCheck {
        what,
        args: args.iter().map(|&word| word.to_owned()).collect(),
        judge: Box::new(judge),
    }
}

/// Returns every string in a value, one per line.
fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(texts).collect::<Vec<_>>().join("\n"),
        Value::Object(members) => members.values().map(texts).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    }
}

pub(super) fn check(
    env: &TestEnvironment,
    dir: &Path,
    node: &CommandResult<NodeRuntime>,
    record: &mut InteropRecord,
) {
    let page = StaticPage::serve();
    let files = dir.join("real");
    let prepared = prepare(&files);
    let python = peers::python_servers(dir);
    let node = node.as_ref().map_err(Clone::clone);
    let mut servers = from_npm(&node, &files);
    servers.extend(from_pypi(&python, &files, &page));
    for server in &mut servers {
        if let Err(why) = &prepared {
            server.command = Err(why.clone());
        }
        run(env, server, record);
    }
}

fn run(env: &TestEnvironment, server: &RealServer, record: &mut InteropRecord) {
    let who = format!("carryall calls {} ({})", server.name, server.package);
    let discovers = discovers();
    // Where each start takes seconds, one check is enough.
    let checks = |route: Route| {
        let own = if route.is_slow() {
            &server.checks[..1]
        } else {
            &server.checks
        };
        std::iter::once(&discovers).chain(own)
    };
    let over_http = server
        .http
        .iter()
        .flat_map(|_| [Route::Http, Route::HttpUp]);
    let over_stdio = [Route::Stdio, Route::StdioUp]
        .into_iter()
        .chain(Route::SLOW)
        .filter(|_| server.stdio);
    for route in over_http.chain(over_stdio) {
        let all = |record: &mut InteropRecord, result: &CheckOutcome| {
            checks(route).for_each(|check| record.add(&who, check.what, route, result.clone()));
        };
        let command = match &server.command {
            Ok(command) => command,
            Err(why) => {
                all(record, &CheckOutcome::NotRun(why.clone()));
                continue;
            }
        };
        let reached = match (server.http, route) {
            (Some((word, path)), Route::Http | Route::HttpUp) => {
                env.start_http(command, word, path, route)
            }
            _ => env.start_stdio(command, route),
        };
        let (target, running) = match reached {
            Ok(found) => found,
            Err(why) => {
                all(record, &CheckOutcome::Fail(why));
                continue;
            }
        };
        for check in checks(route) {
            let result = judged(env, server, check, &target)
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

fn judged(
    env: &TestEnvironment,
    server: &RealServer,
    check: &CommandCheck,
    target: &ClientTarget,
) -> CommandResult<String> {
    let args: Vec<&str> = check.args.iter().map(String::as_str).collect();
    (check.judge)(&run_command(env, server.name, &args, target, true)?)
}

fn from_npm(node: &CommandResult<&NodeRuntime>, files: &Path) -> Vec<RealServer> {
    let start = |name: &str, more: &[&Path]| {
        let mut args = node.clone()?.server(name);
        args.extend(more.iter().map(|path| path.display().to_string()));
        Ok(args)
    };
    let package = |name| NodeRuntime::version_of(name).to_owned();
    let folder = files.join("files");
    let [folder_word, note] = [
        folder.display().to_string(),
        folder.join("note.txt").display().to_string(),
    ];
    // The server stores its data in a file for this run.
    let memory = start("server-memory", &[]).map(|args| {
        let file = format!("MEMORY_FILE_PATH={}", files.join("memory.jsonl").display());
        ["/usr/bin/env".to_owned(), file]
            .into_iter()
            .chain(args)
            .collect()
    });
    let entity =
        json!([{"name": "Ada", "entityType": "person", "observations": ["wrote a program"]}]);
    vec![
        RealServer {
            name: "server-everything",
            package: package("server-everything"),
            command: start("server-everything", &[]),
            http: Some(("streamableHttp", "/mcp")),
            stdio: true,
            checks: everything(),
        },
        RealServer {
            name: "server-everything over HTTP+SSE",
            package: package("server-everything"),
            command: start("server-everything", &[]),
            http: Some(("sse", "/sse")),
            stdio: false,
            checks: everything(),
        },
        RealServer {
            name: "context7",
            package: package("context7"),
            command: node.clone().map(|node| node.context7()),
            http: None,
            stdio: true,
            // Its tools need the network, so only the connection is checked.
            checks: vec![lists("resolve-library-id")],
        },
        RealServer {
            name: "server-filesystem",
            package: package("server-filesystem"),
            command: start("server-filesystem", &[&folder]),
            http: None,
            stdio: true,
            checks: vec![
                lists("read_text_file"),
                prints(
                    "call",
                    &["call", "list_directory", &format!("path={folder_word}")],
                    "note.txt",
                ),
                prints(
                    "call, a file",
                    &["call", "read_text_file", &format!("path={note}")],
                    "a note of the interop run",
                ),
                prints(
                    "call, roots",
                    &[
                        "call",
                        "--root",
                        &files.display().to_string(),
                        "list_allowed_directories",
                    ],
                    "real",
                ),
            ],
        },
        RealServer {
            name: "server-memory",
            package: package("server-memory"),
            command: memory,
            http: None,
            stdio: true,
            checks: vec![
                lists("create_entities"),
                prints(
                    "call",
                    &["call", "create_entities", &format!("entities:={entity}")],
                    "wrote a program",
                ),
                prints(
                    "call, search",
                    &["call", "search_nodes", "query=Ada"],
                    "wrote a program",
                ),
                prints(
                    "call, delete",
                    &["call", "delete_entities", "entityNames:=[\"Ada\"]"],
                    "deleted",
                ),
            ],
        },
    ]
}

/// Returns the checks of `server-everything`.
fn everything() -> Vec<CommandCheck> {
    vec![
        lists("echo"),
        prints(
            "call",
            &["call", "echo", "message=grüß dich"],
            "Echo: grüß dich",
        ),
        prints(
            "call, structured output",
            &["call", "get-structured-content", "location=New York"],
            "Cloudy",
        ),
        prints(
            "call, progress",
            &[
                "call",
                "trigger-long-running-operation",
                "duration=1",
                "steps=4",
            ],
            "Steps: 4",
        ),
        prints(
            "call, elicitation",
            &[
                "call",
                "--answer",
                "name=Ada",
                "trigger-elicitation-request",
            ],
            "User provided the requested information",
        ),
        prints(
            "call, sampling",
            &[
                "call",
                "--sample",
                "I am a model.",
                "trigger-sampling-request",
                "prompt=Who?",
            ],
            "I am a model.",
        ),
        prints(
            "call, roots",
            &["call", "--root", "file:///home/ada", "get-roots-list"],
            "file:///home/ada",
        ),
        prints("prompts", &["prompts"], "simple-prompt"),
        prints("prompt", &["prompt", "args-prompt", "city=Oslo"], "Oslo"),
        prints(
            "complete",
            &["complete", "completable-prompt", "department=E"],
            "Engineering",
        ),
        prints("resources", &["resources"], "demo://resource/"),
        prints(
            "templates",
            &["templates"],
            "demo://resource/dynamic/text/{resourceId}",
        ),
        prints(
            "read",
            &["read", "demo://resource/dynamic/text/1"],
            "Resource 1",
        ),
    ]
}

fn from_pypi(
    programs: &CommandResult<PathBuf>,
    files: &Path,
    page: &CommandResult<StaticPage>,
) -> Vec<RealServer> {
    let start = |name: &str| Ok(vec![programs.clone()?.join(name).display().to_string()]);
    let package = |name: &str| {
        peers::PYTHON_SERVERS
            .into_iter()
            .find(|package| package.starts_with(name))
    };
    let package = |name: &str| package(name).unwrap_or_default().replace("==", "@");
    let repository = files.join("repository");
    let at = format!("repo_path={}", repository.display());
    let url = page
        .as_ref()
        .map_or_else(|_| String::new(), StaticPage::url);
    vec![
        RealServer {
            name: "mcp-server-time",
            package: package("mcp-server-time"),
            command: start("mcp-server-time"),
            http: None,
            stdio: true,
            checks: vec![
                lists("get_current_time"),
                prints(
                    "call",
                    &["call", "get_current_time", "timezone=Europe/Oslo"],
                    "Europe/Oslo",
                ),
                prints(
                    "call, several arguments",
                    &[
                        "call",
                        "convert_time",
                        "source_timezone=UTC",
                        "target_timezone=Asia/Tokyo",
                        "time=03:00",
                    ],
                    "T12:00:00+09:00",
                ),
            ],
        },
        RealServer {
            name: "mcp-server-fetch",
            package: package("mcp-server-fetch"),
            // The page is on the loopback, which the server refuses by default.
            command: page.as_ref().map_err(Clone::clone).and_then(|_| {
                let command: CommandResult<Vec<String>> = start("mcp-server-fetch");
                Ok(with(&command?, &["--allow-private-ips"]))
            }),
            http: None,
            stdio: true,
            checks: vec![
                lists("fetch"),
                prints(
                    "call",
                    &["call", "fetch", &format!("url={url}")],
                    page::TEXT,
                ),
                prints("prompts", &["prompts"], "fetch"),
            ],
        },
        RealServer {
            name: "mcp-server-git",
            package: package("mcp-server-git"),
            command: start("mcp-server-git"),
            http: None,
            stdio: true,
            checks: vec![
                lists("git_log"),
                prints("call", &["call", "git_log", &at], MESSAGE),
                prints("call, status", &["call", "git_status", &at], "clean"),
            ],
        },
    ]
}

/// The message of the only commit in the test repository.
const MESSAGE: &str = "The first of its kind";

/// Creates a folder with a note, and a repository with one commit.
fn prepare(files: &Path) -> CommandResult {
    let fail = |e: std::io::Error| format!("{}: {e}", files.display());
    if files.exists() {
        fs::remove_dir_all(files).map_err(fail)?;
    }
    let repository = files.join("repository");
    for folder in [&files.join("files"), &repository] {
        fs::create_dir_all(folder).map_err(fail)?;
    }
    fs::write(files.join("files/note.txt"), "a note of the interop run\n").map_err(fail)?;
    fs::write(repository.join("readme"), "nothing to read\n").map_err(fail)?;
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(&repository).args([
            "-c",
            "user.name=Ada",
            "-c",
            "user.email=ada@example.com",
        ]);
        process::output(command.args(args)).map(drop)
    };
    git(&["init", "--quiet"])?;
    git(&["add", "readme"])?;
    git(&["commit", "--quiet", "-m", MESSAGE])
}
