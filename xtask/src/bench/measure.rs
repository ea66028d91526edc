//! Runs the scripts of `bench/` and the client programs, and collects their figures.

use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::program;
use crate::{CommandResult, files, process};

/// The servers to measure, and for how long.
pub(super) struct MeasurementPlan {
    pub(super) servers: Vec<String>,
    pub(super) quick: bool,
    pub(super) runs: u32,
    pub(super) secs: u32,
}

impl MeasurementPlan {
    pub(super) fn new(quick: bool, servers: Vec<String>) -> Self {
        let (runs, secs) = if quick { (1, 2) } else { (3, 6) };
        Self {
            servers,
            quick,
            runs,
            secs,
        }
    }
}

#[derive(Default)]
pub(super) struct Results {
    pub(super) http: Vec<Load>,
    pub(super) startup: Vec<Startup>,
    pub(super) memory: Vec<MemoryFigures>,
    pub(super) stdio: Vec<ClientFigures>,
    pub(super) client: Vec<ClientFigures>,
}

/// The figures of one run of `bench/load.py`.
#[derive(Deserialize)]
pub(super) struct Load {
    pub(super) name: String,
    pub(super) case: String,
    pub(super) conc: u32,
    pub(super) rps: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) cpu_us_per_req: f64,
    pub(super) rss_kb: f64,
    pub(super) err: u64,
    pub(super) noisy: bool,
}

#[derive(Deserialize)]
pub(super) struct Startup {
    pub(super) name: String,
    pub(super) start_ms: f64,
    pub(super) max_ms: f64,
    pub(super) rss_mib: f64,
}

/// Memory with `n` idle connections (`conns`) or `n` open listens (`listen`).
#[derive(Deserialize)]
pub(super) struct MemoryFigures {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) n: u32,
    pub(super) before_mib: f64,
    pub(super) open_mib: f64,
    pub(super) each_kib: f64,
}

/// The figures that a client program prints when it ends.
pub(super) struct ClientFigures {
    pub(super) name: String,
    pub(super) case: String,
    pub(super) per_second: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

pub(super) const CASES: [&str; 5] = ["echo100", "echo100-traced", "echo100k", "list", "discover"];
pub(super) const CONNECTIONS: [u32; 3] = [1, 32, 256];

pub(super) fn http(plan: &MeasurementPlan, results: &mut Results) -> CommandResult {
    let out = create_output("http.jsonl")?;
    let (secs, retries) = (plan.secs.to_string(), if plan.quick { "0" } else { "3" });
    for run in 1..=plan.runs {
        for server in &plan.servers {
            eprintln!("http: run {run} of {}, {server}", plan.runs);
            let started = RunningServer::new(server)?;
            script(
                "load.py",
                &[
                    server,
                    "echo100",
                    "32",
                    "--secs",
                    "2",
                    "--warm",
                    "0",
                    "--retries",
                    "0",
                ],
            )?;
            for case in CASES {
                for connections in CONNECTIONS {
                    let connections = connections.to_string();
                    let out = out.to_string_lossy();
                    script(
                        "load.py",
                        &[
                            server,
                            case,
                            &connections,
                            "--secs",
                            &secs,
                            "--retries",
                            retries,
                            "--out",
                            &out,
                        ],
                    )?;
                }
            }
            drop(started);
        }
    }
    results.http = rows(&out)?;
    Ok(())
}

pub(super) fn startup(plan: &MeasurementPlan, results: &mut Results) -> CommandResult {
    let out = create_output("startup.jsonl")?;
    let times = if plan.quick { "5" } else { "15" };
    for server in &plan.servers {
        script("startup.py", &[server, times, &out.to_string_lossy()])?;
    }
    results.startup = rows(&out)?;
    Ok(())
}

pub(super) fn memory(plan: &MeasurementPlan, results: &mut Results) -> CommandResult {
    let out = create_output("memory.jsonl")?;
    for server in &plan.servers {
        script(
            "listen.py",
            &[server, "256", "conns", &out.to_string_lossy()],
        )?;
        script(
            "listen.py",
            &[server, "1000", "listen", &out.to_string_lossy()],
        )?;
    }
    results.memory = rows(&out)?;
    Ok(())
}

/// Measures each stdio server with a minimal blocking client, one call at a time.
pub(super) fn stdio(plan: &MeasurementPlan, results: &mut Results) -> CommandResult {
    let client = program("peers/raw", "raw-stdio-client");
    let secs = plan.secs.to_string();
    for _ in 0..plan.runs {
        for name in &plan.servers {
            let server: Vec<String> = match name.as_str() {
                "carryall" => vec![
                    path_string(program("carryall", "carryall-bench")),
                    "stdio".into(),
                ],
                "raw-typed" => vec![path_string(program("peers/raw", "raw-stdio"))],
                // The faster of rmcp's two stdio transports.
                "rmcp-best" => vec![
                    path_string(program("peers/rmcp-stdio", "rmcp-stdio")),
                    "pipes".into(),
                ],
                _ => continue,
            };
            for bytes in ["100", "102400"] {
                let mut command = pinned(1);
                command
                    .arg(&client)
                    .args([&secs, bytes])
                    .args(["taskset", "-c", "0"])
                    .args(&server);
                results
                    .stdio
                    .push(calls(name, &format!("{bytes} B"), &mut command)?);
            }
        }
    }
    Ok(())
}

/// Measures each client against the fastest bare HTTP server, then against a bare stdio server.
pub(super) fn client(plan: &MeasurementPlan, results: &mut Results) -> CommandResult {
    let secs = plan.secs.to_string();
    let has = |name: &str| plan.servers.iter().any(|s| s == name);
    for _ in 0..plan.runs {
        let server = RunningServer::new("raw-fast")?;
        for (in_flight, bytes) in [("1", "100"), ("64", "100"), ("1", "102400")] {
            let case = format!("http, {in_flight} in flight, {bytes} B");
            if has("carryall") {
                let mut command = pinned(1);
                command.arg(program("carryall", "carryall-bench")).args([
                    "client",
                    &server.url,
                    in_flight,
                    &secs,
                    bytes,
                ]);
                results.client.push(calls("carryall", &case, &mut command)?);
            }
            let mut command = pinned(1);
            let address = server
                .url
                .trim_start_matches("http://")
                .trim_end_matches("/mcp");
            command
                .arg(program("peers/raw", "raw-http-client"))
                .args([address, in_flight, &secs, bytes]);
            results
                .client
                .push(calls("raw-typed", &case, &mut command)?);
            if has("rmcp-best") {
                let mut command = pinned(1);
                command.env("POOL", "1").env("MAXCONC", "64");
                command
                    .arg(program("peers/rmcp-client", "rmcp-client"))
                    .args(["http", &server.url, in_flight, &secs, bytes]);
                results
                    .client
                    .push(calls("rmcp-best", &case, &mut command)?);
            }
        }
        drop(server);
        let bare = [
            "taskset".to_owned(),
            "-c".to_owned(),
            "0".to_owned(),
            path_string(program("peers/raw", "raw-stdio")),
        ];
        let case = "stdio, 1 in flight, 100 B";
        if has("carryall") {
            let mut command = pinned(1);
            command
                .arg(program("carryall", "carryall-bench"))
                .args(["stdio-client", "1", &secs, "100"])
                .args(&bare);
            results.client.push(calls("carryall", case, &mut command)?);
        }
        let mut command = pinned(1);
        command
            .arg(program("peers/raw", "raw-stdio-client"))
            .args([&secs, "100"])
            .args(&bare);
        results.client.push(calls("raw-typed", case, &mut command)?);
        if has("rmcp-best") {
            let mut command = pinned(1);
            command
                .arg(program("peers/rmcp-client", "rmcp-client"))
                .args(["stdio", "1", &secs, "100"])
                .args(&bare);
            results.client.push(calls("rmcp-best", case, &mut command)?);
        }
    }
    Ok(())
}

/// A server of `bench/servers.conf`, running on core 0. Dropping it stops the server.
struct RunningServer {
    name: String,
    url: String,
}

impl RunningServer {
    fn new(name: &str) -> CommandResult<Self> {
        script("server.sh", &["start", name])?;
        let url = process::output(command_of("server.sh").args(["url", name]))?;
        Ok(Self {
            name: name.to_owned(),
            url: url.trim().to_owned(),
        })
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        if let Err(error) = script("server.sh", &["stop", &self.name]) {
            eprintln!("{error}");
        }
    }
}

fn script(name: &str, args: &[&str]) -> CommandResult {
    // The rows they print only show progress; the tables are made from the JSON lines.
    let output = process::output(command_of(name).args(args))?;
    eprint!("{output}");
    Ok(())
}

fn command_of(name: &str) -> Command {
    Command::new(files::root().join("bench").join(name))
}

fn pinned(core: u32) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]);
    command
}

/// Runs a client and parses the line `NAME key=value ...` that it prints when it ends.
fn calls(name: &str, case: &str, command: &mut Command) -> CommandResult<ClientFigures> {
    let output = process::output(command)?;
    let line = output
        .lines()
        .rfind(|l| l.contains("calls/s="))
        .unwrap_or_default()
        .to_owned();
    eprintln!("{name}: {line}");
    let value = |key: &str| {
        let found = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        found
            .and_then(|v| v.parse().ok())
            .ok_or_else(|| format!("{name}, {case}: no {key} in: {output}"))
    };
    let (per_second, p50_us, p99_us) = (value("calls/s")?, value("p50_us")?, value("p99_us")?);
    Ok(ClientFigures {
        name: name.to_owned(),
        case: case.to_owned(),
        per_second,
        p50_us,
        p99_us,
    })
}

/// Creates an empty file for the JSON lines of one part.
fn create_output(name: &str) -> CommandResult<PathBuf> {
    let path = files::root().join("target/bench").join(name);
    files::write(&path, "")?;
    Ok(path)
}

fn rows<T: DeserializeOwned>(path: &std::path::Path) -> CommandResult<Vec<T>> {
    let text = files::read(path)?;
    text.lines()
        .map(|line| serde_json::from_str(line).map_err(|e| format!("{}: {e}", path.display())))
        .collect()
}

fn path_string(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}
