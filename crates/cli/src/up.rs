//! `carryall up`: one endpoint in front of servers. Without any, in front of replicas of the demo server.

mod banner;
mod demo;
mod edge;
mod fronted;

use crate::duration;
use crate::fail::{Exit, Fail};
use crate::replica::ReplicaOptions;
use crate::stop;
use banner::Banner;
use carryall::gateway::Gateway;
use carryall::types::Implementation;
use demo::Children;
use fronted::Fronted;
use std::time::Duration;
use tokio::sync::watch;

/// Start one MCP endpoint in front of servers; without any, of replicas of the demo server.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  carryall up
  carryall up --http https://mcp.example.com/mcp
  carryall up --http a=http://127.0.0.1:9001/mcp --http a=http://127.0.0.1:9002/mcp
  carryall up --stdio 'npx -y some-server' --stdio 'files=TOKEN=abc python server.py'

With one server everything passes as it stands. With several, the names of tools and prompts begin with the name of
their server (files__read). URLs with the same name are replicas of one server. A COMMAND is not run by a shell; it
inherits PATH, HOME and the like but no other variables, so give it those it needs in front, as in the example.")]
pub(crate) struct Up {
    /// Listen here, with the endpoint at /mcp [default: 127.0.0.1:8080, or the next free port]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// How many replicas of the demo server to start
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64), conflicts_with_all = ["http", "stdio"])]
    replicas: u16,
    /// Stand in front of the server at this URL; may be given several times
    #[arg(long, value_name = "[NAME=]URL", value_parser = fronted::http)]
    http: Vec<Fronted>,
    /// Start this server, which speaks MCP on its standard streams, and stand in front of it; may be given several times
    #[arg(long, value_name = "[NAME=]COMMAND", value_parser = fronted::stdio)]
    stdio: Vec<Fronted>,
    #[command(flatten)]
    replica: ReplicaOptions,
    /// How long a request may take
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::parse)]
    call_timeout: Duration,
    /// Print the URL alone, and log nothing but what goes wrong
    #[arg(short, long)]
    quiet: bool,
    /// Log a line for each request
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
}

/// How long an upstream may take to show at the start that it is there.
const CHECK: Duration = Duration::from_secs(3);

/// Runs until it is told to stop, then drains.
pub(crate) async fn run(up: Up) -> Result<Exit, Fail> {
    edge::log(up.quiet, up.verbose);
    let stopping = stopping();
    let legacy = up.replica.legacy()?;
    let listener = edge::bind(up.listen.as_deref()).await?;
    let (children_stop, stopped) = watch::channel(false);
    let mut children = Children::default();
    let fronted: Vec<Fronted> = up.http.into_iter().chain(up.stdio).collect();
    let running = if fronted.is_empty() {
        match demo::start(up.replicas, &mut children, stopped).await {
            Ok(upstream) => fronted::Running::only(upstream),
            Err(fail) => {
                children_stop.send_replace(true);
                children.gone().await;
                return Err(fail);
            }
        }
    } else {
        fronted::start(fronted).await?
    };
    let banner = Banner::new(&listener, &running, children.count())?;
    let info = Implementation::new("carryall", env!("CARGO_PKG_VERSION"));
    let builder = running.upstreams.iter().cloned().fold(Gateway::builder(info), |builder, one| builder.upstream(one));
    let gateway = builder.call_timeout(up.call_timeout).build().map_err(|error| Fail::usage(error.to_string()))?;

    let probing = gateway.clone();
    let probing = tokio::spawn(async move { probing.watch().await });
    let checking = tokio::spawn(edge::report_silent(running.upstreams.clone(), CHECK));
    banner.show(up.quiet)?;
    let ended = tokio::select! {
        ended = edge::serve(listener, gateway, legacy, stopping.clone()) => ended,
        // What is left is killed with the runtime.
        () = asked(stopping, 2) => return Err(Fail::new(Exit::Interrupted, "stopped without waiting for what was in work")),
    };
    probing.abort();
    checking.abort();
    children_stop.send_replace(true);
    tokio::join!(children.gone(), running.stop());
    ended.map(|()| Exit::Ok)
}

/// Counts how often this process was asked to stop. The first time it drains; the second time it does not wait.
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
