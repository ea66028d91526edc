use super::*;
use crate::fail::Exit;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own for each test, gone afterwards.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("carryall-mcp-json-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
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

fn places(files: Vec<PathBuf>) -> Places {
    let env = [("TOKEN", "t0p"), ("HOME", "/home/ann")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    Places { config: None, files, workspace: "/project".into(), env: env.into() }
}

#[test]
fn servers_of_claude_and_cursor_are_found() {
    let dir = Dir::new();
    let file = dir.write(
        "a.json",
        r#"{"mcpServers": {
            "local": {"command": "npx", "args": ["-y", "thing", "${workspaceFolder}/x"], "env": {"KEY": "${TOKEN}", "N": 5}, "cwd": "${userHome}"},
            "remote": {"url": "https://example.com/mcp", "headers": {"Authorization": "Bearer ${env:TOKEN}"}}
        }}"#,
    );
    let places = places(vec![file]);
    assert_eq!(
        find("local", &places).unwrap(),
        Target::Stdio(Process {
            program: "npx".into(),
            args: vec!["-y".into(), "thing".into(), "/project/x".into()],
            env: vec![("KEY".into(), "t0p".into()), ("N".into(), "5".into())],
            cwd: Some("/home/ann".into()),
        })
    );
    assert_eq!(
        find("remote", &places).unwrap(),
        Target::Http {
            url: "https://example.com/mcp".into(),
            headers: vec![("Authorization".into(), "Bearer t0p".into())]
        }
    );
}

#[test]
fn servers_of_vs_code_are_found_comments_and_all() {
    let dir = Dir::new();
    let file = dir
        .write("mcp.json", "{\n // mine\n \"servers\": {\"x\": {\"type\": \"http\", \"url\": \"http://h/mcp\",},},\n}");
    assert_eq!(find("x", &places(vec![file])).unwrap(), Target::Http { url: "http://h/mcp".into(), headers: vec![] });
}

#[test]
fn the_first_file_wins_and_config_stands_alone() {
    let dir = Dir::new();
    let first = dir.write("1.json", r#"{"mcpServers": {"x": {"url": "http://first/"}}}"#);
    let second = dir.write("2.json", r#"{"mcpServers": {"x": {"url": "http://second/"}, "y": {"url": "http://y/"}}}"#);
    let mut places = places(vec![dir.0.join("missing.json"), first, second.clone()]);
    assert_eq!(find("x", &places).unwrap().shown(), "http://first/");
    assert_eq!(find("y", &places).unwrap().shown(), "http://y/");
    places.config = Some(second);
    assert_eq!(find("x", &places).unwrap().shown(), "http://second/");
    places.config = Some(dir.0.join("missing.json"));
    assert!(find("x", &places).unwrap_err().what.contains("missing.json"));
}

#[test]
fn an_unknown_name_lists_the_known_ones_and_the_files() {
    let dir = Dir::new();
    let good = dir.write("good.json", r#"{"mcpServers": {"github": {"url": "http://g/"}, "files": {"command": "f"}}}"#);
    let broken = dir.write("broken.json", "{nonsense");
    let fail = find("githb", &places(vec![good, broken])).unwrap_err();
    let hints = fail.hints.join("\n");
    assert_eq!(fail.exit, Exit::Usage);
    assert!(fail.what.contains("githb"), "{fail}");
    for part in ["did you mean \"github\"?", "files, github", "good.json", "broken.json (not valid"] {
        assert!(hints.contains(part), "{part}: {hints}");
    }
    let nothing = find("x", &places(vec![dir.0.join("none.json")])).unwrap_err();
    assert!(nothing.hints[0].contains("none.json"), "{:?}", nothing.hints);
}

#[test]
fn entries_that_make_no_sense_say_why() {
    let dir = Dir::new();
    let file = dir.write(
        "bad.json",
        r#"{"mcpServers": {
            "both": {"command": "a", "url": "http://b/"},
            "none": {},
            "sse": {"type": "sse", "url": "http://s/sse"},
            "unset": {"command": "${NOT_SET_ANYWHERE}"},
            "input": {"command": "a", "env": {"K": "${input:key}"}},
            "open": {"command": "${TOKEN"},
            "scheme": {"url": "ftp://x/"},
            "shape": {"command": ["a"]}
        }}"#,
    );
    let places = places(vec![file]);
    for (name, why) in [
        ("both", "both"),
        ("none", "neither"),
        ("sse", "2024-11-05"),
        ("unset", "NOT_SET_ANYWHERE is not set"),
        ("input", "input:key"),
        ("open", "not closed"),
        ("scheme", "ftp://x/"),
        ("shape", "string"),
    ] {
        let fail = find(name, &places).unwrap_err();
        assert!(fail.what.contains(why) && fail.what.contains(name), "{name}: {fail}");
    }
}

#[test]
fn defaults_fill_in_for_variables() {
    let places = places(vec![]);
    assert_eq!(expand("a-${NOPE:-dflt}-${TOKEN:-x}$", &places).unwrap(), "a-dflt-t0p$");
}
