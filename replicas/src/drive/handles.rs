//! Handles: minted on one replica, changed and used on others.

use super::{Driver, count};
use serde_json::{Value, json};

/// Bags that are filled, item by item.
pub(super) async fn run(mut driver: Driver) {
    for number in 0.. {
        if !driver.goes_on() {
            return;
        }
        let id = driver.fresh(number);
        let Some(bag) = call(
            &driver,
            "mint",
            json!({"once": false, "sealed": false, "item": id}),
        )
        .await
        else {
            continue;
        };
        count(&driver.seen.handles);
        let mut expected = id.clone();
        for item in 0..5 {
            let item = format!("{id}.{item}");
            expected = format!("{expected} {item}");
            if let Some(all) = call(&driver, "add", json!({"bag": bag, "item": item})).await {
                count(&driver.seen.handle_changes);
                if all != expected {
                    driver
                        .seen
                        .wrong(format!("{id}: {all:?} instead of {expected:?}"));
                }
            }
            driver.pause(50).await;
        }
        if let Some(all) = call(&driver, "look", json!({"bag": bag})).await
            && all != expected
        {
            driver.seen.wrong(format!("{id}: {all:?} in the end"));
        }
    }
}

/// Handles for a single use, used by three at once. The ledger tells how often that has worked.
pub(super) async fn spend(mut driver: Driver) {
    for number in 0.. {
        if !driver.goes_on() {
            return;
        }
        let id = driver.fresh(number);
        let sealed = driver.random.below(2) == 0;
        let Some(bag) = call(
            &driver,
            "mint",
            json!({"once": true, "sealed": sealed, "item": id}),
        )
        .await
        else {
            continue;
        };
        let using = || call(&driver, "spend", json!({"bag": bag}));
        let used = tokio::join!(using(), using(), using());
        let good = [used.0, used.1, used.2]
            .iter()
            .flatten()
            .filter(|said| **said == id)
            .count();
        count(&driver.seen.single_uses);
        if good > 1 {
            driver.seen.wrong(format!("{id}: used {good} times"));
        }
        driver.pause(100).await;
    }
}

async fn call(driver: &Driver, tool: &str, arguments: Value) -> Option<String> {
    let what = format!("{}: {tool}", driver.name);
    driver
        .insist(&what, || async {
            driver.client.call(tool, &arguments).typed::<String>().await
        })
        .await
}
