//! The servers behind the endpoint: HTTP clients for URLs, child processes for commands.
//!
//! The endpoint does not wait for any of them. Processes are started beside each other, and one
//! that cannot be started is what a URL is where nobody listens: it is left out, tried again, and
//! reported.

use super::report::{self, Watched};
use super::spec::{Replicas, ResolvedUpstream};
use crate::era::memory;
use crate::fail::Fail;
use crate::target::Process;
use carryall::gateway::{ProbeConfig, ReplicaHandle, Upstream};
use carryall::proto::backoff::Backoff;
use carryall::proto::{CallError, Printable, SharedService};
use carryall::transport::http::HttpClient;
use carryall::transport::stdio::ServerCommand;
use carryall::{DualEraHttp, DualEraOptions, DualEraStdio, SessionScope};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Servers that are somebody else's are asked less often whether they live.
const HTTP_PROBE: ProbeConfig = ProbeConfig {
    every: Duration::from_secs(10),
    within: Duration::from_secs(5),
};
/// A child that has exited is started again by the next request, and be it this one.
const STDIO_PROBE: ProbeConfig = ProbeConfig {
    every: Duration::from_secs(2),
    within: Duration::from_secs(10),
};
/// Between attempts to start a command that does not start.
const RESTART: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// The upstreams, and the tasks that start and watch them.
pub(super) struct Running {
    pub(super) upstreams: Vec<Upstream>,
    /// What they are, for people.
    pub(super) shown: Vec<String>,
    stop: watch::Sender<bool>,
    /// Each looks after one child.
    children: Vec<JoinHandle<()>>,
    reports: Vec<JoinHandle<()>>,
}

impl Running {
    pub(super) fn only(upstream: Upstream) -> Self {
        Self {
            upstreams: vec![upstream],
            ..Self::none()
        }
    }

    fn none() -> Self {
        Self {
            upstreams: Vec::new(),
            shown: Vec::new(),
            stop: watch::Sender::new(false),
            children: Vec::new(),
            reports: Vec::new(),
        }
    }

    /// Ends the children, and waits until they are gone.
    pub(super) async fn stop(self) {
        self.reports.iter().for_each(JoinHandle::abort);
        self.stop.send_replace(true);
        join_all(self.children).await;
    }
}

/// Begins to start what is to be started, and waits for none of it.
///
/// # Errors
/// When a URL or a name is not valid.
pub(super) fn start(all: Vec<ResolvedUpstream>) -> Result<Running, Fail> {
    let mut running = Running::none();
    let several = all.len() > 1;
    for ResolvedUpstream {
        name,
        replicas,
        era,
        sharing,
    } in all
    {
        let invalid =
            |error: &dyn std::fmt::Display| Fail::usage(format!("the server {name:?}: {error}"));
        let upstream = Upstream::new(&name).map_err(|error| invalid(&error))?;
        // A session, and an answer in the middle of a call, belongs to one replica.
        let single = !matches!(&replicas, Replicas::Urls(urls) if urls.len() > 1);
        let options = DualEraOptions::default()
            .era_cache(memory())
            .era(era)
            .session_scope(sharing)
            .match_client_era(single);
        let (upstream, shown) = match replicas {
            Replicas::Urls(urls) => {
                let upstream = upstream.probe(Some(HTTP_PROBE));
                let mut watched = Vec::new();
                for (url, headers) in &urls {
                    let http = HttpClient::builder(url).map_err(|error| invalid(&error))?;
                    let http = headers
                        .iter()
                        .cloned()
                        .fold(http, |http, (name, value)| http.header(name, value));
                    let way = DualEraHttp::new(
                        http.build().map_err(|error| invalid(&error))?,
                        options.clone(),
                    );
                    let label = without_query(url);
                    upstream
                        .replica(&label)
                        .up(SharedService::new_boxed(way.clone()));
                    watched.push(Watched {
                        label,
                        decision: Box::new(move || way.decision()),
                    });
                }
                let shown: Vec<String> = urls.iter().map(|(url, _)| without_query(url)).collect();
                running.reports.push(tokio::spawn(report::watch(
                    upstream.clone(),
                    watched,
                    sharing,
                )));
                (upstream, shown.join(" and "))
            }
            Replicas::Command(process) => {
                let upstream = upstream.shared_channel().probe(Some(STDIO_PROBE));
                let command = command(&process, &name);
                // Arguments often hold secrets.
                let shown = command.program().into_owned();
                let child = Child {
                    name: name.clone(),
                    command,
                    options,
                    sharing,
                    replica: upstream.replica(&name),
                };
                // From here on calls wait for it.
                child.replica.starting();
                running
                    .children
                    .push(tokio::spawn(child.run(running.stop.subscribe())));
                (upstream, shown)
            }
        };
        running.shown.push(if several {
            format!("{shown} as {name}__")
        } else {
            shown
        });
        running.upstreams.push(upstream);
    }
    Ok(running)
}

fn command(process: &Process, name: &str) -> ServerCommand {
    let command = ServerCommand::new(&process.program).args(&process.args);
    let command = process
        .env
        .iter()
        .fold(command, |command, (name, value)| command.env(name, value));
    let command = match &process.cwd {
        Some(directory) => command.current_dir(directory),
        None => command,
    };
    let said_by = name.to_owned();
    command.on_stderr(move |line| tracing::info!("{said_by} says: {}", Printable(line)))
}

/// A query may hold a secret, which does not belong on a terminal or into a log.
fn without_query(url: &str) -> String {
    match url.split_once('?') {
        Some((place, _)) => format!("{place}?..."),
        None => url.to_owned(),
    }
}

/// A server on standard streams.
struct Child {
    name: String,
    command: ServerCommand,
    options: DualEraOptions,
    sharing: SessionScope,
    replica: ReplicaHandle,
}

impl Child {
    /// Starts it, again and again if need be, until it runs; once it does, it is started again by
    /// the calls that find it gone. Ends it when told to stop.
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut failures = 0;
        loop {
            self.replica.starting();
            let spawned = tokio::select! {
                spawned = DualEraStdio::spawn(self.command.clone(), self.options.clone()) => spawned,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match spawned {
                Ok(way) => {
                    self.replica.up(SharedService::new_boxed(way.clone()));
                    report::came_up(&self.name, way.decision(), self.sharing);
                    let _ = stop.wait_for(|stop| *stop).await;
                    self.replica.down();
                    way.shutdown().await;
                    return;
                }
                Err(error) => {
                    self.replica.down();
                    let pause = RESTART.delay(failures, random());
                    self.report_failure(&error, failures, pause);
                    failures = failures.saturating_add(1);
                    tokio::select! {
                        () = sleep(pause) => {}
                        _ = stop.wait_for(|stop| *stop) => return,
                    }
                }
            }
        }
    }

    /// The first failure is worth a warning; that it goes on failing is not news.
    fn report_failure(&self, error: &CallError, failures: u32, pause: Duration) {
        let (name, error) = (&self.name, error.to_string());
        let error = Printable(
            error
                .strip_prefix("cannot reach the server: ")
                .unwrap_or(&error),
        );
        if failures == 0 {
            tracing::warn!(
                "{name} does not start: {error}; it is tried again, and left out until then. See whether its command runs \
                 by itself; it inherits PATH and HOME, but no other variables"
            );
        } else {
            tracing::debug!("{name} does not start: {error}; the next attempt is in {pause:?}");
        }
    }
}

/// For jitter: without randomness all are tried at the same time, which does no harm.
fn random() -> u64 {
    let mut bits = [0; 8];
    let _ = getrandom::fill(&mut bits);
    u64::from_le_bytes(bits)
}
