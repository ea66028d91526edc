//! Calls in three rounds, each on any replica.

use super::{Driver, count};
use serde_json::json;

pub(super) async fn run(mut driver: Driver) {
    for number in 0.. {
        if !driver.is_running() {
            return;
        }
        let id = driver.unique_id(number);
        let client = driver.client.clone();
        let answer = driver
            .retry(&id, || async {
                client
                    .call("rounds", json!({"id": id}))
                    .typed::<String>()
                    .await
            })
            .await;
        let (first, second) = (format!("to First of {id}?"), format!("to Second of {id}?"));
        if let Some(answer) = answer {
            count(&driver.observations.round_calls);
            if answer != format!("{id} kept {first} {first} {second}") {
                driver.observations.wrong(format!("{id}: {answer}"));
            }
        }
        driver.pause(100).await;
    }
}
