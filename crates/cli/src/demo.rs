//! `carryall demo`: a server that shows every server feature.
//!
//! Every replica answers the same: the state that can change is on a [`Board`] that replicas share.

mod board;
mod long_running;
mod media;
mod prompts;
mod questions;
mod resources;
mod sync;
mod tools;

use crate::allow::AllowOptions;
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::replica::ReplicaOptions;
use crate::signals;
use board::{Board, BoardState};
use carryall::server::{BuildError, FileRoot, TaskSupport};
use carryall::transport::http::HttpServer;
use carryall::{Keyring, Server};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Cache lifetime of lists, which are the same for all callers. Subscribers are notified of
/// changes.
const LIST_TTL: Duration = Duration::from_secs(5);

const INSTRUCTIONS: &str = "This server shows what an MCP server can do. Begin with `whoami` (which replica answers), \
    `add` (typed arguments, structured result) and `countdown` (progress). `book_table` asks the user for details before \
    it goes on, and `bake` runs as a task for clients that support tasks. `surprise` changes the list of tools and \
    `post_notice` the resource demo://notice: subscribe to see it.";

/// Run the demo server, which shows every server feature
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  carryall demo --listen 127.0.0.1:8080\n  carryall tools -- carryall demo --stdio"
)]
pub(crate) struct DemoCommand {
    /// Address to listen on; the endpoint is at /mcp, and port 0 is any free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Serve on standard input and output instead of HTTP
    #[arg(long, conflicts_with_all = ["listen", "announce"])]
    stdio: bool,
    /// Name that the tool `whoami` returns
    #[arg(long, value_name = "NAME", default_value = "demo")]
    replica: String,
    /// Print one line with the URL to standard output, and stop when standard input is closed; for
    /// supervisors
    #[arg(long, value_name = "FORMAT", value_enum)]
    announce: Option<AnnounceFormat>,
    /// File for the state that is shared with other replicas; with --announce, replicas of one
    /// supervisor share one by default
    #[arg(long, value_name = "FILE")]
    board: Option<PathBuf>,
    /// Serve the files in this directory as resources
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
    /// Number of entries per page of a list
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    page_size: u16,
    #[command(flatten)]
    allow: AllowOptions,
    #[command(flatten)]
    replica_options: ReplicaOptions,
}

/// The format of the announced address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum AnnounceFormat {
    /// `{"listening":"http://127.0.0.1:PORT/mcp"}`
    Json,
}

/// The state of all handlers.
pub(crate) struct DemoState {
    /// The name of this replica.
    replica: String,
    board: Board,
}

/// Serves until shutdown is requested.
pub(crate) async fn run(demo: DemoCommand) -> Result<ExitStatus, CliError> {
    let board = match (&demo.board, demo.announce) {
        (Some(file), _) => Board::in_file(file.clone()),
        (None, Some(AnnounceFormat::Json)) => Board::of_supervisor(),
        (None, None) => Board::in_memory(),
    };
    let files = match &demo.files {
        Some(directory) => Some(FileRoot::new(directory).map_err(|error| {
            CliError::usage(format!("--files {}: {error}", directory.display()))
                .hint("name a directory that exists")
        })?),
        None => None,
    };
    let state = Arc::new(DemoState {
        replica: demo.replica.clone(),
        board,
    });
    let board = state.board.read();
    let keyring = demo.replica_options.keyring()?;
    let server = build(
        Arc::clone(&state),
        &board,
        files,
        usize::from(demo.page_size),
        keyring,
    )
    .map_err(|error| {
        CliError::new(
            ExitStatus::Local,
            format!("the demo server is not valid: {error}"),
        )
    })?;
    let follower = tokio::spawn(sync::follow(Arc::clone(&state), server.clone(), board));
    let served = if demo.stdio {
        carryall::serve_stdio(server)
            .await
            .map_err(|error| CliError::new(ExitStatus::Local, format!("standard streams: {error}")))
    } else {
        serve_http(&demo, server).await
    };
    follower.abort();
    state.board.remove();
    served.map(|()| ExitStatus::Ok)
}

async fn serve_http(demo: &DemoCommand, server: Server) -> Result<(), CliError> {
    let failed = |error: std::io::Error| {
        CliError::new(
            ExitStatus::Local,
            format!("cannot listen on {}: {error}", demo.listen),
        )
        .hint("--listen takes HOST:PORT, for example 127.0.0.1:0 for any free port")
    };
    let legacy = demo.replica_options.legacy()?.server_name(server.name());
    let listener = HttpServer::bind(demo.listen.as_str())
        .await
        .map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let url = format!("http://{address}/mcp");
    let stop = announce(demo.announce, &url)?;
    let ending = server.clone();
    let stop = async move {
        stop.await;
        ending.close_subscriptions();
    };
    let maintenance = tokio::spawn(server.maintain());
    let endpoint = demo.allow.apply(
        carryall::service_endpoint(server, legacy),
        address.ip().is_loopback(),
    );
    let served = listener.run_endpoint(endpoint, stop).await.map_err(failed);
    maintenance.abort();
    served
}

/// Announces the URL. Returns a future that completes when the server is to stop.
fn announce(
    how: Option<AnnounceFormat>,
    url: &str,
) -> Result<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>, CliError> {
    match how {
        Some(AnnounceFormat::Json) => {
            // The reader of the line may send signals at once.
            signals::ignore_interrupts();
            let line = serde_json::json!({ "listening": url });
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}")
                .and_then(|()| out.flush())
                .map_err(CliError::output)?;
            Ok(Box::pin(signals::supervisor_gone()))
        }
        None => {
            let mut err = std::io::stderr().lock();
            let _ = writeln!(
                err,
                "The demo server listens on {url} (Ctrl-C stops it).\nTry: carryall tools {url}"
            );
            Ok(Box::pin(signals::shutdown_requested()))
        }
    }
}

/// Builds the server.
fn build(
    state: Arc<DemoState>,
    board: &BoardState,
    files: Option<FileRoot>,
    page_size: usize,
    keyring: Option<Keyring>,
) -> Result<Server, BuildError> {
    let builder = Server::new("carryall-demo", env!("CARGO_PKG_VERSION"))
        .title("carryall demo")
        .description("A tour of what an MCP server can do")
        .icon(media::icon())
        .instructions(INSTRUCTIONS)
        .list_ttl(LIST_TTL)
        .public_lists()
        .page_size(page_size)
        .state(state);
    // Deprecated, and part of the protocol.
    #[allow(deprecated)]
    let builder = builder.with_logging();
    let builder = tools::add(builder);
    // Tasks are kept in memory, which replicas do not share. With replicas, calls are answered when
    // they are done.
    let tasks = if keyring.is_some() {
        TaskSupport::Never
    } else {
        TaskSupport::WhenPossible
    };
    let builder = long_running::add(builder, tasks);
    let builder = questions::add(builder);
    let builder = prompts::add(builder);
    let builder = resources::add(builder, files);
    let builder = match keyring {
        Some(keyring) => builder.keyring(keyring),
        None => builder,
    };
    let builder = if board.surprise {
        builder.tool(tools::surprise_party())
    } else {
        builder
    };
    builder.build()
}

#[cfg(test)]
mod tests;
