//! Tasks that ask for input, checked when they end and again at the end of the run.

use super::{Driver, count};
use carryall::client::{ClientError, RoundOutcome, TaskHandle, ToolValue};
use serde_json::json;

pub(super) async fn run(mut driver: Driver) {
    let mut outcomes = Vec::new();
    for number in 0.. {
        if !driver.is_running() {
            break;
        }
        let id = driver.unique_id(number);
        let (steps, ask) = (4 + driver.random.below(12), driver.random.below(2) == 0);
        let arguments = json!({"id": id, "steps": steps, "ask": ask});
        // If the answer is lost, the task is created again, and the first one expires.
        let created = driver
            .retry(&id, || async {
                driver.client.call("work", &arguments).once().await
            })
            .await;
        let handle = match created {
            Some(RoundOutcome::Task(handle)) => *handle,
            Some(other) => {
                driver
                    .observations
                    .wrong(format!("{id}: not a task: {other:?}"));
                continue;
            }
            None => continue,
        };
        let result = driver
            .retry(&id, || handle.wait_for::<ToolValue<String>>())
            .await;
        let Some(result) = result else { continue };
        let mut expected = Vec::new();
        for step in 0..steps {
            expected.push(format!("{id}.{step}"));
            if ask && step == steps / 2 {
                expected.push(format!("to Who wants {id}?"));
                count(&driver.observations.task_questions);
            }
        }
        if result != expected.join(" ") {
            driver.observations.wrong(format!("{id}: {result}"));
        }
        outcomes.extend(
            final_state(&driver, &handle)
                .await
                .map(|state| (handle, state)),
        );
        count(&driver.observations.tasks);
    }
    // A worker that has lost its lease must not overwrite the outcome, however late.
    for (handle, first) in outcomes {
        if let Some(now) = final_state(&driver, &handle).await
            && now != first
        {
            driver.observations.wrong(format!(
                "{}: outcome changed from {first} to {now}",
                driver.name
            ));
        }
    }
}

/// Returns the final state of a task as JSON.
async fn final_state(driver: &Driver, handle: &TaskHandle) -> Option<String> {
    let ended = || async {
        let task = handle.get().await?;
        serde_json::to_string(&task).map_err(|error| ClientError::Request(error.to_string()))
    };
    driver.retry(handle.id(), ended).await
}
