//! `carryall up`: one endpoint in front of servers. Without any, in front of replicas of the demo
//! server.

mod banner;
mod demo;
mod edge;
mod front;
mod report;
mod spec;
mod start;

use crate::allow::AllowOptions;
use crate::duration;
use crate::era::EraOption;
use crate::fail::{Exit, Fail};
use crate::mcp_json::Variables;
use crate::replica::ReplicaOptions;
use crate::stop;
use banner::Banner;
use carryall::SessionScope;
use carryall::gateway::Gateway;
use carryall::types::Implementation;
use demo::Children;
use spec::{HeaderOption, Scoped, ServerOptions, UpstreamSpec};
use start::Running;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;

/// Start one MCP endpoint in front of servers; without any, of replicas of the demo server.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  carryall up
  carryall up --http https://mcp.example.com/mcp --header 'Authorization: Bearer ${TOKEN}'
  carryall up --http a=http://127.0.0.1:9001/mcp --http a=http://127.0.0.1:9002/mcp
  carryall up --stdio 'npx -y some-server' --stdio 'files=TOKEN=abc python server.py'
  carryall up --config mcp.json

With one server everything passes as it stands. With several, the names of tools and prompts begin with the name of
their server (files__read). URLs with the same name are replicas of one server. A COMMAND is not run by a shell; it
inherits PATH, HOME and the like but no other variables, so give it those it needs in front, as in the example.

GET /health says whether this process runs, GET /ready whether a server behind it answers.")]
pub(crate) struct Up {
    /// Listen here, with the endpoint at /mcp [default: 127.0.0.1:8080, or the next free port]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// How many replicas of the demo server to start
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64), conflicts_with_all = ["http", "stdio", "config"])]
    replicas: u16,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    allow: AllowOptions,
    /// Serve clients that know nothing but HTTP+SSE (2024-11-05) as well, at /sse and /messages
    #[arg(long)]
    sse: bool,
    #[command(flatten)]
    replica: ReplicaOptions,
    /// How long a request may take
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::parse)]
    call_timeout: Duration,
    /// How long each server may take where several are asked for one answer; it is left out of it
    /// after that
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    fan_out_timeout: Duration,
    /// Print the URL alone, and log nothing but what goes wrong
    #[arg(short, long)]
    quiet: bool,
    /// Log a line for each request
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
}

/// Which servers to stand in front of.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Servers")]
struct Servers {
    /// Stand in front of the server at this URL (repeatable)
    #[arg(long, value_name = "[NAME=]URL", value_parser = spec::http)]
    http: Vec<UpstreamSpec>,
    /// Start this server, which speaks MCP on its standard streams, and stand in front of it
    /// (repeatable)
    #[arg(long, value_name = "[NAME=]COMMAND", value_parser = spec::stdio)]
    stdio: Vec<UpstreamSpec>,
    /// Stand in front of all servers of this mcp.json
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Send this header to the server of that name with every request; variables (${VAR}) are
    /// expanded here, and so stay out of the list of processes (repeatable)
    #[arg(long, value_name = "[NAME=]HEADER: VALUE", value_parser = spec::header)]
    header: Vec<Scoped<HeaderOption>>,
    /// The era of the protocol to speak with a server, or with all: auto, modern or legacy
    /// (repeatable)
    #[arg(long, value_name = "[NAME=]ERA", value_parser = spec::era)]
    era: Vec<Scoped<EraOption>>,
    /// Which callers share a session with a server of an earlier revision, or with all of them:
    /// per-principal, per-client, per-call or shared; without authorization per-principal means
    /// that all share (repeatable)
    #[arg(long = "sessions", value_name = "[NAME=]SCOPE", value_parser = spec::sharing)]
    sharing: Vec<Scoped<SessionScope>>,
}

impl Servers {
    /// The servers, and what begins to start them; `None` when none was named.
    fn start(self) -> Result<Option<Running>, Fail> {
        let variables = Variables::of_process();
        let configured = self
            .config
            .as_deref()
            .map(|file| spec::configured(file, &variables))
            .transpose()?;
        let specs: Vec<UpstreamSpec> = self
            .http
            .into_iter()
            .chain(self.stdio)
            .chain(configured.into_iter().flatten())
            .collect();
        let options = ServerOptions {
            headers: self.header,
            eras: self.era,
            sharing: self.sharing,
        };
        if specs.is_empty() {
            let given = !(options.headers.is_empty()
                && options.eras.is_empty()
                && options.sharing.is_empty());
            return if given {
                Err(Fail::usage(
                    "--header, --era and --sessions are for servers, and none is named",
                )
                .hint("name them with --http, --stdio or --config"))
            } else {
                Ok(None)
            };
        }
        start::start(spec::resolve(specs, options, &variables)?).map(Some)
    }
}

/// What session ids are bound to: replicas of this endpoint are those in front of the same servers.
fn server_name(running: &Running) -> String {
    let mut names: Vec<_> = running
        .upstreams
        .iter()
        .map(|upstream| format!("{:?}", upstream.name()))
        .collect();
    names.sort_unstable();
    format!("carryall up {}", names.join(" "))
}

/// Runs until it is told to stop, then drains.
pub(crate) async fn run(up: Up) -> Result<Exit, Fail> {
    edge::log(up.quiet, up.verbose);
    let stopping = stopping();
    let legacy = up.replica.legacy()?.http_sse_2024(up.sse);
    let listener = edge::bind(up.listen.as_deref()).await?;
    let (children_stop, stopped) = watch::channel(false);
    let mut children = Children::default();
    let running = match up.servers.start()? {
        Some(running) => running,
        None => match demo::start(up.replicas, &mut children, stopped).await {
            Ok(upstream) => Running::only(upstream),
            Err(fail) => {
                children_stop.send_replace(true);
                children.gone().await;
                return Err(fail);
            }
        },
    };
    let legacy = legacy.server_name(server_name(&running));
    let banner = Banner::new(&listener, &running, children.count(), up.sse)?;
    let info = Implementation::new("carryall", env!("CARGO_PKG_VERSION"));
    let builder = running
        .upstreams
        .iter()
        .cloned()
        .fold(Gateway::builder(info), |builder, one| builder.upstream(one));
    let builder = builder
        .call_timeout(up.call_timeout)
        .fan_out_timeout(up.fan_out_timeout);
    let gateway = builder
        .build()
        .map_err(|error| Fail::usage(error.to_string()))?;

    let probing = gateway.clone();
    let probing = tokio::spawn(async move { probing.watch().await });
    banner.show(up.quiet)?;
    let ended = tokio::select! {
        ended = edge::serve(listener, gateway, legacy, &up.allow, stopping.clone()) => ended,
        // What is left is killed with the runtime.
        () = asked(stopping, 2) => return Err(Fail::new(Exit::Interrupted, "stopped without waiting for what was in flight")),
    };
    probing.abort();
    children_stop.send_replace(true);
    tokio::join!(children.gone(), running.stop());
    ended.map(|()| Exit::Ok)
}

/// Counts how often this process was asked to stop. The first time it drains; the second time it
/// does not wait.
fn stopping() -> watch::Receiver<u32> {
    let (count, seen) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            stop::when_asked().await;
            count.send_modify(|count| *count += 1);
        }
    });
    seen
}

/// Waits until this process was asked to stop so many times.
async fn asked(mut stopping: watch::Receiver<u32>, times: u32) {
    if stopping.wait_for(|count| *count >= times).await.is_err() {
        std::future::pending().await
    }
}
