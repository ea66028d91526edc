//! Tools in depth: state, optional arguments, structured results, and a tool that only callers with
//! a scope can use.

// Printing is what an example is for.
#![allow(clippy::print_stdout)]

use carryall::proto::{Principal, SharedService};
use carryall::{Client, Json, Result, Server, State, tool};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

struct PriceList(Vec<(&'static str, u32)>);

#[derive(Serialize, schemars::JsonSchema)]
struct Offer {
    article: String,
    /// The price in cents
    cents: u32,
}

/// Finds articles and their prices.
#[tool(read_only)]
async fn find(
    State(list): State<Arc<PriceList>>,
    /// Part of the name
    text: String,
    /// The highest price in cents; any price if left out
    below: Option<u32>,
) -> Json<Vec<Offer>> {
    let offers = list.0.iter().filter(|(article, cents)| {
        article.contains(&text) && below.is_none_or(|highest| *cents <= highest)
    });
    let offer = |(article, cents): &(&str, u32)| Offer {
        article: (*article).to_owned(),
        cents: *cents,
    };
    Json(offers.map(offer).collect())
}

/// Orders an article.
#[tool(destructive = false, scope = "orders")]
async fn order(caller: Principal, article: String) -> String {
    format!("{article} for {}", caller.subject)
}

fn server() -> Result<Server> {
    let list = PriceList(vec![("red shoes", 8_000), ("blue shoes", 12_000)]);
    Ok(Server::new("shop", "1.0.0")
        .state(Arc::new(list))
        .tool(find)
        .tool(order)
        .build()?)
}

/// Calls the server as `principal`, as an authentication layer would.
fn called_by(principal: Principal, server: Server) -> SharedService {
    let (principal, server) = (Arc::new(principal), server.into_shared());
    SharedService::from_fn(move |mut call| {
        call.set_principal(Some(Arc::clone(&principal)));
        server.answer(call)
    })
}

#[tokio::main]
async fn main() -> Result<()> {
    let server = server()?;
    let stranger = Client::builder().service(server.clone()).build()?;
    let arguments = json!({"text": "shoes", "below": 10_000});
    let offers: Value = stranger.call("find", arguments).typed().await?;
    println!("{offers}");
    assert_eq!(offers, json!([{"article": "red shoes", "cents": 8_000}]));
    assert_eq!(stranger.list_tools().await?.len(), 1, "`order` is hidden");
    assert!(stranger.call("order", ()).await.is_err());

    let ada = Principal {
        issuer: "https://login.example.com".into(),
        subject: "ada".into(),
        client: None,
        scopes: vec!["orders".into()],
    };
    let client = Client::builder().service(called_by(ada, server)).build()?;
    let arguments = json!({"article": "red shoes"});
    let ordered: String = client.call("order", arguments).typed().await?;
    println!("{ordered}");
    assert_eq!(ordered, "red shoes for ada");
    Ok(())
}
