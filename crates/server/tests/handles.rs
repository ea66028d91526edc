//! Handles: state between calls, on any replica, for the caller they were minted for.

use carryall_proto::budget::Amount;
use carryall_proto::seal::{Keyring, SealingKey};
use carryall_server::{
    Ctx, Handle, HandleError, HandleState, HandlerError, Server, ServerBuilder, Tool,
};
use carryall_store::{Memory, Store};
use carryall_testkit::{TestReply, answer, call, call_as};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Default, Serialize, Deserialize)]
struct Basket {
    items: Vec<String>,
}

impl HandleState for Basket {
    const KIND: &'static str = "basket";
}

/// The same state under another name.
#[derive(Default, Serialize, Deserialize)]
struct Cart {
    items: Vec<String>,
}

impl HandleState for Cart {
    const KIND: &'static str = "cart";
}

#[derive(Deserialize, JsonSchema)]
struct Minting {
    sealed: bool,
    once: bool,
    #[serde(default)]
    millis: Option<u64>,
    #[serde(default)]
    size: usize,
}

#[derive(Deserialize, JsonSchema)]
struct Adding {
    basket: Handle<Basket>,
    item: String,
}

#[derive(Deserialize, JsonSchema)]
struct OfBasket {
    handle: Handle<Basket>,
}

#[derive(Deserialize, JsonSchema)]
struct OfCart {
    handle: Handle<Cart>,
}

async fn mint(ctx: Ctx, args: Minting) -> Result<String, HandlerError> {
    let basket = Basket {
        items: vec!["x".repeat(args.size)],
    };
    let mut new = ctx.handle(basket);
    if args.once {
        new = new.single_use();
    }
    if let Some(millis) = args.millis {
        new = new.expires_in(Duration::from_millis(millis));
    }
    Ok(if args.sealed {
        new.seal()?
    } else {
        new.store().await?
    }
    .to_string())
}

fn items(basket: &Basket) -> String {
    basket.items.join(" ").trim().to_owned()
}

fn server(store: &Memory) -> Server {
    builder("handles", store).build().unwrap()
}

fn builder(name: &str, store: &Memory) -> ServerBuilder {
    let open = async |ctx: Ctx, args: OfBasket| {
        Ok::<_, HandlerError>(items(&ctx.open_handle(&args.handle).await?))
    };
    Server::new(name, "1")
        .store(store.clone())
        .keyring(Keyring::new(SealingKey::new(1, [1; 32])))
        .tool(Tool::new("mint", mint))
        .tool(Tool::new("open", open))
        .tool(Tool::new("open_cart", async |ctx: Ctx, args: OfCart| {
            Ok::<_, HandlerError>(ctx.open_handle(&args.handle).await?.items.join(" "))
        }))
        .tool(Tool::new("add", async |ctx: Ctx, args: Adding| {
            let count = ctx.change_handle(&args.basket, |basket| {
                basket.items.push(args.item.clone());
                basket.items.len()
            });
            Ok::<_, HandlerError>(count.await?.to_string())
        }))
        .tool(Tool::new("race", async |ctx: Ctx, args: OfBasket| {
            let (mut one, mut two) = (
                ctx.load_handle(&args.handle).await?,
                ctx.load_handle(&args.handle).await?,
            );
            one.items.push("one".into());
            two.items.push("two".into());
            one.save().await?;
            assert!(matches!(
                two.save().await,
                Err(HandleError::Conflict { .. })
            ));
            Ok::<_, HandlerError>(items(&*ctx.load_handle(&args.handle).await?))
        }))
        .tool(Tool::new("remove", async |ctx: Ctx, args: OfBasket| {
            Ok::<_, HandlerError>(items(&ctx.remove_handle(&args.handle).await?))
        }))
}

async fn call_by(server: &Server, subject: &str, name: &str, arguments: Value) -> TestReply {
    answer(
        server,
        call_as(
            subject,
            &[],
            "tools/call",
            json!({"name": name, "arguments": arguments}),
        ),
    )
    .await
}

async fn tool(server: &Server, name: &str, arguments: Value) -> TestReply {
    answer(
        server,
        call("tools/call", json!({"name": name, "arguments": arguments})),
    )
    .await
}

async fn minted(server: &Server, arguments: Value) -> String {
    let minted = tool(server, "mint", arguments).await;
    assert!(minted.result()["isError"].is_null(), "{minted:?}");
    minted.text().to_owned()
}

/// Checks for the one error of invalid handles.
fn is_unknown(answered: &TestReply) {
    assert_eq!(answered.result()["isError"], true, "{answered:?}");
    assert_eq!(
        answered.text(),
        "This basket is not known, or has expired: create a new one"
    );
}

const STORED: Value = Value::Null;

fn kind(sealed: bool, once: bool) -> Value {
    json!({"sealed": sealed, "once": once, "millis": STORED})
}

#[tokio::test]
async fn for_clients_a_handle_is_a_string() {
    let server = server(&Memory::new());
    let listed = answer(&server, call("tools/list", json!({}))).await;
    let open = listed.result()["tools"]
        .as_array()
        .unwrap()
        .iter()
        .find(|tool| tool["name"] == "open")
        .unwrap();
    assert_eq!(
        open["inputSchema"]["properties"]["handle"],
        json!({"type": "string"})
    );
    for sealed in [true, false] {
        let handle = minted(&server, kind(sealed, false)).await;
        assert!(handle.starts_with("basket_"), "{handle}");
        assert!(handle.len() >= "basket_".len() + 40);
        assert!(
            handle
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)),
            "{handle}"
        );
    }
}

#[tokio::test]
async fn state_is_found_and_changed_on_any_replica() {
    let store = Memory::new();
    let (here, there) = (server(&store), server(&store));
    let handle = minted(&here, kind(false, false)).await;
    for (at, server) in [&there, &here, &there].into_iter().enumerate() {
        let added = tool(
            server,
            "add",
            json!({"basket": handle, "item": format!("i{at}")}),
        )
        .await;
        assert_eq!(added.text(), (at + 2).to_string());
    }
    assert_eq!(
        tool(&here, "open", json!({"handle": handle})).await.text(),
        "i0 i1 i2"
    );
    let sealed = minted(&here, kind(true, false)).await;
    for server in [&here, &there, &there] {
        assert!(
            tool(server, "open", json!({"handle": sealed}))
                .await
                .result()["isError"]
                .is_null()
        );
    }
    is_unknown(&tool(&there, "add", json!({"basket": sealed, "item": "i"})).await);
}

#[tokio::test]
async fn updates_are_atomic() {
    let server = server(&Memory::new());
    let handle = minted(&server, kind(false, false)).await;
    assert_eq!(
        tool(&server, "race", json!({"handle": handle}))
            .await
            .text(),
        "one"
    );
    let adding = (0..20).map(|n| {
        let (server, handle) = (server.clone(), handle.clone());
        tokio::spawn(async move {
            tool(
                &server,
                "add",
                json!({"basket": handle, "item": n.to_string()}),
            )
            .await
        })
    });
    for added in adding.collect::<Vec<_>>() {
        assert!(added.await.unwrap().result()["isError"].is_null());
    }
    let all = tool(&server, "open", json!({"handle": handle}))
        .await
        .text()
        .to_owned();
    assert_eq!(all.split(' ').count(), 21, "no change got lost: {all}");
}

#[tokio::test]
async fn a_single_use_handle_is_used_once() {
    let store = Memory::new();
    let (here, there) = (server(&store), server(&store));
    for sealed in [true, false] {
        let handle = minted(&here, kind(sealed, true)).await;
        is_unknown(&tool(&here, "add", json!({"basket": handle, "item": "i"})).await);
        let uses = (0..16).map(|n| {
            let (server, handle) = (
                if n % 2 == 0 {
                    here.clone()
                } else {
                    there.clone()
                },
                handle.clone(),
            );
            tokio::spawn(async move { tool(&server, "open", json!({"handle": handle})).await })
        });
        let mut good = 0;
        for used in uses.collect::<Vec<_>>() {
            let used = used.await.unwrap();
            if used.result()["isError"].is_null() {
                good += 1;
            } else {
                is_unknown(&used);
            }
        }
        assert_eq!(good, 1, "sealed: {sealed}");
    }
}

#[tokio::test]
async fn every_invalid_handle_is_the_same_error() {
    let store = Memory::new();
    let server = server(&store);
    let open = async |handle: &str| tool(&server, "open", json!({"handle": handle})).await;
    for sealed in [true, false] {
        let good = minted(&server, kind(sealed, false)).await;
        for at in 0..good.len() {
            let mut bad = good.clone().into_bytes();
            bad[at] = if bad[at] == b'0' { b'1' } else { b'0' };
            is_unknown(&open(&String::from_utf8(bad).unwrap()).await);
            is_unknown(&open(&good[..at]).await);
        }
        is_unknown(&open(&format!("{good}0")).await);
        is_unknown(&open(&good.replace("basket", "cart")).await);
        let cart = tool(
            &server,
            "open_cart",
            json!({"handle": good.replace("basket", "cart")}),
        )
        .await;
        assert_eq!(cart.result()["isError"], true, "a basket is no cart");

        let brief = minted(
            &server,
            json!({"sealed": sealed, "once": false, "millis": 1}),
        )
        .await;
        // Sealed handles expire at a whole second.
        tokio::time::sleep(Duration::from_millis(if sealed { 2100 } else { 20 })).await;
        is_unknown(&open(&brief).await);
    }
    let stored = minted(&server, kind(false, false)).await;
    assert!(
        tool(&server, "remove", json!({"handle": stored}))
            .await
            .result()["isError"]
            .is_null()
    );
    is_unknown(&open(&stored).await);
    is_unknown(&tool(&server, "remove", json!({"handle": stored})).await);
}

#[tokio::test]
async fn only_its_owner_can_use_a_handle() {
    let server = server(&Memory::new());
    let call_as_subject = async |subject: &str, name: &str, arguments: Value| {
        answer(
            &server,
            call_as(
                subject,
                &[],
                "tools/call",
                json!({"name": name, "arguments": arguments}),
            ),
        )
        .await
    };
    for sealed in [true, false] {
        let handle = call_as_subject("ada", "mint", kind(sealed, false))
            .await
            .text()
            .to_owned();
        assert!(
            call_as_subject("ada", "open", json!({"handle": handle}))
                .await
                .result()["isError"]
                .is_null()
        );
        for stranger in ["open", "remove"] {
            is_unknown(&call_as_subject("bob", stranger, json!({"handle": handle})).await);
            is_unknown(&tool(&server, stranger, json!({"handle": handle})).await);
        }
        is_unknown(&call_as_subject("bob", "add", json!({"basket": handle, "item": "i"})).await);
    }
}

#[tokio::test]
async fn state_that_is_too_large_to_seal_can_be_stored() {
    let server = server(&Memory::new());
    let large = |sealed: bool| json!({"sealed": sealed, "once": false, "size": 70_000});
    assert_eq!(
        tool(&server, "mint", large(true)).await.result()["isError"],
        true
    );
    let handle = minted(&server, large(false)).await;
    assert_eq!(
        tool(&server, "open", json!({"handle": handle}))
            .await
            .text()
            .len(),
        70_000
    );
}

#[tokio::test]
async fn replicas_without_a_shared_store_mint_no_stored_handles() {
    let server = Server::new("handles", "1")
        .keyring(Keyring::new(SealingKey::new(1, [1; 32])))
        .replicated()
        .tool(Tool::new("mint", mint))
        .build()
        .unwrap();
    assert_eq!(
        tool(&server, "mint", kind(false, false)).await.result()["isError"],
        true
    );
    assert!(
        tool(&server, "mint", kind(true, false)).await.result()["isError"].is_null(),
        "a sealed handle needs no store"
    );
}

/// A replica whose clock is ahead removes rows as expired while others still open the token.
#[tokio::test]
async fn the_mark_of_a_use_outlives_the_token_on_the_slowest_clock() {
    const MINUTE: u64 = 60_000;
    let store = Memory::new();
    let server = server(&store);
    let now = u64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis(),
    )
    .unwrap();
    let handle = minted(
        &server,
        json!({"sealed": true, "once": true, "millis": MINUTE}),
    )
    .await;
    assert!(
        tool(&server, "open", json!({"handle": handle}))
            .await
            .result()["isError"]
            .is_null()
    );
    let marks = store.len();
    store.expire(now + 9 * MINUTE, 100).await.unwrap();
    assert_eq!(
        store.len(),
        marks,
        "no clock within the allowed skew removes the mark"
    );
    is_unknown(&tool(&server, "open", json!({"handle": handle})).await);
    store.expire(now + 13 * MINUTE, 100).await.unwrap();
    assert_eq!(store.len(), marks - 1, "it does not stay for ever either");
}

#[tokio::test]
async fn a_handle_is_bound_to_the_name_of_its_server() {
    let store = Memory::new();
    let server = |name| builder(name, &store).build().unwrap();
    for sealed in [true, false] {
        let handle = minted(&server("staging"), kind(sealed, false)).await;
        is_unknown(&tool(&server("production"), "open", json!({"handle": handle})).await);
        assert!(
            tool(&server("staging"), "open", json!({"handle": handle}))
                .await
                .result()["isError"]
                .is_null()
        );
    }
}

const FULL: &str = "No more state can be kept between calls for now: end what is not needed any more, or try again later";

#[tokio::test]
async fn a_caller_at_its_limit_is_refused_and_others_are_not() {
    let limits = (Amount::new(4, 1 << 20), Amount::new(2, 100_000));
    let server = builder("handles", &Memory::new())
        .handle_limits(limits.0, limits.1)
        .build()
        .unwrap();
    let mint = async |subject: &str, size: usize| {
        call_by(
            &server,
            subject,
            "mint",
            json!({"sealed": false, "once": false, "size": size}),
        )
        .await
    };
    let first = mint("ada", 10).await.text().to_owned();
    assert_eq!(mint("ada", 100_000).await.text(), FULL, "bytes");
    assert!(mint("ada", 10).await.result()["isError"].is_null());
    assert_eq!(mint("ada", 10).await.text(), FULL, "items");
    let grown = call_by(
        &server,
        "ada",
        "add",
        json!({"basket": first, "item": "x".repeat(100_000)}),
    )
    .await;
    assert_eq!(
        grown.text(),
        FULL,
        "nor may stored state grow beyond the limit"
    );
    assert_eq!(
        call_by(&server, "ada", "open", json!({"handle": first}))
            .await
            .text(),
        "xxxxxxxxxx",
        "it is unchanged"
    );
    assert!(
        mint("bob", 10).await.result()["isError"].is_null(),
        "another caller has its own limit"
    );
    assert!(
        call_by(&server, "ada", "remove", json!({"handle": first}))
            .await
            .result()["isError"]
            .is_null()
    );
    assert!(
        mint("ada", 10).await.result()["isError"].is_null(),
        "removed state does not count"
    );
    assert!(mint("bob", 10).await.result()["isError"].is_null());
    assert_eq!(mint("cid", 10).await.text(), FULL, "all together");
}

#[tokio::test]
async fn marks_of_used_handles_count() {
    let limits = (Amount::new(4, 1 << 20), Amount::new(1, 1 << 20));
    let server = builder("handles", &Memory::new())
        .handle_limits(limits.0, limits.1)
        .build()
        .unwrap();
    let one = minted(&server, kind(true, true)).await;
    let two = minted(&server, kind(true, true)).await;
    assert!(tool(&server, "open", json!({"handle": one})).await.result()["isError"].is_null());
    assert_eq!(
        tool(&server, "open", json!({"handle": two})).await.text(),
        FULL,
        "unused, since the mark could not be stored"
    );
}
