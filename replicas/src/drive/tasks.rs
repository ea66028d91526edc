//! Tasks with questions inside, watched to their end and beyond.

use super::{Driver, count};
use carryall::client::{ClientError, RoundOutcome, TaskHandle, ToolValue};
use serde_json::json;

pub(super) async fn run(mut driver: Driver) {
    let mut ends = Vec::new();
    for number in 0.. {
        if !driver.goes_on() {
            break;
        }
        let id = driver.fresh(number);
        let (steps, ask) = (4 + driver.random.below(12), driver.random.below(2) == 0);
        let arguments = json!({"id": id, "steps": steps, "ask": ask});
        // A creation whose answer got lost is made again, and the first task ends with its time.
        let created = driver
            .insist(&id, || async {
                driver.client.call("work", &arguments).once().await
            })
            .await;
        let handle = match created {
            Some(RoundOutcome::Task(handle)) => *handle,
            Some(other) => {
                driver.seen.wrong(format!("{id}: not a task: {other:?}"));
                continue;
            }
            None => continue,
        };
        let result = driver
            .insist(&id, || handle.wait_for::<ToolValue<String>>())
            .await;
        let Some(result) = result else { continue };
        let mut expected = Vec::new();
        for step in 0..steps {
            expected.push(format!("{id}.{step}"));
            if ask && step == steps / 2 {
                expected.push(format!("to Who wants {id}?"));
                count(&driver.seen.task_questions);
            }
        }
        if result != expected.join(" ") {
            driver.seen.wrong(format!("{id}: {result}"));
        }
        ends.extend(end(&driver, &handle).await.map(|end| (handle, end)));
        count(&driver.seen.tasks);
    }
    // Nobody who has lost a task may write a second end, however late.
    for (handle, first) in ends {
        if let Some(now) = end(&driver, &handle).await
            && now != first
        {
            driver
                .seen
                .wrong(format!("{}: ended twice: {first} and {now}", driver.name));
        }
    }
}

/// All there is to say of a task that has ended.
async fn end(driver: &Driver, handle: &TaskHandle) -> Option<String> {
    let ended = || async {
        let task = handle.get().await?;
        serde_json::to_string(&task).map_err(|error| ClientError::Request(error.to_string()))
    };
    driver.insist(handle.id(), ended).await
}
