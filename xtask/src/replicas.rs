//! `cargo xtask replicas`: every kind of state on replicas that are killed (`docs/reliability.md`).
//!
//! Runs three replicas behind nginx with plain round robin, first on Postgres, then on Redis. Clients
//! exercise every kind of state while replicas are killed and restarted every few seconds, and the
//! database once. At the end, the clients compare what they observed with what they were promised.

mod database;

use crate::args::Args;
use crate::balanced::LoadBalancer;
use crate::process::{ChildGroup, log_to};
use crate::{CommandResult, files, net, process};
use database::DatabaseServer;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const REPLICAS: usize = 3;
const SECONDS: u64 = 120;
/// Pause between two faults in milliseconds: minimum, and maximum random addition.
const PAUSE_MS: (u64, u64) = (2_000, 3_000);
/// Time until a killed replica is restarted.
const DOWNTIME: Duration = Duration::from_millis(700);
/// Every so many faults, a replica is stopped instead of killed.
const STOP_EVERY: u32 = 4;
/// How long a replica is stopped: longer than its leases, so that others have taken over its work when
/// it continues.
const STOPPED: Duration = Duration::from_millis(4_500);
/// Additional time for the clients to finish.
const GRACE: Duration = Duration::from_secs(180);

pub(crate) fn run(mut args: Args) -> CommandResult {
    let number = |value: Option<String>, default: u64| match value {
        Some(value) => value.parse().map_err(|_| format!("{value}: not a number")),
        None => Ok(default),
    };
    let seconds = number(args.option("--seconds")?, SECONDS)?;
    let seed = number(args.option("--seed")?, 1)?;
    let stores = args
        .option("--store")?
        .unwrap_or_else(|| "postgres,redis".to_owned());
    let no_build = args.flag("--no-build");
    args.done()?;
    LoadBalancer::check_installed()?;
    if !no_build {
        process::run(process::cargo().args(["build", "--locked", "-p", "carryall-replicas"]))?;
    }
    let mut problems = Vec::new();
    for store in stores.split(',') {
        let dir = files::target_dir().join("replicas").join(store);
        let report = DatabaseCluster::start(&dir, store)?.inject_faults(seconds, seed)?;
        println!("| {store} | {seconds} s, seed {seed} | {} |", report.row());
        problems.extend(
            report
                .problems()
                .into_iter()
                .map(|problem| format!("{store}: {problem}")),
        );
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

/// The injected faults, and the report of the clients.
struct FaultReport {
    killed: u32,
    stopped: u32,
    restarted: u32,
    observations: Value,
}

impl FaultReport {
    fn row(&self) -> String {
        let Self {
            killed,
            stopped,
            restarted,
            ..
        } = self;
        let mut cells = vec![format!(
            "{killed} replicas killed, {stopped} stopped, database restarted {restarted} x"
        )];
        let counts = self
            .observations
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| value.is_number());
        cells.extend(counts.map(|(name, count)| format!("{} {count}", name.replace('_', " "))));
        cells.push(format!("wrong {}", self.problems().len()));
        cells.join(", ")
    }

    fn problems(&self) -> Vec<String> {
        let errors = self.observations["wrong"].as_array().into_iter().flatten();
        errors
            .map(|error| error.as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

/// Replicas behind nginx that share a database.
struct DatabaseCluster {
    dir: PathBuf,
    database: DatabaseServer,
    ports: Vec<u16>,
    replicas: Vec<Option<ChildGroup>>,
    _nginx: ChildGroup,
    url: String,
}

impl DatabaseCluster {
    fn start(dir: &Path, store: &str) -> CommandResult<Self> {
        if dir.exists() {
            std::fs::remove_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        }
        std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let database = DatabaseServer::start(store, dir)?;
        let LoadBalancer { ports, url, nginx } = LoadBalancer::start(dir, REPLICAS)?;
        let replicas = (0..REPLICAS).map(|_| None).collect();
        let mut cluster = Self {
            dir: dir.to_owned(),
            database,
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
        let log = self.dir.join(format!("replica-{}.log", replica + 1));
        // A database that is starting may reject the connections of a replica.
        for attempt in 1.. {
            let mut command = program();
            command.args([
                "serve",
                "--listen",
                &format!("127.0.0.1:{port}"),
                "--store",
                self.database.url(),
            ]);
            command
                .arg("--keyring")
                .arg(self.dir.join("keyring"))
                .arg("--operation-log")
                .arg(self.dir.join("operations"));
            log_to(&mut command, &log)?;
            let mut group = ChildGroup::spawn(&mut command)?;
            match net::wait_until_listening(&mut group, port, &log) {
                Ok(()) => {
                    self.replicas[replica] = Some(group);
                    return Ok(());
                }
                Err(error) if attempt == 20 => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(500)),
            }
        }
        Ok(())
    }

    /// Runs the clients while killing and stopping replicas, and returns their report.
    fn inject_faults(mut self, seconds: u64, seed: u64) -> CommandResult<FaultReport> {
        let log = self.dir.join("drive.log");
        let mut command = program();
        command.args([
            "drive",
            &self.url,
            "--seconds",
            &seconds.to_string(),
            "--seed",
            &seed.to_string(),
        ]);
        command
            .arg("--operation-log")
            .arg(self.dir.join("operations"));
        log_to(&mut command, &log)?;
        let mut clients = ChildGroup::spawn(&mut command)?;
        let (begun, length) = (Instant::now(), Duration::from_secs(seconds));
        let (mut faults, mut killed, mut stopped, mut restarted, mut random) = (0, 0, 0, 0, seed);
        let mut next = |below: u64| {
            // Any sequence is fine, as long as the seed determines it.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        while begun.elapsed() < length {
            std::thread::sleep(Duration::from_millis(PAUSE_MS.0 + next(PAUSE_MS.1)));
            let victim = usize::try_from(next(REPLICAS as u64)).unwrap_or_default();
            faults += 1;
            if faults % STOP_EVERY == 0
                && let Some(replica) = &self.replicas[victim]
            {
                replica.signal("STOP");
                std::thread::sleep(STOPPED);
                replica.signal("CONT");
                stopped += 1;
                continue;
            }
            // Dropping it sends SIGKILL.
            self.replicas[victim] = None;
            killed += 1;
            if restarted == 0 && begun.elapsed() * 2 > length {
                self.database.restart()?;
                restarted += 1;
            }
            std::thread::sleep(DOWNTIME);
            self.start_replica(victim)?;
        }
        let ended = clients.wait(GRACE);
        let output = files::read(&log)?;
        let last = output.lines().last().unwrap_or_default();
        if ended != Some(true) {
            return Err(format!("the clients failed or timed out: {last}"));
        }
        let observations = serde_json::from_str(last)
            .map_err(|error| format!("the clients printed {last:?}: {error}"))?;
        Ok(FaultReport {
            killed,
            stopped,
            restarted,
            observations,
        })
    }
}

fn program() -> Command {
    Command::new(files::target_dir().join("debug/carryall-replicas"))
}
