use super::*;
use crate::fail::Exit;
use crate::screen::OutputOptions;
use crate::target::Process;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own for each test, gone afterwards.
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

fn screen() -> Output {
    Output::new(OutputOptions::default())
}

/// Files of the user.
fn paths(user: Vec<PathBuf>) -> ConfigPaths {
    let env = [("TOKEN", "t0p"), ("HOME", "/home/ann")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    ConfigPaths {
        user,
        variables: Variables {
            workspace: "/project".into(),
            env: env.into(),
        },
        ..ConfigPaths::default()
    }
}

fn find(name: &str, paths: &ConfigPaths) -> Result<Target, Fail> {
    super::find(name, paths, screen())
}

/// The one server of a configuration, as a target.
fn one(text: &str) -> Target {
    let servers = parse(text).unwrap();
    let (name, config) = servers.first_key_value().unwrap();
    assert_eq!((servers.len(), name.as_str()), (1, "x"), "{servers:?}");
    config
        .as_ref()
        .unwrap()
        .target(&paths(vec![]).variables)
        .unwrap()
}

fn http(url: &str, headers: &[(&str, &str)]) -> Target {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Target::Http {
        url: url.into(),
        headers,
    }
}

fn command(program: &str, args: &[&str], env: &[(&str, &str)], cwd: Option<&str>) -> Target {
    Target::Stdio(Process {
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
fn servers_of_vs_code_are_found_comments_and_all() {
    let own =
        "{\n // mine\n \"servers\": {\"x\": {\"type\": \"http\", \"url\": \"http://h/mcp\",},},\n}";
    assert_eq!(one(own), http("http://h/mcp", &[]));
    let settings = r#"{"editor.fontSize": 12, "mcp": {"inputs": [], "servers": {"x": {"url": "http://h/${TOKEN}"}}}}"#;
    assert_eq!(one(settings), http("http://h/t0p", &[]));
}

#[test]
fn a_server_of_type_sse_is_called_like_any_url() {
    assert_eq!(
        one(r#"{"mcpServers": {"x": {"type": "sse", "url": "http://s/sse"}}}"#),
        http("http://s/sse", &[])
    );
}

#[test]
fn gemini_and_windsurf_have_names_of_their_own_for_the_url() {
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
    let switched_off =
        parse(r#"{"mcp": {"x": {"type": "remote", "url": "https://o/mcp", "enabled": false}}}"#)
            .unwrap();
    assert!(switched_off["x"].as_ref().unwrap().disabled);
}

#[test]
fn servers_of_zed_are_found() {
    let now = r#"{"context_servers": {"x": {"source": "custom", "command": "thing", "args": ["a"], "env": {"K": "v"}}}}"#;
    assert_eq!(one(now), command("thing", &["a"], &[("K", "v")], None));
    let before = r#"{"context_servers": {"x": {"command": {"path": "thing", "args": ["a"], "env": {"K": "v"}}}}}"#;
    assert_eq!(one(before), command("thing", &["a"], &[("K", "v")], None));
}

#[test]
fn the_first_file_wins_and_config_stands_alone() {
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
    assert_eq!(find("x", &paths).unwrap().shown(), "http://first/");
    assert_eq!(find("y", &paths).unwrap().shown(), "http://y/");
    paths.config = Some(second);
    assert_eq!(find("x", &paths).unwrap().shown(), "http://second/");
    paths.config = Some(dir.0.join("missing.json"));
    assert!(find("x", &paths).unwrap_err().what.contains("missing.json"));
}

#[test]
fn the_user_wins_over_the_project() {
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
    assert_eq!(find("github", &paths).unwrap().shown(), "http://mine/");
}

#[test]
fn a_broken_entry_of_the_user_is_not_replaced_by_the_project() {
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
            .what
            .contains("NOT_SET is not set")
    );
}

#[test]
fn a_project_file_is_used_only_after_its_approval() {
    let dir = Dir::new();
    let project = dir.write(
        "p.json",
        r#"{"mcpServers": {"x": {"command": "run-me", "env": {"K": "${TOKEN}"}}}}"#,
    );
    let approvals = ApprovalStore::file(Some(dir.0.join("state/approved.json")));
    let paths = ConfigPaths {
        project: vec![project.clone()],
        approvals: approvals.clone(),
        ..paths(vec![])
    };
    let refused = find("x", &paths).unwrap_err();
    let said = format!("{}\n{}", refused.what, refused.hints.join("\n"));
    assert_eq!(refused.exit, Exit::Usage);
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
            .what
            .contains("has changed since you approved it")
    );
}

#[test]
fn the_files_of_a_user_are_no_project_when_the_directory_is_the_home() {
    let dir = Dir::new();
    std::fs::create_dir_all(dir.0.join(".cursor")).unwrap();
    let own = dir.write(".cursor/mcp.json", "{}");
    assert_eq!(project_files(&dir.0, &[own]).len(), PROJECT_FILES.len() - 1);
    assert_eq!(project_files(&dir.0, &[]).len(), PROJECT_FILES.len());
}

#[test]
fn an_unknown_name_lists_the_known_ones_and_the_files() {
    let dir = Dir::new();
    let good = dir.write(
        "good.json",
        r#"{"mcpServers": {"github": {"url": "http://g/"}, "files": {"command": "f"}}}"#,
    );
    let broken = dir.write("broken.json", "{nonsense");
    let fail = find("githb", &paths(vec![good, broken])).unwrap_err();
    let hints = fail.hints.join("\n");
    assert_eq!(fail.exit, Exit::Usage);
    assert!(fail.what.contains("githb"), "{fail}");
    for part in [
        "did you mean \"github\"?",
        "files, github",
        "good.json",
        "broken.json (not valid",
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
fn entries_that_make_no_sense_say_why() {
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
        let fail = find(name, &paths).unwrap_err();
        assert!(
            fail.what.contains(why) && fail.what.contains(name),
            "{name}: {fail}"
        );
    }
    assert!(
        find("good", &paths).is_ok(),
        "one bad entry does not spoil the others"
    );
}

#[test]
fn a_summary_names_variables_and_keeps_values() {
    let text = r#"{"mcpServers": {"x": {"command": "a b", "args": ["it's"], "env": {"A": "s3cret", "B": "${TOKEN}"}}}}"#;
    let servers = parse(text).unwrap();
    let summary = servers["x"].as_ref().unwrap().summary();
    assert_eq!(
        summary,
        r#"x: runs 'a b' 'it'\''s'; environment: A, B (from TOKEN)"#
    );
}

#[test]
fn a_file_without_end_is_not_read() {
    let dir = Dir::new();
    let file = dir.write(
        "big.json",
        &" ".repeat(usize::try_from(format::MAX_FILE).unwrap() + 1),
    );
    assert!(
        ConfigFile::read(&file)
            .unwrap_err()
            .to_string()
            .contains("larger than")
    );
}
