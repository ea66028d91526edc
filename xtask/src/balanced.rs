//! `cargo xtask balanced`: clients with a handshake behind plain round robin.
//!
//! Three replicas of the demo server behind nginx without any affinity; a client of the TypeScript
//! SDK v1 and one of the Python SDK v1 call, hear progress and answer questions, while one replica
//! is killed and started again. Not one request may be answered 404, and not one answer may be
//! wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use std::collections::BTreeMap;

use crate::args::Args;
use crate::process::{ProcessGroup, exists, log_to};
use crate::{CommandResult, files, net, npm, process};

const TYPESCRIPT: &str = "@modelcontextprotocol/sdk@1.32.2";
const PYTHON: &str = "mcp==1.30.0";
const REPLICAS: usize = 3;
const ROUNDS: u32 = 500;
/// The replica that is killed, when, and for how long it is away.
const VICTIM: usize = 1;
const KILLED_AFTER: Duration = Duration::from_secs(6);
const AWAY: Duration = Duration::from_secs(3);
/// For one client to do all its rounds.
const LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn run(mut args: Args) -> CommandResult {
    let rounds = match args.option("--rounds")? {
        Some(rounds) => rounds
            .parse()
            .map_err(|_| format!("--rounds {rounds}: not a number"))?,
        None => ROUNDS,
    };
    let no_build = args.flag("--no-build");
    args.done()?;
    Balanced::is_possible()?;
    let place = files::target_dir().join("balanced");
    if !no_build {
        process::run(process::cargo().args(["build", "--locked", "-p", "carryall-cli"]))?;
    }
    let clients = [typescript(&place)?, python(&place)?];
    let mut cluster = BalancedReplicas::start(&place)?;
    let mut running = Vec::new();
    for (name, mut command) in clients {
        let log = place.join(format!("{name}.log"));
        command.args([cluster.url.as_str(), &rounds.to_string()]);
        log_to(&mut command, &log)?;
        running.push((name, ProcessGroup::spawn(&mut command)?, log));
    }
    std::thread::sleep(KILLED_AFTER);
    cluster.kill(VICTIM);
    std::thread::sleep(AWAY);
    cluster.start_replica(VICTIM)?;
    let mut problems = Vec::new();
    for (name, mut client, log) in running {
        let ended = client.wait(LIMIT);
        let said = files::read(&log)?;
        let last = said.lines().last().unwrap_or_default();
        if ended != Some(true) {
            problems.push(format!("{name} did not come to its end: {}", tail(&said)));
            continue;
        }
        let seen: BalancedObservations =
            serde_json::from_str(last).map_err(|error| format!("{name} said {last:?}: {error}"))?;
        println!("{name}: {seen}");
        problems.extend(
            seen.problems(rounds)
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

/// What a client has seen.
#[derive(Deserialize)]
struct BalancedObservations {
    calls: u32,
    notifications: u32,
    elicitations: u32,
    /// Calls that were lost with the replica, and made again.
    again: u32,
    wrong: Vec<String>,
    /// How often each method was answered with each status.
    statuses: BTreeMap<String, u32>,
    replicas: BTreeMap<String, u32>,
}

impl BalancedObservations {
    fn problems(&self, rounds: u32) -> Vec<String> {
        let mut problems = self.wrong.clone();
        if self.calls != 3 * rounds || self.elicitations < rounds || self.notifications < rounds {
            problems.push(format!("{rounds} rounds were asked for"));
        }
        if self.replicas.len() != REPLICAS {
            problems.push(format!(
                "not all replicas have answered: {:?}",
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
            again,
            wrong,
            statuses,
            replicas,
        } = self;
        write!(
            f,
            "{calls} calls, {notifications} notifications, {elicitations} elicitations, {again} made again, {} wrong; \
             statuses {statuses:?}; answered by {replicas:?}",
            wrong.len()
        )
    }
}

/// The replicas and the balancer.
struct BalancedReplicas {
    place: PathBuf,
    ports: Vec<u16>,
    replicas: Vec<Option<ProcessGroup>>,
    _nginx: ProcessGroup,
    url: String,
}

/// What replicas need before they can start: a keyring in the folder, ports, and the balancer in
/// front of them.
pub(crate) struct Balanced {
    pub(crate) ports: Vec<u16>,
    pub(crate) url: String,
    pub(crate) nginx: ProcessGroup,
}

impl Balanced {
    /// Looks for what has to be installed, before anything else takes its time.
    pub(crate) fn is_possible() -> CommandResult {
        if exists("nginx") {
            Ok(())
        } else {
            Err("nginx is not installed (Debian: apt-get install nginx-light)".to_owned())
        }
    }

    pub(crate) fn prepare(place: &Path, replicas: usize) -> CommandResult<Self> {
        // A secret of a test is no secret.
        files::write(&place.join("keyring"), &format!("1 {}\n", "5a".repeat(32)))?;
        let ports = (0..replicas)
            .map(|_| net::free_port())
            .collect::<CommandResult<Vec<u16>>>()?;
        let port = net::free_port()?;
        let (config, log) = (place.join("nginx.conf"), place.join("nginx.log"));
        files::write(&config, &nginx(place, port, &ports))?;
        let mut command = Command::new("nginx");
        command
            .args(["-e", "stderr", "-p"])
            .arg(place)
            .arg("-c")
            .arg(&config);
        log_to(&mut command, &log)?;
        let mut nginx = ProcessGroup::spawn(&mut command)?;
        net::listens(&mut nginx, port, &log)?;
        Ok(Self {
            ports,
            url: format!("http://127.0.0.1:{port}/mcp"),
            nginx,
        })
    }
}

impl BalancedReplicas {
    fn start(place: &Path) -> CommandResult<Self> {
        let Balanced { ports, url, nginx } = Balanced::prepare(place, REPLICAS)?;
        let replicas = (0..REPLICAS).map(|_| None).collect();
        let mut cluster = Self {
            place: place.to_owned(),
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
        command.arg("--keyring").arg(self.place.join("keyring"));
        for sibling in self.ports.iter().filter(|other| **other != port) {
            command.args(["--sibling", &format!("http://127.0.0.1:{sibling}/mcp")]);
        }
        let log = self.place.join(format!("replica-{}.log", replica + 1));
        log_to(&mut command, &log)?;
        let mut group = ProcessGroup::spawn(&mut command)?;
        net::listens(&mut group, port, &log)?;
        self.replicas[replica] = Some(group);
        Ok(())
    }

    /// SIGKILL, without any warning.
    fn kill(&mut self, replica: usize) {
        self.replicas[replica] = None;
    }
}

/// Plain round robin: no `ip_hash`, no cookie, no look at `Mcp-Session-Id`. A replica that does not
/// even take the connection is passed over; a request that was sent is never sent twice.
fn nginx(place: &Path, port: u16, ports: &[u16]) -> String {
    let servers: String = ports
        .iter()
        .map(|port| format!("    server 127.0.0.1:{port} max_fails=0;\n"))
        .collect();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {}/{kind};\n", place.display()))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {place}/nginx.pid;\nevents {{ worker_connections 1024; }}\nhttp {{\n\
         {temporary}  access_log off;\n  upstream replicas {{\n{servers}  }}\n  server {{\n\
         \x20   listen 127.0.0.1:{port};\n    location / {{\n      proxy_pass http://replicas;\n\
         \x20     proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      proxy_set_header Host $host;\n\
         \x20     proxy_buffering off;\n      proxy_read_timeout 1h;\n      proxy_connect_timeout 2s;\n\
         \x20     proxy_next_upstream error timeout;\n    }}\n  }}\n}}\n",
        place = place.display()
    )
}

fn typescript(place: &Path) -> CommandResult<(&'static str, Command)> {
    let modules = place.join("npm");
    let node = npm::install(&modules, &[TYPESCRIPT, "zod@4.2.0"])?;
    // A module looks for its packages above the place where it lies, so it has to lie beside them.
    let program = modules.join("programs").join("balanced.mjs");
    files::write(&program, &files::read(&ours("client.mjs"))?)?;
    let mut command = Command::new(node);
    command.arg(program);
    Ok(("typescript", command))
}

fn python(place: &Path) -> CommandResult<(&'static str, Command)> {
    let venv = place.join("venv");
    let python = venv.join("bin/python");
    let ask = "import importlib.metadata as m; print('mcp==' + m.version('mcp'))";
    let found = process::output(
        Command::new(&python)
            .args(["-c", ask])
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
    command.arg(ours("client.py"));
    Ok(("python", command))
}

fn ours(what: &str) -> PathBuf {
    files::root().join("interop").join("balanced").join(what)
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
