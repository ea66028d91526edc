use super::approvals::ApprovalStore;
use super::format::parse;
use super::paths::{PROJECT_FILES, project_files};
use super::*;
use crate::exit::ExitStatus;
use crate::output::OutputOptions;
use crate::target::StdioCommand;
use std::sync::atomic::{AtomicU32, Ordering};

/// A temporary directory, removed on drop.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "carryall-mcp-json-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn output() -> Output {
    Output::new(OutputOptions::default())
}

/// Creates paths with these files of the user.
fn paths(user: Vec<PathBuf>) -> ConfigPaths {
    let env = [("TOKEN", "t0p"), ("HOME", "/home/ann")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    ConfigPaths {
        user,
        variables: ConfigVariables {
            workspace: "/project".into(),
            env: env.into(),
        },
        ..ConfigPaths::default()
    }
}

fn find(name: &str, paths: &ConfigPaths) -> Result<ServerTarget, CliError> {
    super::find(name, paths, output())
}

/// Returns the only server of a configuration as a target.
fn one(text: &str) -> ServerTarget {
    let servers = parse(text).unwrap();
    let (name, config) = servers.first_key_value().unwrap();
    assert_eq!((servers.len(), name.as_str()), (1, "x"), "{servers:?}");
    config
        .as_ref()
        .unwrap()
        .target(&paths(vec![]).variables)
        .unwrap()
}

fn http(url: &str, headers: &[(&str, &str)]) -> ServerTarget {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    ServerTarget::Http {
        url: url.into(),
        headers,
    }
}

fn command(program: &str, args: &[&str], env: &[(&str, &str)], cwd: Option<&str>) -> ServerTarget {
    ServerTarget::Stdio(StdioCommand {
        program: program.into(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        cwd: cwd.map(PathBuf::from),
    })
}

#[test]
fn servers_of_claude_and_cursor_are_found() {
    let local = r#"{"mcpServers": {"x": {"command": "npx", "args": ["-y", "thing", "${workspaceFolder}/x", 8080],
        "env": {"KEY": "${TOKEN}", "N": 5, "UNSET": null}, "cwd": "${userHome}"}}}"#;
    assert_eq!(
        one(local),
        command(
            "npx",
            &["-y", "thing", "/project/x", "8080"],
            &[("KEY", "t0p"), ("N", "5")],
            Some("/home/ann")
        )
    );
    let remote = r#"{"mcpServers": {"x": {"url": "https://example.com/mcp", "headers": {"A": "Bearer ${env:TOKEN}"}}}}"#;
    assert_eq!(
        one(remote),
        http("https://example.com/mcp", &[("A", "Bearer t0p")])
    );
}

#[test]
fn servers_of_vs_code_are_found_with_comments() {
    let own =
        "{\n // mine\n \"servers\": {\"x\": {\"type\": \"http\", \"url\": \"http://h/mcp\",},},\n}";
    assert_eq!(one(own), http("http://h/mcp", &[]));
    let settings = r#"{"editor.fontSize": 12, "mcp": {"inputs": [], "servers": {"x": {"url": "http://h/${TOKEN}"}}}}"#;
    assert_eq!(one(settings), http("http://h/t0p", &[]));
}

#[test]
fn the_type_of_a_url_is_ignored() {
    assert_eq!(
        one(r#"{"mcpServers": {"x": {"type": "sse", "url": "http://s/sse"}}}"#),
        http("http://s/sse", &[])
    );
}

#[test]
fn urls_of_gemini_and_windsurf_are_found() {
    let gemini = r#"{"mcpServers": {"x": {"httpUrl": "http://g/mcp", "headers": {"A": "1"}, "timeout": 5000}}}"#;
    assert_eq!(one(gemini), http("http://g/mcp", &[("A", "1")]));
    let both = r#"{"mcpServers": {"x": {"url": "http://g/sse", "httpUrl": "http://g/mcp"}}}"#;
    assert_eq!(one(both), http("http://g/mcp", &[]));
    assert_eq!(
        one(r#"{"mcpServers": {"x": {"serverUrl": "https://w/mcp"}}}"#),
        http("https://w/mcp", &[])
    );
}

#[test]
fn servers_of_opencode_are_found() {
    let local = r#"{"$schema": "https://opencode.ai/config.json", "mcp": {"x": {"type": "local",
        "command": ["npx", "-y", "thing"], "environment": {"KEY": "{env:TOKEN}"}, "enabled": true}}}"#;
    assert_eq!(
        one(local),
        command("npx", &["-y", "thing"], &[("KEY", "t0p")], None)
    );
    let remote = r#"{"mcp": {"x": {"type": "remote", "url": "https://o/mcp", "headers": {"A": "Bearer {env:TOKEN}"}}}}"#;
    assert_eq!(one(remote), http("https://o/mcp", &[("A", "Bearer t0p")]));
    let disabled =
        parse(r#"{"mcp": {"x": {"type": "remote", "url": "https://o/mcp", "enabled": false}}}"#)
            .unwrap();
    assert!(disabled["x"].as_ref().unwrap().disabled);
}

#[test]
fn servers_of_zed_are_found() {
    let now = r#"{"context_servers": {"x": {"source": "custom", "command": "thing", "args": ["a"], "env": {"K": "v"}}}}"#;
    assert_eq!(one(now), command("thing", &["a"], &[("K", "v")], None));
    let before = r#"{"context_servers": {"x": {"command": {"path": "thing", "args": ["a"], "env": {"K": "v"}}}}}"#;
    assert_eq!(one(before), command("thing", &["a"], &[("K", "v")], None));
}

#[test]
fn the_first_file_wins_and_an_explicit_file_replaces_all() {
    let dir = Dir::new();
    let first = dir.write(
        "1.json",
        r#"{"mcpServers": {"x": {"url": "http://first/"}}}"#,
    );
    let second = dir.write(
        "2.json",
        r#"{"mcpServers": {"x": {"url": "http://second/"}, "y": {"url": "http://y/"}}}"#,
    );
    let mut paths = paths(vec![dir.0.join("missing.json"), first, second.clone()]);
    assert_eq!(find("x", &paths).unwrap().label(), "http://first/");
    assert_eq!(find("y", &paths).unwrap().label(), "http://y/");
    paths.explicit = Some(second);
    assert_eq!(find("x", &paths).unwrap().label(), "http://second/");
    paths.explicit = Some(dir.0.join("missing.json"));
    assert!(
        find("x", &paths)
            .unwrap_err()
            .message
            .contains("missing.json")
    );
}

#[test]
fn files_of_the_user_win_over_the_project() {
    let dir = Dir::new();
    let user = dir.write(
        "user.json",
        r#"{"mcpServers": {"github": {"url": "http://mine/"}}}"#,
    );
    let project = dir.write(
        "project.json",
        r#"{"mcpServers": {"github": {"command": "evil", "args": ["${TOKEN}"]}}}"#,
    );
    let paths = ConfigPaths {
        project: vec![project],
        ..paths(vec![user])
    };
    assert_eq!(find("github", &paths).unwrap().label(), "http://mine/");
}

#[test]
fn an_invalid_entry_of_the_user_is_not_replaced_by_the_project() {
    let dir = Dir::new();
    let user = dir.write(
        "user.json",
        r#"{"mcpServers": {"x": {"url": "http://mine/${NOT_SET}"}}}"#,
    );
    let project = dir.write(
        "project.json",
        r#"{"mcpServers": {"x": {"url": "http://theirs/"}}}"#,
    );
    let paths = ConfigPaths {
        project: vec![project],
        ..paths(vec![user])
    };
    assert!(
        find("x", &paths)
            .unwrap_err()
            .message
            .contains("NOT_SET is not set")
    );
}

#[test]
fn a_project_file_is_used_only_once_approved() {
    let dir = Dir::new();
    let project = dir.write(
        "p.json",
        r#"{"mcpServers": {"x": {"command": "run-me", "env": {"K": "${TOKEN}"}}}}"#,
    );
    let approvals = ApprovalStore::new(Some(dir.0.join("state/approved.json")));
    let paths = ConfigPaths {
        project: vec![project.clone()],
        approvals: approvals.clone(),
        ..paths(vec![])
    };
    let refused = find("x", &paths).unwrap_err();
    let said = format!("{}\n{}", refused.message, refused.hints.join("\n"));
    assert_eq!(refused.status, ExitStatus::Usage);
    for part in [
        "has not been approved",
        "runs run-me",
        "K (from TOKEN)",
        "carryall trust ",
        "--config ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(
        !said.contains("t0p"),
        "nothing is expanded before the approval: {said}"
    );
    approvals
        .approve(&ConfigFile::read(&project).unwrap())
        .unwrap();
    assert_eq!(
        find("x", &paths).unwrap(),
        command("run-me", &[], &[("K", "t0p")], None)
    );
    dir.write(
        "p.json",
        r#"{"mcpServers": {"x": {"command": "run-me-too"}}}"#,
    );
    assert!(
        find("x", &paths)
            .unwrap_err()
            .message
            .contains("has changed since you approved it")
    );
}

#[test]
fn files_of_the_user_are_not_project_files_in_the_home_directory() {
    let dir = Dir::new();
    std::fs::create_dir_all(dir.0.join(".cursor")).unwrap();
    let own = dir.write(".cursor/mcp.json", "{}");
    assert_eq!(project_files(&dir.0, &[own]).len(), PROJECT_FILES.len() - 1);
    assert_eq!(project_files(&dir.0, &[]).len(), PROJECT_FILES.len());
}

#[test]
fn an_unknown_name_lists_known_names_and_files() {
    let dir = Dir::new();
    let good = dir.write(
        "good.json",
        r#"{"mcpServers": {"github": {"url": "http://g/"}, "files": {"command": "f"}}}"#,
    );
    let broken = dir.write("broken.json", "{nonsense");
    let error = find("githb", &paths(vec![good, broken])).unwrap_err();
    let hints = error.hints.join("\n");
    assert_eq!(error.status, ExitStatus::Usage);
    assert!(error.message.contains("githb"), "{error}");
    for part in [
        "did you mean \"github\"?",
        "files, github",
        "good.json",
        "broken.json (invalid",
    ] {
        assert!(hints.contains(part), "{part}: {hints}");
    }
    let nothing = find("x", &paths(vec![dir.0.join("none.json")])).unwrap_err();
    assert!(
        nothing.hints[0].contains("none.json"),
        "{:?}",
        nothing.hints
    );
}

#[test]
fn invalid_entries_say_why() {
    let dir = Dir::new();
    let file = dir.write(
        "bad.json",
        r#"{"mcpServers": {
            "both": {"command": "a", "url": "http://b/"},
            "none": {},
            "unset": {"command": "${NOT_SET_ANYWHERE}"},
            "input": {"command": "a", "env": {"K": "${input:key}"}},
            "open": {"command": "${TOKEN"},
            "scheme": {"url": "ftp://x/"},
            "shape": {"command": 5},
            "empty": {"command": []},
            "args": {"command": "a", "args": [{}]},
            "good": {"url": "http://g/"}
        }}"#,
    );
    let paths = paths(vec![file]);
    for (name, why) in [
        ("both", "both"),
        ("none", "neither"),
        ("unset", "NOT_SET_ANYWHERE is not set"),
        ("input", "input:key"),
        ("open", "not closed"),
        ("scheme", "ftp://x/"),
        ("shape", "neither a string, nor a list"),
        ("empty", "empty list"),
        ("args", "neither a string nor a number"),
    ] {
        let error = find(name, &paths).unwrap_err();
        assert!(
            error.message.contains(why) && error.message.contains(name),
            "{name}: {error}"
        );
    }
    assert!(find("good", &paths).is_ok(), "other entries stay valid");
}

#[test]
fn a_summary_names_variables_but_not_values() {
    let text = r#"{"mcpServers": {"x": {"command": "a b", "args": ["it's"], "env": {"A": "s3cret", "B": "${TOKEN}"}}}}"#;
    let servers = parse(text).unwrap();
    let summary = servers["x"].as_ref().unwrap().summary();
    assert_eq!(
        summary,
        r#"x: runs 'a b' "it's"; environment: A, B (from TOKEN)"#
    );
}

#[test]
fn an_oversized_file_is_refused() {
    let dir = Dir::new();
    let file = dir.write(
        "big.json",
        &" ".repeat(usize::try_from(file::MAX_FILE_BYTES).unwrap() + 1),
    );
    assert!(
        ConfigFile::read(&file)
            .unwrap_err()
            .to_string()
            .contains("larger than")
    );
}
