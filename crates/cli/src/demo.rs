//! `carryall demo`: a server that tours every server feature.
//!
//! Every replica answers the same: what can change at run time lives on a [`Board`] that replicas
//! share.

mod board;
mod media;
mod prompts;
mod questions;
mod resources;
mod tools;
mod work;

use crate::allow::AllowOptions;
use crate::fail::{Exit, Fail};
use crate::replica::ReplicaOptions;
use crate::stop;
use board::{Board, Notes};
use carryall::server::{BuildError, FileRoot, TaskSupport};
use carryall::transport::http::HttpServer;
use carryall::{Keyring, Server};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Lists are the same for everybody and change seldom; listeners are told.
const LIST_TTL: Duration = Duration::from_secs(5);

const INSTRUCTIONS: &str = "This server shows what an MCP server can do. Begin with `whoami` (which replica answers), \
    `add` (typed arguments, structured result) and `countdown` (progress). `book_table` asks the user for details before \
    it goes on, and `bake` is a task for clients that take tasks. `surprise` changes the list of tools and `post_notice` the resource demo://notice: listen to see it.";

/// Run the demo server: a tour of every server feature.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  carryall demo --listen 127.0.0.1:8080\n  carryall tools -- carryall demo --stdio"
)]
pub(crate) struct Demo {
    /// Serve Streamable HTTP here, with the endpoint at /mcp; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Serve on standard input and output instead
    #[arg(long, conflicts_with_all = ["listen", "announce"])]
    stdio: bool,
    /// The name that `whoami` answers with
    #[arg(long, value_name = "NAME", default_value = "demo")]
    replica: String,
    /// Print one line of JSON with the URL to standard output, and stop when standard input ends:
    /// for supervisors
    #[arg(long, value_name = "FORMAT", value_enum)]
    announce: Option<AnnounceFormat>,
    /// Share what can change with other replicas through this file; supervised replicas share one
    /// without it
    #[arg(long, value_name = "FILE")]
    board: Option<PathBuf>,
    /// Offer the files of this directory as resources
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
    #[command(flatten)]
    allow: AllowOptions,
    #[command(flatten)]
    sharing: ReplicaOptions,
    /// Entries on one page of a list
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    page_size: u16,
}

/// How the address is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum AnnounceFormat {
    /// `{"listening":"http://127.0.0.1:PORT/mcp"}`
    Json,
}

/// What the handlers share.
pub(crate) struct Shared {
    /// The name of this replica.
    replica: String,
    board: Board,
}

/// Serves until it is told to stop.
pub(crate) async fn run(demo: Demo) -> Result<Exit, Fail> {
    let board = match (&demo.board, demo.announce) {
        (Some(file), _) => Board::shared(file.clone()),
        (None, Some(AnnounceFormat::Json)) => Board::of_siblings(),
        (None, None) => Board::alone(),
    };
    let files = match &demo.files {
        Some(directory) => Some(FileRoot::new(directory).map_err(|error| {
            Fail::usage(format!("--files {}: {error}", directory.display()))
                .hint("name a directory that exists")
        })?),
        None => None,
    };
    let shared = Arc::new(Shared {
        replica: demo.replica.clone(),
        board,
    });
    let notes = shared.board.now();
    let keyring = demo.sharing.keyring()?;
    let server = build(
        Arc::clone(&shared),
        &notes,
        files,
        usize::from(demo.page_size),
        keyring,
    )
    .map_err(|error| {
        Fail::new(
            Exit::Local,
            format!("the demo server is not valid: {error}"),
        )
    })?;
    let follower = tokio::spawn(board::follow(shared.clone(), server.clone(), notes));
    let served = if demo.stdio {
        carryall::serve_stdio(server)
            .await
            .map_err(|error| Fail::new(Exit::Local, format!("standard streams: {error}")))
    } else {
        serve_http(&demo, server).await
    };
    follower.abort();
    shared.board.leave();
    served.map(|()| Exit::Ok)
}

async fn serve_http(demo: &Demo, server: Server) -> Result<(), Fail> {
    let cannot = |error: std::io::Error| {
        Fail::new(
            Exit::Local,
            format!("cannot listen on {}: {error}", demo.listen),
        )
        .hint("--listen takes HOST:PORT, for example 127.0.0.1:0 for any free port")
    };
    let legacy = demo.sharing.legacy()?.server_name(server.name());
    let listener = HttpServer::bind(demo.listen.as_str())
        .await
        .map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
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
    let served = listener.run_endpoint(endpoint, stop).await.map_err(cannot);
    maintenance.abort();
    served
}

/// Says where the server listens, and gives what ends it.
fn announce(
    how: Option<AnnounceFormat>,
    url: &str,
) -> Result<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>, Fail> {
    match how {
        Some(AnnounceFormat::Json) => {
            // Whoever reads the line may send signals from then on.
            stop::heed_interrupts();
            let line = serde_json::json!({ "listening": url });
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}")
                .and_then(|()| out.flush())
                .map_err(Fail::output)?;
            Ok(Box::pin(stop::when_abandoned()))
        }
        None => {
            let mut err = std::io::stderr().lock();
            let _ = writeln!(
                err,
                "The demo server listens on {url} (Ctrl-C stops it).\nTry: carryall tools {url}"
            );
            Ok(Box::pin(stop::when_asked()))
        }
    }
}

/// Puts the server together.
fn build(
    shared: Arc<Shared>,
    notes: &Notes,
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
        .state(shared);
    // Logging is part of the tour for as long as it is part of the protocol.
    #[allow(deprecated)]
    let builder = builder.with_logging();
    let builder = tools::add(builder);
    // Tasks are in memory here. Replicas would not know those of the others, so with them a call is
    // answered when it is done.
    let tasks = if keyring.is_some() {
        TaskSupport::Never
    } else {
        TaskSupport::WhenPossible
    };
    let builder = work::add(builder, tasks);
    let builder = questions::add(builder);
    let builder = prompts::add(builder);
    let builder = resources::add(builder, files);
    let builder = match keyring {
        Some(keyring) => builder.keyring(keyring),
        None => builder,
    };
    let builder = if notes.surprise {
        builder.tool(tools::surprise_party())
    } else {
        builder
    };
    builder.build()
}

#[cfg(test)]
mod tests;
