//! Keeps state between calls: a basket that every replica can open by its handle.
//!
//! To the client, the handle is a string that the model passes from one call to the next. The receipt
//! is a single-use handle: of several concurrent uses, one succeeds.

// Printing is what an example is for.
#![allow(clippy::print_stdout)]

use carryall::store::Memory;
use carryall::{Client, Ctx, Handle, HandleState, HandlerError, Result, Server, tool};
use carryall_examples::{keyring, round_robin};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

#[derive(Default, Serialize, Deserialize)]
struct Basket {
    items: Vec<String>,
}

impl HandleState for Basket {
    const KIND: &'static str = "basket";
}

#[derive(Serialize, Deserialize)]
struct Receipt {
    items: Vec<String>,
}

impl HandleState for Receipt {
    const KIND: &'static str = "receipt";
    const LIFETIME: Duration = Duration::from_secs(60 * 60);
}

/// Creates a basket and returns its handle. Baskets expire after a day without use.
#[tool]
async fn create_basket(ctx: Ctx) -> Result<String, HandlerError> {
    Ok(ctx.handle(Basket::default()).store().await?.to_string())
}

/// Adds an item to a basket
#[tool]
async fn add_item(
    ctx: Ctx,
    /// From `create_basket`
    basket: Handle<Basket>,
    /// What to add
    item: String,
) -> Result<String, HandlerError> {
    let count = ctx.change_handle(&basket, |basket| {
        basket.items.push(item.clone());
        basket.items.len()
    });
    Ok(format!("{} items", count.await?))
}

/// Empties a basket and returns a receipt, which can be used once
#[tool]
async fn check_out(
    ctx: Ctx,
    /// From `create_basket`
    basket: Handle<Basket>,
) -> Result<String, HandlerError> {
    let items = ctx.remove_handle(&basket).await?.items;
    Ok(ctx
        .handle(Receipt { items })
        .single_use()
        .seal()?
        .to_string())
}

/// Returns the items of a receipt
#[tool]
async fn redeem(
    ctx: Ctx,
    /// From `check_out`
    receipt: Handle<Receipt>,
) -> Result<String, HandlerError> {
    Ok(ctx.open_handle(&receipt).await?.items.join(", "))
}

fn replica(store: &Memory) -> Result<Server> {
    // A real deployment uses Postgres or Redis. The replicas of this example are in one process.
    let server = Server::new("shop", "1.0.0")
        .keyring(keyring()?)
        .store(store.clone());
    Ok(server
        .tool(create_basket)
        .tool(add_item)
        .tool(check_out)
        .tool(redeem)
        .build()?)
}

#[tokio::main]
async fn main() -> Result<()> {
    let store = Memory::new();
    let replicas = (0..3)
        .map(|_| replica(&store))
        .collect::<Result<Vec<_>>>()?;
    let client = Client::builder().service(round_robin(replicas)).build()?;
    let basket: String = client.call("create_basket", ()).typed().await?;
    println!("basket: {basket}");
    for item in ["shoes", "socks"] {
        let answer: String = client
            .call("add_item", json!({"basket": basket, "item": item}))
            .typed()
            .await?;
        println!("{item}: {answer}");
    }
    let receipt: String = client
        .call("check_out", json!({"basket": basket}))
        .typed()
        .await?;
    let late = client
        .call("add_item", json!({"basket": basket, "item": "hat"}))
        .await?;
    assert!(late.failed(), "the basket was removed");
    println!("too late: {}", carryall::client::text_of(&late));
    let redeem = || async { client.call("redeem", json!({"receipt": receipt})).await };
    let (one, two, three) = tokio::join!(redeem(), redeem(), redeem());
    let good: Vec<_> = [one?, two?, three?]
        .into_iter()
        .filter(|result| !result.failed())
        .collect();
    assert_eq!(good.len(), 1, "a receipt can be used once");
    let got = carryall::client::text_of(&good[0]);
    println!("redeemed once: {got}");
    assert_eq!(got, "shoes, socks");
    Ok(())
}
