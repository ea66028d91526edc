//! Notifies listeners on all replicas of a change on one of them.
//!
//! The replicas share the price and a store. The tool that changes the price calls
//! `resource_updated`, and every listener is notified, whichever replica serves its stream.

// Printing is what an example is for.
#![allow(clippy::print_stdout)]

use carryall::client::Change;
use carryall::proto::sync::Mutex;
use carryall::server::{Resource, ServerHandle};
use carryall::store::Memory;
use carryall::types::{ResourceContents, SubscriptionFilter};
use carryall::{Client, Result, Server, State, tool};
use carryall_examples::{keyring, round_robin};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const PRICE: &str = "shop://price";

/// State that all replicas share. A real deployment uses a database.
#[derive(Clone, Default)]
struct Price(Arc<Mutex<u32>>);

impl Price {
    fn now(&self) -> u32 {
        *self.0.lock()
    }

    fn set(&self, cents: u32) {
        *self.0.lock() = cents;
    }
}

/// Changes the price
#[tool]
async fn set_price(
    price: State<Price>,
    server: ServerHandle,
    /// In cents
    cents: u32,
) -> &'static str {
    price.set(cents);
    server.resource_updated(PRICE);
    "changed"
}

fn replica(store: &Memory, price: &Price) -> Result<Server> {
    let read = async |price: State<Price>| price.now().to_string();
    Ok(Server::new("shop", "1.0.0")
        .keyring(keyring()?)
        .store(store.clone())
        .state(price.clone())
        .tool(set_price)
        .resource(Resource::new(PRICE, "price", read))
        .build()?)
}

async fn price(client: &Client) -> Result<String> {
    let read = client.read_resource(PRICE).no_cache().await?;
    match read.contents.first() {
        Some(ResourceContents::Text(text)) => Ok(text.text.clone()),
        _ => Err("the price is text".into()),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let (store, shared) = (Memory::new(), Price::default());
    let replicas = (0..3)
        .map(|_| replica(&store, &shared))
        .collect::<Result<Vec<_>>>()?;
    let client = Client::builder().service(round_robin(replicas)).build()?;
    let filter = || SubscriptionFilter::new().with_resource_subscriptions(vec![PRICE.to_owned()]);
    // The balancer opens each stream on the next replica, so each replica has a listener.
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(client.listen(filter()).await?);
    }
    for cents in [100, 250, 75] {
        let _: String = client
            .call("set_price", json!({"cents": cents}))
            .typed()
            .await?;
        for (number, listener) in listeners.iter_mut().enumerate() {
            let change = tokio::time::timeout(Duration::from_secs(10), listener.next()).await?;
            assert!(
                matches!(change, Some(Ok(Change::Resource(uri))) if *uri == *PRICE),
                "listener {number} is notified"
            );
        }
        let now = price(&client).await?;
        println!("three listeners on three replicas were notified: {now} cents");
        assert_eq!(now, cents.to_string());
    }
    Ok(())
}
