//! The clients. Each exercises one kind of state until the time is over, and checks the answers.
//!
//! A request that is lost with a killed replica is retried. A wrong answer is an error.

mod changes;
mod handles;
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

/// Number of clients of each kind.
const CLIENTS_PER_KIND: u64 = 4;
/// How long a client retries one operation before reporting a missing answer.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// The observations of all clients.
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
    /// Changes that had to be delivered to a listener.
    expected_deliveries: AtomicU64,
    /// Requests that were lost, or failed because the store was not available, and were retried.
    retries: AtomicU64,
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

/// A client and its environment.
#[derive(Clone)]
pub(crate) struct Driver {
    client: Client,
    observations: Arc<ClientObservations>,
    until: Instant,
    random: Random,
    name: String,
}

pub(crate) async fn run(url: &str, seconds: u64, seed: u64, operation_log: &str) -> Result<()> {
    let observations: Arc<ClientObservations> = Arc::default();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut random = Random::new(seed);
    let mut clients = JoinSet::new();
    let observed_changes = Arc::new(changes::ObservedChanges::default());
    for number in 0..CLIENTS_PER_KIND {
        let mut driver = |kind: &str| {
            let name = format!("{kind}{number}");
            let client = client(url, &name)?;
            let (observations, random) = (Arc::clone(&observations), random.split());
            Ok::<_, carryall::proto::BoxError>(Driver {
                client,
                observations,
                until,
                random,
                name,
            })
        };
        clients.spawn(rounds::run(driver("r")?));
        clients.spawn(handles::run(driver("h")?));
        clients.spawn(handles::spend(driver("s")?));
        clients.spawn(tasks::run(driver("t")?));
        clients.spawn(changes::listen(driver("l")?, Arc::clone(&observed_changes)));
        if number == 0 {
            clients.spawn(changes::bump(driver("b")?, Arc::clone(&observed_changes)));
        }
    }
    while let Some(ended) = clients.join_next().await {
        ended?;
    }
    observed_changes.check(&observations);
    for (line, times) in operation_log::counts(operation_log)? {
        if line.starts_with("spent ") && times > 1 {
            observations.wrong(format!("{line} {times} times"));
        }
    }
    // `cargo xtask replicas` parses this line.
    #[allow(clippy::print_stdout)]
    {
        println!("{}", serde_json::to_string(&*observations)?);
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
            answer(&format!("to {}", question.message))
        })
        .build()?)
}

/// Answers an elicitation with the question, so that mixed-up answers are detected.
fn answer(name: &str) -> ElicitResult {
    ElicitResult::accept(JsonObject::from_iter([("name".to_owned(), name.into())]))
}

impl Driver {
    fn is_running(&self) -> bool {
        Instant::now() < self.until
    }

    /// Returns a unique id.
    fn unique_id(&self, number: u64) -> String {
        format!("{}-{number}", self.name)
    }

    async fn pause(&mut self, max_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.random.below(max_ms))).await;
    }

    /// Retries a request until it is answered. If it never is, records an error and returns `None`.
    async fn retry<T, Fut>(&self, what: &str, request: impl Fn() -> Fut) -> Option<T>
    where
        Fut: Future<Output = Result<T, ClientError>>,
    {
        let begun = Instant::now();
        loop {
            match request().await {
                Ok(answer) => return Some(answer),
                Err(error) if is_transient(&error) && begun.elapsed() < RETRY_TIMEOUT => {
                    count(&self.observations.retries);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => {
                    self.observations.wrong(format!("{what}: {error}"));
                    return None;
                }
            }
        }
    }
}

/// Whether the connection to the server or its store was interrupted, so that a retry makes sense.
fn is_transient(error: &ClientError) -> bool {
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
