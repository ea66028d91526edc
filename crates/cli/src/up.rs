//! `carryall up`: one endpoint in front of servers; without any, in front of replicas of the demo
//! server.

mod banner;
mod demo_replicas;
mod listener;
mod logging;
mod report;
mod serve;
mod service;
mod shutdown;
mod spec;
mod start;

use crate::allow::AllowOptions;
use crate::config::ConfigVariables;
use crate::duration;
use crate::era::EraOption;
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::replica::ReplicaOptions;
use banner::Banner;
use carryall::SessionScope;
use carryall::gateway::Gateway;
use carryall::types::Implementation;
use demo_replicas::DemoReplicas;
use shutdown::ShutdownSignals;
use spec::{HeaderOption, PerServerOptions, Scoped, UpstreamSpec};
use start::StartedUpstreams;
use std::path::PathBuf;
use std::time::Duration;

/// Start one MCP endpoint in front of servers; without any, in front of replicas of the demo server
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  carryall up
  carryall up --http https://mcp.example.com/mcp --header 'Authorization: Bearer ${TOKEN}'
  carryall up --http a=http://127.0.0.1:9001/mcp --http a=http://127.0.0.1:9002/mcp
  carryall up --stdio 'npx -y some-server' --stdio 'files=TOKEN=abc python server.py'
  carryall up --config mcp.json

A single server is passed through unchanged. With several, the names of tools and prompts are prefixed with the name \
of their server (files__read). URLs with the same name are replicas of one server. A COMMAND is not run by a shell; it \
inherits PATH, HOME and the like, but no other variables: set those that it needs before it, as in the example.

GET /health reports whether this process is running, GET /ready whether an upstream answers.")]
pub(crate) struct UpCommand {
    /// Address to listen on; the endpoint is at /mcp [default: 127.0.0.1:8080, or the next free
    /// port]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Number of replicas of the demo server to start
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64), conflicts_with_all = ["http", "stdio", "config"])]
    replicas: u16,
    /// Also serve clients of HTTP+SSE (2024-11-05), at /sse and /messages
    #[arg(long)]
    sse: bool,
    /// Timeout of a request
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::parse)]
    call_timeout: Duration,
    /// Timeout of each server if several are asked for one answer, which then omits the slow ones
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    fan_out_timeout: Duration,
    /// Print only the URL, and log only warnings and errors
    #[arg(short, long)]
    quiet: bool,
    /// Log every request
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    #[command(flatten)]
    upstreams: UpstreamArgs,
    #[command(flatten)]
    allow: AllowOptions,
    #[command(flatten)]
    replica: ReplicaOptions,
}

/// The servers behind the endpoint.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Servers")]
struct UpstreamArgs {
    /// Server at this URL (repeatable)
    #[arg(long, value_name = "[NAME=]URL", value_parser = spec::http)]
    http: Vec<UpstreamSpec>,
    /// Command that starts a server, which speaks MCP on its standard streams (repeatable)
    #[arg(long, value_name = "[NAME=]COMMAND", value_parser = spec::stdio)]
    stdio: Vec<UpstreamSpec>,
    /// All servers in this mcp.json
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Send this header with every request to the server NAME; variables (${VAR}) are expanded, so
    /// that secrets do not appear in the process list (repeatable)
    #[arg(long, value_name = "[NAME=]HEADER: VALUE", value_parser = spec::header)]
    header: Vec<Scoped<HeaderOption>>,
    /// Protocol era of the server NAME, or of all: auto, modern or legacy (repeatable)
    #[arg(long, value_name = "[NAME=]ERA", value_parser = spec::era)]
    era: Vec<Scoped<EraOption>>,
    /// Which callers share a session with the server NAME, or with each, if its revision has
    /// sessions: per-principal, per-client, per-call or shared; without authorization,
    /// per-principal means that all callers share one (repeatable)
    #[arg(long = "sessions", value_name = "[NAME=]SCOPE", value_parser = spec::sharing)]
    sharing: Vec<Scoped<SessionScope>>,
}

impl UpstreamArgs {
    /// Starts the servers, without waiting for them. Returns `None` if none is named.
    fn start(self) -> Result<Option<StartedUpstreams>, CliError> {
        let variables = ConfigVariables::of_process();
        let configured = self
            .config
            .as_deref()
            .map(|file| spec::from_config(file, &variables))
            .transpose()?;
        let specs: Vec<UpstreamSpec> = self
            .http
            .into_iter()
            .chain(self.stdio)
            .chain(configured.into_iter().flatten())
            .collect();
        let options = PerServerOptions {
            headers: self.header,
            eras: self.era,
            sharing: self.sharing,
        };
        if !specs.is_empty() {
            return start::start(spec::resolve(specs, options, &variables)?).map(Some);
        }
        if options.is_empty() {
            return Ok(None);
        }
        Err(CliError::usage(
            "--header, --era and --sessions apply to servers, and no server was given",
        )
        .hint("give servers with --http, --stdio or --config"))
    }
}

/// Returns the server name that session ids are bound to. Replicas of this endpoint are those with
/// the same upstreams.
fn server_name(started: &StartedUpstreams) -> String {
    let mut names: Vec<_> = started
        .upstreams
        .iter()
        .map(|upstream| format!("{:?}", upstream.name()))
        .collect();
    names.sort_unstable();
    format!("carryall up {}", names.join(" "))
}

/// Serves until shutdown is requested, then drains.
pub(crate) async fn run(up: UpCommand) -> Result<ExitStatus, CliError> {
    logging::install(up.quiet, up.verbose);
    let shutdown = ShutdownSignals::listen();
    let legacy = up.replica.legacy()?.http_sse_2024(up.sse);
    let listener = listener::bind(up.listen.as_deref()).await?;
    let mut replicas = DemoReplicas::default();
    let started = match up.upstreams.start()? {
        Some(started) => started,
        None => match replicas.start(up.replicas).await {
            Ok(upstream) => StartedUpstreams::only(upstream),
            Err(error) => {
                replicas.stop().await;
                return Err(error);
            }
        },
    };
    let legacy = legacy.server_name(server_name(&started));
    let banner = Banner::new(&listener, &started, replicas.count(), up.sse)?;
    let info = Implementation::new("carryall", env!("CARGO_PKG_VERSION"));
    let gateway = started
        .upstreams
        .iter()
        .cloned()
        .fold(Gateway::builder(info), |builder, upstream| {
            builder.upstream(upstream)
        })
        .call_timeout(up.call_timeout)
        .fan_out_timeout(up.fan_out_timeout)
        .build()
        .map_err(|error| CliError::usage(error.to_string()))?;

    let watched = gateway.clone();
    let watching = tokio::spawn(async move { watched.watch().await });
    banner.print(up.quiet)?;
    let ended = tokio::select! {
        ended = serve::serve(listener, gateway, legacy, &up.allow, shutdown.clone()) => ended,
        // What is left is killed when the runtime is dropped.
        () = shutdown.forced() => {
            return Err(CliError::new(
                ExitStatus::Interrupted,
                "stopped without waiting for requests in flight",
            ));
        }
    };
    watching.abort();
    tokio::join!(replicas.stop(), started.stop());
    ended.map(|()| ExitStatus::Ok)
}
