//! `cargo xtask replicas`: every kind of state on three replicas that die (`docs/reliability.md`).
//!
//! Three replicas over Postgres, again over Redis, behind nginx with plain round robin. Clients
//! keep every kind of state going while a replica is killed every few seconds and started again,
//! and once the database is. At the end what the clients were promised is held against what has
//! happened.

mod services;

use crate::args::Args;
use crate::balanced::Balanced;
use crate::process::{ProcessGroup, log_to};
use crate::{CommandResult, files, net, process};
use serde_json::Value;
use services::Service;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const REPLICAS: usize = 3;
const SECONDS: u64 = 120;
/// Between two kills at least, and how much longer at most; and for how long a replica is away.
const BETWEEN: (u64, u64) = (2_000, 3_000);
const AWAY: Duration = Duration::from_millis(700);
/// Every so many times a replica is not killed but stands still, for longer than its leases last:
/// it then goes on with what others have taken over.
const STANDS_STILL: (u32, Duration) = (4, Duration::from_millis(4_500));
/// What the clients get beyond their time to come to an end.
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
    Balanced::is_possible()?;
    if !no_build {
        process::run(process::cargo().args(["build", "--locked", "-p", "carryall-replicas"]))?;
    }
    let mut problems = Vec::new();
    for store in stores.split(',') {
        let place = files::target_dir().join("replicas").join(store);
        let report = DatabaseCluster::start(&place, store)?.ordeal(seconds, seed)?;
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

/// What one ordeal has come to.
struct OrdealReport {
    killed: u32,
    stopped: u32,
    restarted: u32,
    seen: Value,
}

impl OrdealReport {
    fn row(&self) -> String {
        let Self {
            killed,
            stopped,
            restarted,
            ..
        } = self;
        let mut cells = vec![format!(
            "{killed} replicas killed, {stopped} held, database restarted {restarted} x"
        )];
        let counts = self
            .seen
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| value.is_number());
        cells.extend(counts.map(|(name, count)| format!("{} {count}", name.replace('_', " "))));
        cells.push(format!("wrong {}", self.problems().len()));
        cells.join(", ")
    }

    fn problems(&self) -> Vec<String> {
        let wrong = self.seen["wrong"].as_array().into_iter().flatten();
        wrong
            .map(|what| what.as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

struct DatabaseCluster {
    place: PathBuf,
    service: Service,
    ports: Vec<u16>,
    replicas: Vec<Option<ProcessGroup>>,
    _nginx: ProcessGroup,
    url: String,
}

impl DatabaseCluster {
    fn start(place: &Path, store: &str) -> CommandResult<Self> {
        if place.exists() {
            std::fs::remove_dir_all(place)
                .map_err(|error| format!("{}: {error}", place.display()))?;
        }
        std::fs::create_dir_all(place).map_err(|error| format!("{}: {error}", place.display()))?;
        let service = Service::start(store, place)?;
        let Balanced { ports, url, nginx } = Balanced::prepare(place, REPLICAS)?;
        let replicas = (0..REPLICAS).map(|_| None).collect();
        let mut cluster = Self {
            place: place.to_owned(),
            service,
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
        let log = self.place.join(format!("replica-{}.log", replica + 1));
        // A database that is just coming up may turn a replica away.
        for attempt in 1.. {
            let mut command = program();
            command.args([
                "serve",
                "--listen",
                &format!("127.0.0.1:{port}"),
                "--store",
                self.service.url(),
            ]);
            command
                .arg("--keyring")
                .arg(self.place.join("keyring"))
                .arg("--ledger")
                .arg(self.place.join("ledger"));
            log_to(&mut command, &log)?;
            let mut group = ProcessGroup::spawn(&mut command)?;
            match net::listens(&mut group, port, &log) {
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

    /// Lets the clients work while everything falls over, and asks them what they have seen.
    fn ordeal(mut self, seconds: u64, seed: u64) -> CommandResult<OrdealReport> {
        let log = self.place.join("drive.log");
        let mut command = program();
        command.args([
            "drive",
            &self.url,
            "--seconds",
            &seconds.to_string(),
            "--seed",
            &seed.to_string(),
        ]);
        command.arg("--ledger").arg(self.place.join("ledger"));
        log_to(&mut command, &log)?;
        let mut clients = ProcessGroup::spawn(&mut command)?;
        let (begun, length) = (Instant::now(), Duration::from_secs(seconds));
        let (mut turns, mut killed, mut stopped, mut restarted, mut random) = (0, 0, 0, 0, seed);
        let mut next = |below: u64| {
            // Any sequence does, as long as the seed repeats it.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        while begun.elapsed() < length {
            std::thread::sleep(Duration::from_millis(BETWEEN.0 + next(BETWEEN.1)));
            let victim = usize::try_from(next(REPLICAS as u64)).unwrap_or_default();
            turns += 1;
            if turns % STANDS_STILL.0 == 0
                && let Some(replica) = &self.replicas[victim]
            {
                replica.signal("STOP");
                std::thread::sleep(STANDS_STILL.1);
                replica.signal("CONT");
                stopped += 1;
                continue;
            }
            // SIGKILL, without any warning.
            self.replicas[victim] = None;
            killed += 1;
            if restarted == 0 && begun.elapsed() * 2 > length {
                self.service.restart()?;
                restarted += 1;
            }
            std::thread::sleep(AWAY);
            self.start_replica(victim)?;
        }
        let ended = clients.wait(GRACE);
        let said = files::read(&log)?;
        let last = said.lines().last().unwrap_or_default();
        if ended != Some(true) {
            return Err(format!("the clients did not come to their end: {last}"));
        }
        let seen = serde_json::from_str(last)
            .map_err(|error| format!("the clients said {last:?}: {error}"))?;
        Ok(OrdealReport {
            killed,
            stopped,
            restarted,
            seen,
        })
    }
}

fn program() -> Command {
    Command::new(files::target_dir().join("debug/carryall-replicas"))
}
