//! A replica, with a tool for each kind of state.

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

pub(crate) async fn run(
    listen: &str,
    store: &str,
    keyring: &str,
    operation_log: &str,
) -> Result<()> {
    let builder = Server::new("replicas", env!("CARGO_PKG_VERSION"))
        .keyring(keyring_from_file(keyring)?)
        .replicated()
        .state(Arc::new(OperationLog::open(operation_log)?))
        .tasks(
            TaskOptions::new()
                .lease(LEASE)
                .poll_interval(Duration::from_millis(200))
                .max_attempts(100),
        );
    let builder = match store.split_once(':').map_or(store, |(kind, _)| kind) {
        "postgres" => builder.store(Postgres::connect(store).await?),
        "redis" => builder.store(Redis::connect(store).await?),
        other => return Err(format!("unknown store {other:?}").into()),
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
struct NameAnswer {
    name: String,
}

#[derive(Deserialize, JsonSchema)]
struct IdArgs {
    id: String,
}

/// Elicits two names, one after the other, with a stored value in between.
async fn rounds(ctx: Ctx, args: IdArgs) -> Result<String, HandlerError> {
    let ElicitOutcome::Accepted(first) = ctx
        .ask(Form::<NameAnswer>::new(format!("First of {}?", args.id)))
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
        .ask(Form::<NameAnswer>::new(format!("Second of {}?", args.id)))
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
struct MintArgs {
    once: bool,
    sealed: bool,
    item: String,
}

async fn mint(ctx: Ctx, args: MintArgs) -> Result<String, HandlerError> {
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
struct AddItemArgs {
    bag: Handle<Bag>,
    item: String,
}

/// Adds an item unless it is present: a client that has lost the answer retries.
async fn add(ctx: Ctx, args: AddItemArgs) -> Result<String, HandlerError> {
    let all = ctx.change_handle(&args.bag, |bag| {
        if !bag.items.contains(&args.item) {
            bag.items.push(args.item.clone());
        }
        bag.items.join(" ")
    });
    Ok(all.await?)
}

#[derive(Deserialize, JsonSchema)]
struct BagArgs {
    bag: Handle<Bag>,
}

async fn look(ctx: Ctx, args: BagArgs) -> Result<String, HandlerError> {
    Ok(ctx.open_handle(&args.bag).await?.items.join(" "))
}

/// Uses a single-use handle and records it in the operation log.
async fn spend(ctx: Ctx, args: BagArgs) -> Result<String, HandlerError> {
    match ctx.open_handle(&args.bag).await {
        Ok(bag) => {
            let item = bag.items.join(" ");
            record(&ctx, "spent", &item)?;
            Ok(item)
        }
        Err(HandleError::Unknown { .. }) => Ok("gone".to_owned()),
        Err(error) => Err(error.into()),
    }
}

#[derive(Deserialize, JsonSchema)]
struct WorkArgs {
    id: String,
    steps: u64,
    ask: bool,
}

/// Works in steps, with an elicitation in the middle.
async fn work(ctx: Ctx, args: WorkArgs) -> Result<String, HandlerError> {
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
            let ElicitOutcome::Accepted(answer) = ctx
                .ask(Form::<NameAnswer>::new(format!("Who wants {}?", args.id)))
                .await?
            else {
                return Err(HandlerError::new("declined"));
            };
            done.push(answer.name);
        }
    }
    Ok(done.join(" "))
}

/// Changes a part of the resource and notifies all listeners.
async fn bump(ctx: Ctx, args: IdArgs) -> Result<String, HandlerError> {
    record(&ctx, "bumped", &args.id)?;
    // A URI below the resource that the clients subscribe to, so that each change is identifiable.
    ctx.resource_updated(&format!("{COUNTER}/{}", args.id));
    Ok(args.id)
}

fn record(ctx: &Ctx, operation: &str, id: &str) -> Result<(), HandlerError> {
    let log: &Arc<OperationLog> = ctx.state().ok_or("no operation log")?;
    Ok(log.append(operation, id)?)
}
