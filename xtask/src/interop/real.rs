//! Servers that people run, unmodified, listed and called through `carryall`.

mod page;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::peers::{self, Node};
use super::record::{InteropRecord, Result};
use super::servers::{CommandOutput, ask};
use super::transports::{ClientTarget, Transport, Ways, with};
use crate::{CommandResult, process};
use page::StaticPage;

/// A command, and what it must print.
struct CommandCheck {
    what: &'static str,
    words: Vec<String>,
    judge: OutputCheck,
}

/// Says what it found in the output, or what is wrong with it.
type OutputCheck = Box<dyn Fn(&CommandOutput) -> CommandResult<String>>;

struct Server {
    name: &'static str,
    package: String,
    /// How it is started, or why it cannot be.
    command: CommandResult<Vec<String>>,
    /// How it is served over HTTP, if it can be: the word that makes it, and the path of its
    /// endpoint.
    http: Option<(&'static str, &'static str)>,
    /// Whether it is served on its standard streams too.
    stdio: bool,
    checks: Vec<CommandCheck>,
}

/// Which era it is of is found out, and why is told.
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
        words: vec!["discover".to_owned()],
        judge: Box::new(judge),
    }
}

/// The tools are there, however many they are, and this one is among them.
fn lists(tool: &'static str) -> CommandCheck {
    let judge = move |found: &CommandOutput| {
        let tools = found.value["tools"].as_array().ok_or("there is no list")?;
        if tools.iter().any(|found| found["name"] == tool) {
            Ok(format!("{} tools", tools.len()))
        } else {
            Err(format!("no {tool}: {}", found.value))
        }
    };
    CommandCheck {
        what: "tools",
        words: vec!["tools".to_owned()],
        judge: Box::new(judge),
    }
}

/// What is printed has this in it somewhere.
fn says(what: &'static str, words: &[&str], wanted: impl Into<String>) -> CommandCheck {
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
        words: words.iter().map(|&word| word.to_owned()).collect(),
        judge: Box::new(judge),
    }
}

/// Every text in a value, one per line.
fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(texts).collect::<Vec<_>>().join("\n"),
        Value::Object(members) => members.values().map(texts).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    }
}

pub(super) fn check(
    ways: &Ways,
    dir: &Path,
    node: &CommandResult<Node>,
    record: &mut InteropRecord,
) {
    let page = StaticPage::serve();
    let files = dir.join("real");
    let made = prepare(&files);
    let python = peers::python_servers(dir);
    let node = node.as_ref().map_err(Clone::clone);
    let mut servers = from_npm(&node, &files);
    servers.extend(from_pypi(&python, &files, &page));
    for server in &mut servers {
        if let Err(why) = &made {
            server.command = Err(why.clone());
        }
        run(ways, server, record);
    }
}

fn run(ways: &Ways, server: &Server, record: &mut InteropRecord) {
    let who = format!("carryall calls {} ({})", server.name, server.package);
    let discovers = discovers();
    // Where each start takes seconds, it is enough to know that the server is met.
    let checks = |way: Transport| {
        let own = if way.is_slow() {
            &server.checks[..1]
        } else {
            &server.checks
        };
        std::iter::once(&discovers).chain(own)
    };
    let over_http = server
        .http
        .iter()
        .flat_map(|_| [Transport::Http, Transport::HttpUp]);
    let over_stdio = [Transport::Stdio, Transport::StdioUp]
        .into_iter()
        .chain(Transport::SLOW)
        .filter(|_| server.stdio);
    for way in over_http.chain(over_stdio) {
        let all = |record: &mut InteropRecord, result: &Result| {
            checks(way).for_each(|check| record.add(&who, check.what, way, result.clone()));
        };
        let command = match &server.command {
            Ok(command) => command,
            Err(why) => {
                all(record, &Result::NotRun(why.clone()));
                continue;
            }
        };
        let reached = match (server.http, way) {
            (Some((word, path)), Transport::Http | Transport::HttpUp) => {
                ways.to_port(command, word, path, way)
            }
            _ => ways.to_command(command, way),
        };
        let (target, running) = match reached {
            Ok(found) => found,
            Err(why) => {
                all(record, &Result::Fail(why));
                continue;
            }
        };
        for check in checks(way) {
            let result =
                judged(ways, server, check, &target).map_or_else(Result::Fail, Result::Pass);
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

fn judged(
    ways: &Ways,
    server: &Server,
    check: &CommandCheck,
    target: &ClientTarget,
) -> CommandResult<String> {
    let words: Vec<&str> = check.words.iter().map(String::as_str).collect();
    (check.judge)(&ask(ways, server.name, &words, target, true)?)
}

fn from_npm(node: &CommandResult<&Node>, files: &Path) -> Vec<Server> {
    let start = |name: &str, more: &[&Path]| {
        let mut words = node.clone()?.server(name);
        words.extend(more.iter().map(|path| path.display().to_string()));
        Ok(words)
    };
    let package = |name| Node::version_of(name).to_owned();
    let folder = files.join("files");
    let [folder_word, note] = [
        folder.display().to_string(),
        folder.join("note.txt").display().to_string(),
    ];
    // Its memory is a file of its own for this run.
    let memory = start("server-memory", &[]).map(|words| {
        let file = format!("MEMORY_FILE_PATH={}", files.join("memory.jsonl").display());
        ["/usr/bin/env".to_owned(), file]
            .into_iter()
            .chain(words)
            .collect()
    });
    let entity =
        json!([{"name": "Ada", "entityType": "person", "observations": ["wrote a program"]}]);
    vec![
        Server {
            name: "server-everything",
            package: package("server-everything"),
            command: start("server-everything", &[]),
            http: Some(("streamableHttp", "/mcp")),
            stdio: true,
            checks: everything(),
        },
        Server {
            name: "server-everything over HTTP+SSE",
            package: package("server-everything"),
            command: start("server-everything", &[]),
            http: Some(("sse", "/sse")),
            stdio: false,
            checks: everything(),
        },
        Server {
            name: "context7",
            package: package("context7"),
            command: node.clone().map(|node| node.context7()),
            http: None,
            stdio: true,
            // What it looks up is not on this machine; that it is met at all is what counts.
            checks: vec![lists("resolve-library-id")],
        },
        Server {
            name: "server-filesystem",
            package: package("server-filesystem"),
            command: start("server-filesystem", &[&folder]),
            http: None,
            stdio: true,
            checks: vec![
                lists("read_text_file"),
                says(
                    "call",
                    &["call", "list_directory", &format!("path={folder_word}")],
                    "note.txt",
                ),
                says(
                    "call, a file",
                    &["call", "read_text_file", &format!("path={note}")],
                    "a note of the interop run",
                ),
                says(
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
        Server {
            name: "server-memory",
            package: package("server-memory"),
            command: memory,
            http: None,
            stdio: true,
            checks: vec![
                lists("create_entities"),
                says(
                    "call",
                    &["call", "create_entities", &format!("entities:={entity}")],
                    "wrote a program",
                ),
                says(
                    "call, what it remembers",
                    &["call", "search_nodes", "query=Ada"],
                    "wrote a program",
                ),
                says(
                    "call, what it forgets",
                    &["call", "delete_entities", "entityNames:=[\"Ada\"]"],
                    "deleted",
                ),
            ],
        },
    ]
}

/// It has something of everything, as its name says.
fn everything() -> Vec<CommandCheck> {
    vec![
        lists("echo"),
        says(
            "call",
            &["call", "echo", "message=grüß dich"],
            "Echo: grüß dich",
        ),
        says(
            "call, structured output",
            &["call", "get-structured-content", "location=New York"],
            "Cloudy",
        ),
        says(
            "call, progress",
            &[
                "call",
                "trigger-long-running-operation",
                "duration=1",
                "steps=4",
            ],
            "Steps: 4",
        ),
        says(
            "call, elicitation",
            &[
                "call",
                "--answer",
                "name=Ada",
                "trigger-elicitation-request",
            ],
            "User provided the requested information",
        ),
        says(
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
        says(
            "call, roots",
            &["call", "--root", "file:///home/ada", "get-roots-list"],
            "file:///home/ada",
        ),
        says("prompts", &["prompts"], "simple-prompt"),
        says("prompt", &["prompt", "args-prompt", "city=Oslo"], "Oslo"),
        says(
            "complete",
            &["complete", "completable-prompt", "department=E"],
            "Engineering",
        ),
        says("resources", &["resources"], "demo://resource/"),
        says(
            "templates",
            &["templates"],
            "demo://resource/dynamic/text/{resourceId}",
        ),
        says(
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
) -> Vec<Server> {
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
        Server {
            name: "mcp-server-time",
            package: package("mcp-server-time"),
            command: start("mcp-server-time"),
            http: None,
            stdio: true,
            checks: vec![
                lists("get_current_time"),
                says(
                    "call",
                    &["call", "get_current_time", "timezone=Europe/Oslo"],
                    "Europe/Oslo",
                ),
                says(
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
        Server {
            name: "mcp-server-fetch",
            package: package("mcp-server-fetch"),
            // The page is on the loopback, which it does not go to unless it is told to.
            command: page.as_ref().map_err(Clone::clone).and_then(|_| {
                let command: CommandResult<Vec<String>> = start("mcp-server-fetch");
                Ok(with(&command?, &["--allow-private-ips"]))
            }),
            http: None,
            stdio: true,
            checks: vec![
                lists("fetch"),
                says(
                    "call",
                    &["call", "fetch", &format!("url={url}")],
                    page::WORDS,
                ),
                says("prompts", &["prompts"], "fetch"),
            ],
        },
        Server {
            name: "mcp-server-git",
            package: package("mcp-server-git"),
            command: start("mcp-server-git"),
            http: None,
            stdio: true,
            checks: vec![
                lists("git_log"),
                says("call", &["call", "git_log", &at], MESSAGE),
                says("call, status", &["call", "git_status", &at], "clean"),
            ],
        },
    ]
}

/// The message of the one commit in the repository that is made here.
const MESSAGE: &str = "The first of its kind";

/// A folder with a note, and a repository with one commit.
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
