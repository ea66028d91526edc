//! Handles that are created on one replica, and changed and used on others.

use super::{Driver, count};
use serde_json::{Value, json};

/// Creates bags and fills them item by item.
pub(super) async fn run(mut driver: Driver) {
    for number in 0.. {
        if !driver.is_running() {
            return;
        }
        let id = driver.unique_id(number);
        let Some(bag) = call(
            &driver,
            "mint",
            json!({"once": false, "sealed": false, "item": id}),
        )
        .await
        else {
            continue;
        };
        count(&driver.observations.handles);
        let mut expected = id.clone();
        for item in 0..5 {
            let item = format!("{id}.{item}");
            expected = format!("{expected} {item}");
            if let Some(all) = call(&driver, "add", json!({"bag": bag, "item": item})).await {
                count(&driver.observations.handle_changes);
                if all != expected {
                    driver
                        .observations
                        .wrong(format!("{id}: expected {expected:?}, found {all:?}"));
                }
            }
            driver.pause(50).await;
        }
        if let Some(all) = call(&driver, "look", json!({"bag": bag})).await
            && all != expected
        {
            driver
                .observations
                .wrong(format!("{id}: {all:?} at the end"));
        }
    }
}

/// Creates single-use handles and uses each three times at once. The operation log records the
/// successful uses.
pub(super) async fn spend(mut driver: Driver) {
    for number in 0.. {
        if !driver.is_running() {
            return;
        }
        let id = driver.unique_id(number);
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
            .filter(|item| **item == id)
            .count();
        count(&driver.observations.single_uses);
        if good > 1 {
            driver
                .observations
                .wrong(format!("{id}: used {good} times"));
        }
        driver.pause(100).await;
    }
}

async fn call(driver: &Driver, tool: &str, arguments: Value) -> Option<String> {
    let what = format!("{}: {tool}", driver.name);
    driver
        .retry(&what, || async {
            driver.client.call(tool, &arguments).typed::<String>().await
        })
        .await
}
