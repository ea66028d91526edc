//! Starts the upstreams: HTTP clients for URLs, child processes for commands.
//!
//! The endpoint waits for none of them. Processes are started concurrently. One that does not start
//! is treated like a URL that does not answer: it is left out, retried, and logged.

use super::report::{self, ProbedServer};
use super::spec::{ResolvedUpstream, UpstreamReplicas};
use crate::era;
use crate::error::CliError;
use crate::target::StdioCommand;
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

/// Remote servers belong to others and are probed less often.
const HTTP_PROBE: ProbeConfig = ProbeConfig {
    interval: Duration::from_secs(10),
    timeout: Duration::from_secs(5),
};
/// A child that has exited is restarted by the next request, which may be this probe.
const STDIO_PROBE: ProbeConfig = ProbeConfig {
    interval: Duration::from_secs(2),
    timeout: Duration::from_secs(10),
};
/// Delay between attempts to start a command.
const START_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// The upstreams, and the tasks that start and probe them.
pub(super) struct StartedUpstreams {
    pub(super) upstreams: Vec<Upstream>,
    /// A label of each for people.
    pub(super) labels: Vec<String>,
    stop: watch::Sender<bool>,
    /// One supervisor per child.
    children: Vec<JoinHandle<()>>,
    reports: Vec<JoinHandle<()>>,
}

impl StartedUpstreams {
    pub(super) fn only(upstream: Upstream) -> Self {
        Self {
            upstreams: vec![upstream],
            ..Self::none()
        }
    }

    fn none() -> Self {
        Self {
            upstreams: Vec::new(),
            labels: Vec::new(),
            stop: watch::Sender::new(false),
            children: Vec::new(),
            reports: Vec::new(),
        }
    }

    /// Stops the children and waits until they have exited.
    pub(super) async fn stop(self) {
        self.reports.iter().for_each(JoinHandle::abort);
        self.stop.send_replace(true);
        join_all(self.children).await;
    }
}

/// Starts all upstreams without waiting for any.
///
/// # Errors
/// An invalid URL or name.
pub(super) fn start(all: Vec<ResolvedUpstream>) -> Result<StartedUpstreams, CliError> {
    let mut started = StartedUpstreams::none();
    let several = all.len() > 1;
    for ResolvedUpstream {
        name,
        replicas,
        era,
        sharing,
    } in all
    {
        let invalid =
            |error: &dyn std::fmt::Display| CliError::usage(format!("server {name:?}: {error}"));
        let upstream = Upstream::new(&name).map_err(|error| invalid(&error))?;
        // A legacy session belongs to one replica, as do answers within a call, so the clients' era
        // can only be matched without replicas.
        let single = !matches!(&replicas, UpstreamReplicas::Urls(urls) if urls.len() > 1);
        let options = DualEraOptions::default()
            .era_cache(era::cache())
            .era(era)
            .session_scope(sharing)
            .match_client_era(single);
        let (upstream, label) = match replicas {
            UpstreamReplicas::Urls(urls) => {
                let upstream = upstream.probe(Some(HTTP_PROBE));
                let mut probed = Vec::new();
                for (url, headers) in &urls {
                    let http = HttpClient::builder(url).map_err(|error| invalid(&error))?;
                    let http = headers
                        .iter()
                        .cloned()
                        .fold(http, |http, (name, value)| http.header(name, value));
                    let client = DualEraHttp::new(
                        http.build().map_err(|error| invalid(&error))?,
                        options.clone(),
                    );
                    let label = without_query(url);
                    upstream
                        .replica(&label)
                        .up(SharedService::new_boxed(client.clone()));
                    probed.push(ProbedServer {
                        label,
                        decision: Box::new(move || client.decision()),
                    });
                }
                let labels: Vec<String> = urls.iter().map(|(url, _)| without_query(url)).collect();
                started.reports.push(tokio::spawn(report::watch(
                    upstream.clone(),
                    probed,
                    sharing,
                )));
                (upstream, labels.join(" and "))
            }
            UpstreamReplicas::Command(process) => {
                let upstream = upstream.shared_channel().probe(Some(STDIO_PROBE));
                let command = command(&process, &name);
                // Without the arguments, which often contain secrets.
                let label = command.program().into_owned();
                let child = StdioUpstream {
                    name: name.clone(),
                    command,
                    options,
                    sharing,
                    replica: upstream.replica(&name),
                };
                // From now on calls wait for it.
                child.replica.starting();
                started
                    .children
                    .push(tokio::spawn(child.run(started.stop.subscribe())));
                (upstream, label)
            }
        };
        started.labels.push(if several {
            format!("{label} as {name}__")
        } else {
            label
        });
        started.upstreams.push(upstream);
    }
    Ok(started)
}

fn command(process: &StdioCommand, name: &str) -> ServerCommand {
    let command = ServerCommand::new(&process.program).args(&process.args);
    let command = process
        .env
        .iter()
        .fold(command, |command, (name, value)| command.env(name, value));
    let command = match &process.cwd {
        Some(directory) => command.current_dir(directory),
        None => command,
    };
    let name = name.to_owned();
    command.on_stderr(move |line| tracing::info!("{name} stderr: {}", Printable(line)))
}

/// Hides the query, which may contain secrets, in messages and logs.
fn without_query(url: &str) -> String {
    match url.split_once('?') {
        Some((rest, _)) => format!("{rest}?..."),
        None => url.to_owned(),
    }
}

/// A server on standard streams.
struct StdioUpstream {
    name: String,
    command: ServerCommand,
    options: DualEraOptions,
    sharing: SessionScope,
    replica: ReplicaHandle,
}

impl StdioUpstream {
    /// Starts the server, retrying until it runs, and stops it when told to. Once it has run, calls
    /// restart it if it has exited.
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut failures = 0;
        loop {
            self.replica.starting();
            let spawned = tokio::select! {
                spawned = DualEraStdio::spawn(self.command.clone(), self.options.clone()) => spawned,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match spawned {
                Ok(client) => {
                    self.replica.up(SharedService::new_boxed(client.clone()));
                    report::log_revision(&self.name, client.decision(), self.sharing);
                    let _ = stop.wait_for(|stop| *stop).await;
                    self.replica.down();
                    client.shutdown().await;
                    return;
                }
                Err(error) => {
                    self.replica.down();
                    let pause = START_BACKOFF.delay(failures, random());
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

    /// Warns of the first failure; later ones are logged at debug level.
    fn report_failure(&self, error: &CallError, failures: u32, pause: Duration) {
        let (name, error) = (&self.name, error.to_string());
        let error = Printable(
            error
                .strip_prefix("cannot reach the server: ")
                .unwrap_or(&error),
        );
        if failures == 0 {
            tracing::warn!(
                "{name} does not start: {error}; it is left out and retried. Check that its command runs by itself: it \
                 inherits PATH and HOME, but no other variables"
            );
        } else {
            tracing::debug!("{name} does not start: {error}; next attempt in {pause:?}");
        }
    }
}

/// Returns random bits for jitter, or zero if there is no randomness.
fn random() -> u64 {
    let mut bits = [0; 8];
    let _ = getrandom::fill(&mut bits);
    u64::from_le_bytes(bits)
}
