//! Follows the guide `first_server` from an empty folder, literally.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long the server may take to start on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the first code block of the guide that has this info string.
fn block<'a>(guide: &'a str, info: &str) -> &'a str {
    let start = format!("\n```{info}\n");
    let (_, rest) = guide.split_once(&start).expect("the guide has the block");
    rest.split_once("```").expect("the block has an end").0
}

/// A folder that is removed at the end of the test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the folder that cargo builds the workspace in.
fn target_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(3);
    target.expect("tests are built in `debug/deps`").to_owned()
}

fn cargo(folder: &Path, args: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(folder)
        .args(args)
        .env("CARGO_TARGET_DIR", target_folder())
        // As the workspace compiles its dependencies, so that they are not all built again.
        .env("CARGO_PROFILE_DEV_DEBUG", "false");
    assert!(command.status().expect("cargo starts").success());
}

#[tokio::test]
async fn the_first_server_runs_as_its_guide_says() {
    if std::env::var_os("CI").is_none() {
        eprintln!("skipped: compiles a package of its own, which takes minutes; set CI to run it");
        return;
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guide = workspace.join("crates/carryall/src/guide/first_server.md");
    let guide = fs::read_to_string(guide).expect("the guide is there");
    let name = format!("carryall-guide-{}", std::process::id());
    let empty = Folder(std::env::temp_dir().join(name));
    fs::create_dir_all(&empty.0).expect("a folder for the test");

    cargo(&empty.0, &["new", "greeter"]);
    let greeter = empty.0.join("greeter");
    let facade = workspace.join("crates/carryall");
    let facade = facade.canonicalize().expect("the facade is there");
    let facade = facade.to_str().expect("its path is UTF-8");
    let manifest = greeter.join("Cargo.toml");
    let generated = fs::read_to_string(&manifest).expect("cargo has made a manifest");
    let dependencies = block(&guide, "toml").replace("../carryall/crates/carryall", facade);
    let generated = generated.replace("[dependencies]\n", "");
    fs::write(&manifest, format!("{generated}{dependencies}")).expect("the manifest is written");
    // The versions that the workspace uses are on this machine already.
    let lock = workspace.join("Cargo.lock");
    fs::copy(lock, greeter.join("Cargo.lock")).expect("the lock file is copied");

    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a free port").to_string();
    let program = block(&guide, "no_run").replace("127.0.0.1:8080", &address);
    fs::write(greeter.join("src/main.rs"), program).expect("the program is written");
    cargo(&greeter, &["build", "--offline"]);

    let server = Command::new(target_folder().join("debug/greeter")).spawn();
    let _server = Process(server.expect("the server starts"));
    let client = carryall::connect(format!("http://{address}/mcp"));
    let client = client.await.expect("a valid URL");
    let arguments = serde_json::json!({"name": "Ada", "volume": 3});
    let started = Instant::now();
    let greeting: String = loop {
        match client.call("greet", &arguments).typed().await {
            Ok(greeting) => break greeting,
            Err(error) if started.elapsed() > TIMEOUT => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    assert_eq!(greeting, "Hello, Ada!!!");
}
