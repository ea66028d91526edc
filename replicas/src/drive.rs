//! The clients: each keeps one kind of state going until the time is over, and remembers what it
//! was promised.
//!
//! A request that a dying replica takes with it is made again, as any client would. What may not
//! happen is a wrong answer.

mod handles;
mod news;
mod rounds;
mod tasks;

use crate::operation_log;
use crate::random::Random;
use carryall::client::ClientError;
use carryall::proto::CallError;
use carryall::transport::http::HttpClient;
use carryall::types::{ElicitRequestFormParams, ElicitResult, JsonObject, code};
use carryall::{Client, Result};
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How many clients of each kind there are.
const EACH: u64 = 4;
/// How long a client goes on trying one thing before it is an answer that never came.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the clients have seen, all together.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ClientObservations {
    round_calls: AtomicU64,
    handles: AtomicU64,
    handle_changes: AtomicU64,
    single_uses: AtomicU64,
    tasks: AtomicU64,
    task_questions: AtomicU64,
    bumps: AtomicU64,
    listens: AtomicU64,
    events: AtomicU64,
    /// Changes that some listener had to be told of.
    owed: AtomicU64,
    /// Requests that were lost on the way or met a store that was away, and were made again.
    again: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl ClientObservations {
    fn wrong(&self, what: impl Into<String>) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() < 100 {
            wrong.push(what.into());
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// One client and all it needs.
#[derive(Clone)]
pub(crate) struct Driver {
    client: Client,
    seen: Arc<ClientObservations>,
    until: Instant,
    random: Random,
    name: String,
}

pub(crate) async fn run(url: &str, seconds: u64, seed: u64, ledger: &str) -> Result<()> {
    let seen: Arc<ClientObservations> = Arc::default();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut random = Random::new(seed);
    let mut running = JoinSet::new();
    let watched = Arc::new(news::ObservedChanges::default());
    for number in 0..EACH {
        let mut driver = |kind: &str| {
            let name = format!("{kind}{number}");
            let client = client(url, &name)?;
            let (seen, random) = (Arc::clone(&seen), random.part());
            Ok::<_, carryall::proto::BoxError>(Driver {
                client,
                seen,
                until,
                random,
                name,
            })
        };
        running.spawn(rounds::run(driver("r")?));
        running.spawn(handles::run(driver("h")?));
        running.spawn(handles::spend(driver("s")?));
        running.spawn(tasks::run(driver("t")?));
        running.spawn(news::listen(driver("l")?, Arc::clone(&watched)));
        if number == 0 {
            running.spawn(news::bump(driver("b")?, Arc::clone(&watched)));
        }
    }
    while let Some(ended) = running.join_next().await {
        ended?;
    }
    watched.judge(&seen);
    for (line, times) in operation_log::counts(ledger)? {
        if line.starts_with("spent ") && times > 1 {
            seen.wrong(format!("{line} {times} times"));
        }
    }
    // The one line that the other half of the command reads.
    #[allow(clippy::print_stdout)]
    {
        println!("{}", serde_json::to_string(&*seen)?);
    }
    Ok(())
}

fn client(url: &str, name: &str) -> Result<Client> {
    Ok(Client::builder()
        .name(name)
        .service(HttpClient::new(url)?)
        .mirror_headers(true)
        .tasks()
        .timeout(Duration::from_secs(10))
        .on_elicit(async |question: ElicitRequestFormParams| {
            named(&format!("to {}", question.message))
        })
        .build()?)
}

/// The answer that everybody gives: what was asked, so that a mix-up shows.
fn named(name: &str) -> ElicitResult {
    ElicitResult::accept(JsonObject::from_iter([("name".to_owned(), name.into())]))
}

impl Driver {
    fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// A name that nothing else has.
    fn fresh(&self, number: u64) -> String {
        format!("{}-{number}", self.name)
    }

    async fn pause(&mut self, most: u64) {
        tokio::time::sleep(Duration::from_millis(self.random.below(most))).await;
    }

    /// Makes a request until it is answered. `None`, and that is noted, when it never is.
    async fn insist<T, Fut>(&self, what: &str, request: impl Fn() -> Fut) -> Option<T>
    where
        Fut: Future<Output = Result<T, ClientError>>,
    {
        let begun = Instant::now();
        loop {
            match request().await {
                Ok(answer) => return Some(answer),
                Err(error) if is_passing(&error) && begun.elapsed() < PATIENCE => {
                    count(&self.seen.again);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => {
                    self.seen.wrong(format!("{what}: {error}"));
                    return None;
                }
            }
        }
    }
}

/// Whether the way to the server or its store was interrupted, and it makes sense to try again.
fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Call(CallError::NotMcp { status, .. }) => *status >= 500,
        ClientError::Call(_) => true,
        ClientError::Server(error) => {
            error.code == code::INTERNAL_ERROR && error.message.contains("try again")
        }
        ClientError::Tool(result) => {
            carryall::client::text_of(result).contains("not available at the moment")
        }
        _ => false,
    }
}
