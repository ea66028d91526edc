//! Calls `echo` in a closed loop and prints one line of figures in the format of the other clients.

use std::sync::Arc;
use std::time::{Duration, Instant};

use carryall::Client;
use carryall::transport::ServerCommand;
use carryall::types::ContentBlock;
use serde::Serialize;

/// Concurrency, duration and argument size of a load.
#[derive(Clone, Copy)]
pub struct LoadPlan {
    in_flight: usize,
    secs: u64,
    bytes: usize,
}

impl LoadPlan {
    pub fn parse(args: &[&str]) -> carryall::Result<Self> {
        let [in_flight, secs, bytes] = args else {
            return Err("expected CONC SECS BYTES".into());
        };
        Ok(Self {
            in_flight: in_flight.parse()?,
            secs: secs.parse()?,
            bytes: bytes.parse()?,
        })
    }
}

pub async fn http(url: &str, plan: LoadPlan) -> carryall::Result<()> {
    drive(Client::http(url)?, "http", plan).await
}

pub async fn stdio(command: &[&str], plan: LoadPlan) -> carryall::Result<()> {
    let (program, args) = command.split_first().ok_or("expected a command")?;
    let command = ServerCommand::new(program).args(args);
    drive(Client::stdio(command).await?, "stdio", plan).await
}

async fn drive(client: Client, label: &str, plan: LoadPlan) -> carryall::Result<()> {
    let text: Arc<str> = "x".repeat(plan.bytes).into();
    for _ in 0..200 {
        call(&client, &text).await?;
    }
    let start = Instant::now();
    let end = start + Duration::from_secs(plan.secs);
    let mut workers = Vec::new();
    for _ in 0..plan.in_flight {
        let (client, text) = (client.clone(), text.clone());
        workers.push(tokio::spawn(async move {
            let mut took = Vec::with_capacity(1 << 16);
            loop {
                let begin = Instant::now();
                if begin >= end {
                    return Ok::<_, carryall::proto::BoxError>(took);
                }
                call(&client, &text).await?;
                took.push(begin.elapsed());
            }
        }));
    }
    let mut took = Vec::new();
    for worker in workers {
        took.extend(worker.await??);
    }
    let elapsed = start.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |share: f64| {
        took[((took.len() as f64 * share) as usize).min(took.len() - 1)].as_secs_f64() * 1e6
    };
    println!(
        "carryall-client-{label} conc={} bytes={} calls/s={:.0} p50_us={:.1} p99_us={:.1}",
        plan.in_flight,
        plan.bytes,
        took.len() as f64 / elapsed,
        at(0.50),
        at(0.99)
    );
    Ok(())
}

#[derive(Serialize)]
struct Arguments<'a> {
    text: &'a str,
}

async fn call(client: &Client, text: &str) -> carryall::Result<()> {
    let result = client.call("echo", Arguments { text }).await?;
    if result
        .content
        .first()
        .and_then(ContentBlock::as_text)
        .map(str::len)
        != Some(text.len())
    {
        return Err("the result differs from the argument".into());
    }
    Ok(())
}
