//! Measures the cost of state in one process, without a network.
//!
//! `carryall-state-bench [STORE-URL]...` prints a table. Stores are `sqlite:PATH`, `postgres://...` and
//! `redis://...`; memory is always measured.
//!
//! `carryall-state-bench serve ADDRESS` runs a server with the tools `whoami` and `book_table` of the
//! interop servers. `carryall-state-bench rounds URL` calls both tools of such a server, to measure the
//! cost of a second round.

use carryall::client::Change;
use carryall::proto::seal::NONCE_BYTES;
use carryall::server::{Resource, TaskOptions, TaskSupport, Tool};
use carryall::store::{Memory, Store};
use carryall::types::{ElicitRequestFormParams, ElicitResult, JsonObject, SubscriptionFilter};
use carryall::{Client, Ctx, ElicitOutcome, Form, HandlerError, Keyring, Result, Server};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Repetitions of each short operation.
const REPETITIONS: u32 = 20_000;
const LISTENERS: usize = 10_000;
const TASKS: usize = 2_000;
/// Number of concurrent calls.
const CONCURRENCY: usize = 64;

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", address] => return carryall::serve(address.to_owned(), restaurant()?).await,
        ["rounds", url] => return rounds_over_http(url).await,
        _ => {}
    }
    println!("| operation | figure |\n|---|---|");
    sealing()?;
    rounds().await?;
    listens().await?;
    tasks("memory", Arc::new(Memory::new())).await?;
    for url in std::env::args().skip(1) {
        let (kind, path) = url.split_once(':').unwrap_or((&url, ""));
        let store: Arc<dyn Store> = match kind {
            "sqlite" => Arc::new(carryall_store_sqlite::Sqlite::open(path)?),
            "postgres" => Arc::new(carryall_store_postgres::Postgres::connect(url.as_str()).await?),
            "redis" => Arc::new(carryall_store_redis::Redis::connect(url.as_str()).await?),
            other => {
                return Err(
                    format!("unknown store {other}; expected sqlite, postgres or redis").into(),
                );
            }
        };
        tasks(kind, store).await?;
    }
    Ok(())
}

fn keyring() -> Result<Keyring> {
    Ok(format!("1 {}", "5a".repeat(32)).parse()?)
}

/// Returns microseconds per repetition.
fn average(begun: Instant, times: u32) -> f64 {
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(times)
}

fn sealing() -> Result<()> {
    let keyring = keyring()?;
    for size in [200, 10_000] {
        let record = vec![b'x'; size];
        let begun = Instant::now();
        for _ in 0..REPETITIONS {
            let mut nonce = [0; NONCE_BYTES];
            getrandom::fill(&mut nonce)?;
            black_box(keyring.seal("request-state", b"caller", u64::MAX, nonce, &record)?);
        }
        let sealed = average(begun, REPETITIONS);
        let token = keyring.seal(
            "request-state",
            b"caller",
            u64::MAX,
            [1; NONCE_BYTES],
            &record,
        )?;
        let begun = Instant::now();
        for _ in 0..REPETITIONS {
            black_box(
                keyring
                    .open("request-state", b"caller", 0, &token)
                    .map_err(|_| "not opened")?,
            );
        }
        println!(
            "| seal and open {size} bytes | {sealed:.1} and {:.1} us |",
            average(begun, REPETITIONS)
        );
    }
    Ok(())
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Confirm {
    sure: bool,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Booking {
    date: String,
    guests: u32,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct BookTableArgs {
    restaurant: String,
}

fn restaurant() -> Result<Server> {
    let book = async |ctx: Ctx, args: BookTableArgs| {
        let asked = ctx
            .ask(Form::<Booking>::new(format!(
                "When, and for how many, at {}?",
                args.restaurant
            )))
            .await?;
        let ElicitOutcome::Accepted(booking) = asked else {
            return Ok("no table".to_owned());
        };
        Ok::<_, HandlerError>(format!(
            "A table for {} at {} on {}.",
            booking.guests, args.restaurant, booking.date
        ))
    };
    Ok(Server::new("bench", "1")
        .keyring(keyring()?)
        .tool(Tool::new("whoami", async || "bench"))
        .tool(Tool::new("book_table", book))
        .build()?)
}

/// Measures a server over HTTP, one request at a time on one connection.
async fn rounds_over_http(url: &str) -> Result<()> {
    let user = async |_: ElicitRequestFormParams| {
        let booking = [
            ("date".to_owned(), "2026-12-01".into()),
            ("guests".to_owned(), 4.into()),
        ];
        ElicitResult::accept(JsonObject::from_iter(booking))
    };
    let client = Client::builder()
        .service(carryall::transport::http::HttpClient::new(url)?)
        .on_elicit(user)
        .build()?;
    let mut figures = [Vec::new(), Vec::new()];
    // Alternates, so that changes of the machine affect both.
    for _ in 0..5 {
        let begun = Instant::now();
        for _ in 0..REPETITIONS / 10 {
            black_box(client.call("whoami", ()).await?);
        }
        figures[0].push(average(begun, REPETITIONS / 10));
        let begun = Instant::now();
        for _ in 0..REPETITIONS / 10 {
            black_box(
                client
                    .call("book_table", serde_json::json!({"restaurant": "Noma"}))
                    .await?,
            );
        }
        figures[1].push(average(begun, REPETITIONS / 10));
    }
    let [plain, two_rounds] = figures.map(|mut figures| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    });
    println!(
        "{url}: plain {plain:.1} us, two rounds {two_rounds:.1} us, {:.2} times",
        two_rounds / plain
    );
    Ok(())
}

async fn rounds() -> Result<()> {
    let asks = async |ctx: Ctx| {
        let answer = ctx.ask(Form::<Confirm>::new("Really?")).await?;
        Ok::<_, HandlerError>(
            if matches!(answer, ElicitOutcome::Accepted(Confirm { sure: true })) {
                "yes"
            } else {
                "no"
            },
        )
    };
    let server = Server::new("bench", "1")
        .keyring(keyring()?)
        .tool(Tool::new("plain", async || "yes"))
        .tool(Tool::new("asks", asks))
        .build()?;
    let user = async |_: ElicitRequestFormParams| {
        ElicitResult::accept(JsonObject::from_iter([("sure".into(), true.into())]))
    };
    let client = Client::builder().service(server).on_elicit(user).build()?;
    let mut figures = Vec::new();
    for tool in ["plain", "asks"] {
        let begun = Instant::now();
        for _ in 0..REPETITIONS {
            black_box(client.call(tool, ()).await?);
        }
        figures.push(average(begun, REPETITIONS));
    }
    println!(
        "| a call without input, in process | {:.1} us |",
        figures[0]
    );
    println!(
        "| a call in two rounds | {:.1} us, {:.1} times as long |",
        figures[1],
        figures[1] / figures[0]
    );
    Ok(())
}

/// Returns the resident memory of this process in bytes.
fn resident() -> Result<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    Ok(pages
        .split(' ')
        .nth(1)
        .ok_or("no statm")?
        .parse::<usize>()?
        * 4096)
}

async fn listens() -> Result<()> {
    let server = Server::new("bench", "1")
        .resource(Resource::new("b:/x", "x", async || "x"))
        .build()?;
    let client = Client::builder().service(server.clone()).build()?;
    let before = resident()?;
    let mut open = Vec::with_capacity(LISTENERS);
    for _ in 0..LISTENERS {
        let filter = SubscriptionFilter::new().with_resource_subscriptions(vec!["b:/x".to_owned()]);
        open.push(client.listen(filter).await?);
    }
    let each = (resident()? - before) as f64 / LISTENERS as f64 / 1024.0;
    println!("| {LISTENERS} idle listens, both ends in process | {each:.1} KiB each |");
    let begun = Instant::now();
    server.resource_updated("b:/x");
    let published = begun.elapsed();
    for listener in &mut open {
        assert!(matches!(
            listener.next().await,
            Some(Ok(Change::Resource(_)))
        ));
    }
    let delivered = begun.elapsed();
    println!(
        "| one change to {LISTENERS} listeners | published after {:.1} ms, read by the last listener after {:.1} ms |",
        published.as_secs_f64() * 1e3,
        delivered.as_secs_f64() * 1e3
    );
    Ok(())
}

async fn tasks(kind: &str, store: Arc<dyn Store>) -> Result<()> {
    let server = Server::new("bench", "1")
        .keyring(keyring()?)
        .shared_store(store)
        .tasks(TaskOptions::new().poll_interval(Duration::from_millis(20)))
        .tool(Tool::new("work", async || "done").as_task(TaskSupport::Always))
        .build()?;
    let client = Client::builder().service(server).tasks().build()?;
    let begun = Instant::now();
    let workers = (0..CONCURRENCY).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            for _ in 0..TASKS / CONCURRENCY {
                client.call("work", ()).await?;
            }
            Ok::<_, carryall::client::ClientError>(())
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await??;
    }
    let count = (TASKS / CONCURRENCY * CONCURRENCY) as f64;
    println!(
        "| tasks from call to result, {CONCURRENCY} at once, {kind} | {:.0} a second |",
        count / begun.elapsed().as_secs_f64()
    );
    Ok(())
}
