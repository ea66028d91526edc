//! `cargo xtask balanced`: legacy clients behind a round-robin balancer.
//!
//! Starts three replicas of the demo server behind nginx without affinity. A TypeScript SDK v1
//! client and a Python SDK v1 client call tools, receive progress and answer elicitations while one
//! replica is killed and restarted. No request may be answered with 404, and no result may be wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use std::collections::BTreeMap;

use crate::args::Args;
use crate::process::{ChildGroup, exists, log_to};
use crate::{CommandResult, files, net, npm, process};

const TYPESCRIPT: &str = "@modelcontextprotocol/sdk@1.32.2";
const PYTHON: &str = "mcp==1.30.0";
const REPLICAS: usize = 3;
const ROUNDS: u32 = 500;
/// The replica that is killed, the time of the kill, and the time until it is restarted.
const VICTIM: usize = 1;
const KILLED_AFTER: Duration = Duration::from_secs(6);
const DOWNTIME: Duration = Duration::from_secs(3);
/// Maximum time for one client to complete all its rounds.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(300);

pub(crate) fn run(mut args: Args) -> CommandResult {
    let rounds = match args.option("--rounds")? {
        Some(rounds) => rounds
            .parse()
            .map_err(|_| format!("--rounds {rounds}: not a number"))?,
        None => ROUNDS,
    };
    let no_build = args.flag("--no-build");
    args.done()?;
    LoadBalancer::check_installed()?;
    let dir = files::target_dir().join("balanced");
    if !no_build {
        process::run(process::cargo().args(["build", "--locked", "-p", "carryall-cli"]))?;
    }
    let clients = [typescript(&dir)?, python(&dir)?];
    let mut cluster = DemoCluster::start(&dir)?;
    let mut running = Vec::new();
    for (name, mut command) in clients {
        let log = dir.join(format!("{name}.log"));
        command.args([cluster.url.as_str(), &rounds.to_string()]);
        log_to(&mut command, &log)?;
        running.push((name, ChildGroup::spawn(&mut command)?, log));
    }
    std::thread::sleep(KILLED_AFTER);
    cluster.kill(VICTIM);
    std::thread::sleep(DOWNTIME);
    cluster.start_replica(VICTIM)?;
    let mut problems = Vec::new();
    for (name, mut client, log) in running {
        let ended = client.wait(CLIENT_TIMEOUT);
        let output = files::read(&log)?;
        let last = output.lines().last().unwrap_or_default();
        if ended != Some(true) {
            problems.push(format!("{name} failed or timed out: {}", tail(&output)));
            continue;
        }
        let report: BalancedObservations = serde_json::from_str(last)
            .map_err(|error| format!("{name} printed {last:?}: {error}"))?;
        println!("{name}: {report}");
        problems.extend(
            report
                .problems(rounds)
                .into_iter()
                .map(|problem| format!("{name}: {problem}")),
        );
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

/// The report that a client prints when it ends.
#[derive(Deserialize)]
struct BalancedObservations {
    calls: u32,
    notifications: u32,
    elicitations: u32,
    /// Calls that were lost with the killed replica and retried.
    retried: u32,
    wrong: Vec<String>,
    /// Number of responses by HTTP method and status.
    statuses: BTreeMap<String, u32>,
    replicas: BTreeMap<String, u32>,
}

impl BalancedObservations {
    fn problems(&self, rounds: u32) -> Vec<String> {
        let mut problems = self.wrong.clone();
        if self.calls != 3 * rounds || self.elicitations < rounds || self.notifications < rounds {
            problems.push(format!("not all of the {rounds} rounds were completed"));
        }
        if self.replicas.len() != REPLICAS {
            problems.push(format!(
                "not every replica has answered: {:?}",
                self.replicas
            ));
        }
        problems.extend(
            self.statuses
                .iter()
                .filter(|(key, _)| key.ends_with(" 404"))
                .map(|(key, count)| format!("{count} x {key}")),
        );
        problems
    }
}

impl std::fmt::Display for BalancedObservations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            calls,
            notifications,
            elicitations,
            retried,
            wrong,
            statuses,
            replicas,
        } = self;
        write!(
            f,
            "{calls} calls, {notifications} notifications, {elicitations} elicitations, {retried} retried, {} wrong; \
             statuses {statuses:?}; answered by {replicas:?}",
            wrong.len()
        )
    }
}

/// Replicas of the demo server behind nginx.
struct DemoCluster {
    dir: PathBuf,
    ports: Vec<u16>,
    replicas: Vec<Option<ChildGroup>>,
    _nginx: ChildGroup,
    url: String,
}

/// A running nginx, with ports assigned to the replicas behind it and a keyring file for them.
pub(crate) struct LoadBalancer {
    pub(crate) ports: Vec<u16>,
    pub(crate) url: String,
    pub(crate) nginx: ChildGroup,
}

impl LoadBalancer {
    /// Checks that nginx is installed, before anything is built.
    pub(crate) fn check_installed() -> CommandResult {
        if exists("nginx") {
            Ok(())
        } else {
            Err("nginx is not installed (Debian: apt-get install nginx-light)".to_owned())
        }
    }

    pub(crate) fn start(dir: &Path, replicas: usize) -> CommandResult<Self> {
        files::write(&dir.join("keyring"), &format!("1 {}\n", "5a".repeat(32)))?;
        let ports = (0..replicas)
            .map(|_| net::free_port())
            .collect::<CommandResult<Vec<u16>>>()?;
        let port = net::free_port()?;
        let (config, log) = (dir.join("nginx.conf"), dir.join("nginx.log"));
        files::write(&config, &nginx_config(dir, port, &ports))?;
        let mut command = Command::new("nginx");
        command
            .args(["-e", "stderr", "-p"])
            .arg(dir)
            .arg("-c")
            .arg(&config);
        log_to(&mut command, &log)?;
        let mut nginx = ChildGroup::spawn(&mut command)?;
        net::wait_until_listening(&mut nginx, port, &log)?;
        Ok(Self {
            ports,
            url: format!("http://127.0.0.1:{port}/mcp"),
            nginx,
        })
    }
}

impl DemoCluster {
    fn start(dir: &Path) -> CommandResult<Self> {
        let LoadBalancer { ports, url, nginx } = LoadBalancer::start(dir, REPLICAS)?;
        let replicas = (0..REPLICAS).map(|_| None).collect();
        let mut cluster = Self {
            dir: dir.to_owned(),
            ports,
            replicas,
            _nginx: nginx,
            url,
        };
        for replica in 0..REPLICAS {
            cluster.start_replica(replica)?;
        }
        Ok(cluster)
    }

    fn start_replica(&mut self, replica: usize) -> CommandResult {
        let port = self.ports[replica];
        let mut command = Command::new(files::target_dir().join("debug/carryall"));
        command.args([
            "demo",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--replica",
            &(replica + 1).to_string(),
        ]);
        command.arg("--keyring").arg(self.dir.join("keyring"));
        for sibling in self.ports.iter().filter(|other| **other != port) {
            command.args(["--sibling", &format!("http://127.0.0.1:{sibling}/mcp")]);
        }
        let log = self.dir.join(format!("replica-{}.log", replica + 1));
        log_to(&mut command, &log)?;
        let mut group = ChildGroup::spawn(&mut command)?;
        net::wait_until_listening(&mut group, port, &log)?;
        self.replicas[replica] = Some(group);
        Ok(())
    }

    /// Kills a replica with SIGKILL.
    fn kill(&mut self, replica: usize) {
        self.replicas[replica] = None;
    }
}

/// Returns an nginx configuration with plain round robin: no `ip_hash`, no cookie, no use of
/// `Mcp-Session-Id`. A replica that refuses the connection is skipped; a request that was sent is
/// never sent again.
fn nginx_config(dir: &Path, port: u16, ports: &[u16]) -> String {
    let servers: String = ports
        .iter()
        .map(|port| format!("    server 127.0.0.1:{port} max_fails=0;\n"))
        .collect();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {}/{kind};\n", dir.display()))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {dir}/nginx.pid;\nevents {{ worker_connections 1024; }}\nhttp {{\n\
         {temporary}  access_log off;\n  upstream replicas {{\n{servers}  }}\n  server {{\n\
         \x20   listen 127.0.0.1:{port};\n    location / {{\n      proxy_pass http://replicas;\n\
         \x20     proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      proxy_set_header Host $host;\n\
         \x20     proxy_buffering off;\n      proxy_read_timeout 1h;\n      proxy_connect_timeout 2s;\n\
         \x20     proxy_next_upstream error timeout;\n    }}\n  }}\n}}\n",
        dir = dir.display()
    )
}

fn typescript(dir: &Path) -> CommandResult<(&'static str, Command)> {
    let modules = dir.join("npm");
    let node = npm::install(&modules, &[TYPESCRIPT, "zod@4.2.0"])?;
    // Node resolves packages from the folder of the module upwards, so the copy is next to them.
    let program = modules.join("programs").join("balanced.mjs");
    files::write(&program, &files::read(&client_source("client.mjs"))?)?;
    let mut command = Command::new(node);
    command.arg(program);
    Ok(("typescript", command))
}

fn python(dir: &Path) -> CommandResult<(&'static str, Command)> {
    let venv = dir.join("venv");
    let python = venv.join("bin/python");
    let print_version = "import importlib.metadata as m; print('mcp==' + m.version('mcp'))";
    let found = process::output(
        Command::new(&python)
            .args(["-c", print_version])
            .stderr(Stdio::null()),
    );
    if !found.is_ok_and(|found| found.trim() == PYTHON) {
        process::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        process::run(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            PYTHON,
        ]))?;
    }
    let mut command = Command::new(python);
    command.arg(client_source("client.py"));
    Ok(("python", command))
}

fn client_source(name: &str) -> PathBuf {
    files::root().join("interop").join("balanced").join(name)
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
