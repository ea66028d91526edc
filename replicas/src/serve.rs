//! One replica: a tool for each kind of state.

use crate::operation_log::OperationLog;
use carryall::server::{
    Handle, HandleError, HandleState, Resource, ServerBuilder, TaskOptions, TaskSupport, Tool,
    keyring_from_file,
};
use carryall::{Ctx, ElicitOutcome, Form, HandlerError, Result, Server, serve};
use carryall_store_postgres::Postgres;
use carryall_store_redis::Redis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The resource that `bump` changes.
pub(crate) const COUNTER: &str = "replicas://counter";
const LEASE: Duration = Duration::from_secs(3);

pub(crate) async fn run(listen: &str, store: &str, keyring: &str, ledger: &str) -> Result<()> {
    let builder = Server::new("replicas", env!("CARGO_PKG_VERSION"))
        .keyring(keyring_from_file(keyring)?)
        .replicated()
        .state(Arc::new(OperationLog::open(ledger)?))
        .tasks(
            TaskOptions::new()
                .lease(LEASE)
                .poll_interval(Duration::from_millis(200))
                .max_attempts(100),
        );
    let builder = match store.split_once(':').map_or(store, |(kind, _)| kind) {
        "postgres" => builder.store(Postgres::connect(store).await?),
        "redis" => builder.store(Redis::connect(store).await?),
        other => return Err(format!("{other:?} is no store that this program knows").into()),
    };
    let server = tools(builder).build()?;
    serve(listen.to_owned(), server).await
}

fn tools(builder: ServerBuilder) -> ServerBuilder {
    builder
        .tool(Tool::new("rounds", rounds))
        .tool(Tool::new("mint", mint))
        .tool(Tool::new("add", add))
        .tool(Tool::new("look", look))
        .tool(Tool::new("spend", spend))
        .tool(
            Tool::new("work", work)
                .as_task(TaskSupport::Always)
                .resumable(),
        )
        .tool(Tool::new("bump", bump))
        .resource(Resource::new(
            COUNTER,
            "counter",
            async || "see the tool look",
        ))
}

#[derive(Deserialize, JsonSchema)]
struct Named {
    name: String,
}

#[derive(Deserialize, JsonSchema)]
struct Id {
    id: String,
}

/// Two questions, one after the other, with something in between that is remembered.
async fn rounds(ctx: Ctx, args: Id) -> Result<String, HandlerError> {
    let ElicitOutcome::Accepted(first) = ctx
        .ask(Form::<Named>::new(format!("First of {}?", args.id)))
        .await?
    else {
        return Err(HandlerError::new("declined"));
    };
    let kept: String = ctx
        .once("kept", async || {
            Ok::<_, HandlerError>(format!("kept {}", first.name))
        })
        .await?;
    let ElicitOutcome::Accepted(second) = ctx
        .ask(Form::<Named>::new(format!("Second of {}?", args.id)))
        .await?
    else {
        return Err(HandlerError::new("declined"));
    };
    Ok(format!("{} {kept} {} {}", args.id, first.name, second.name))
}

#[derive(Default, Serialize, Deserialize)]
struct Bag {
    items: Vec<String>,
}

impl HandleState for Bag {
    const KIND: &'static str = "bag";
}

#[derive(Deserialize, JsonSchema)]
struct Mint {
    once: bool,
    sealed: bool,
    item: String,
}

async fn mint(ctx: Ctx, args: Mint) -> Result<String, HandlerError> {
    let mut new = ctx.handle(Bag {
        items: vec![args.item],
    });
    if args.once {
        new = new.single_use();
    }
    Ok(if args.sealed {
        new.seal()?
    } else {
        new.store().await?
    }
    .to_string())
}

#[derive(Deserialize, JsonSchema)]
struct Add {
    bag: Handle<Bag>,
    item: String,
}

/// Adds what is not there yet: a client that has lost the answer may well ask again.
async fn add(ctx: Ctx, args: Add) -> Result<String, HandlerError> {
    let all = ctx.change_handle(&args.bag, |bag| {
        if !bag.items.contains(&args.item) {
            bag.items.push(args.item.clone());
        }
        bag.items.join(" ")
    });
    Ok(all.await?)
}

#[derive(Deserialize, JsonSchema)]
struct Bagged {
    bag: Handle<Bag>,
}

async fn look(ctx: Ctx, args: Bagged) -> Result<String, HandlerError> {
    Ok(ctx.open_handle(&args.bag).await?.items.join(" "))
}

/// Uses a handle up, and says so in the ledger.
async fn spend(ctx: Ctx, args: Bagged) -> Result<String, HandlerError> {
    match ctx.open_handle(&args.bag).await {
        Ok(bag) => {
            let item = bag.items.join(" ");
            note(&ctx, "spent", &item)?;
            Ok(item)
        }
        Err(HandleError::Unknown { .. }) => Ok("gone".to_owned()),
        Err(error) => Err(error.into()),
    }
}

#[derive(Deserialize, JsonSchema)]
struct Work {
    id: String,
    steps: u64,
    ask: bool,
}

/// Long work in steps, with a question inside.
async fn work(ctx: Ctx, args: Work) -> Result<String, HandlerError> {
    let mut done = Vec::new();
    for step in 0..args.steps {
        let key = format!("step-{step}");
        let outcome: String = ctx
            .once(&key, async || {
                sleep(Duration::from_millis(150)).await;
                Ok::<_, HandlerError>(format!("{}.{step}", args.id))
            })
            .await?;
        done.push(outcome);
        if args.ask && step == args.steps / 2 {
            let ElicitOutcome::Accepted(named) = ctx
                .ask(Form::<Named>::new(format!("Who wants {}?", args.id)))
                .await?
            else {
                return Err(HandlerError::new("declined"));
            };
            done.push(named.name);
        }
    }
    Ok(done.join(" "))
}

/// Changes a part of the resource, and says so to all listeners.
async fn bump(ctx: Ctx, args: Id) -> Result<String, HandlerError> {
    note(&ctx, "bumped", &args.id)?;
    // Below the resource that everybody listens to, so that each change can be told from the
    // others.
    ctx.resource_updated(&format!("{COUNTER}/{}", args.id));
    Ok(args.id)
}

fn note(ctx: &Ctx, what: &str, id: &str) -> Result<(), HandlerError> {
    let ledger: &Arc<OperationLog> = ctx.state().ok_or("no ledger")?;
    Ok(ledger.note(what, id)?)
}
