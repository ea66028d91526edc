//! Listeners, and changes made elsewhere.
//!
//! A change is to reach every listener that was connected when it was made and stayed so. Which
//! ones did is judged at the end, when it is known how long each connection has held.

use super::{ClientObservations, Driver, count};
use crate::serve::COUNTER;
use carryall::client::Change;
use carryall::types::SubscriptionFilter;
use serde_json::json;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a change may take to reach a listener. A replica may stand still, and a store be away,
/// for some of it.
const SOON: Duration = Duration::from_secs(6);

/// All that has happened.
#[derive(Debug, Default)]
pub(super) struct ObservedChanges(Mutex<Happened>);

#[derive(Debug, Default)]
struct Happened {
    changes: Vec<Made>,
    connections: Vec<Connection>,
}

/// One change: what it changed, when it was asked for, and when that was answered.
#[derive(Debug)]
struct Made {
    uri: String,
    asked: Instant,
    answered: Instant,
}

#[derive(Debug)]
struct Connection {
    listener: String,
    opened: Instant,
    ended: Instant,
    told: Vec<(String, Instant)>,
}

impl Connection {
    /// Whether the change should have been told here.
    fn is_owed(&self, change: &Made) -> bool {
        change.asked > self.opened && change.answered + SOON < self.ended
    }

    /// Whether it was: by its own name, or as one of those that nobody knows any more.
    fn was_told(&self, change: &Made) -> bool {
        let in_time = |at: Instant| at >= change.asked && at <= change.answered + SOON;
        self.told
            .iter()
            .any(|(uri, at)| (*uri == change.uri || uri == COUNTER) && in_time(*at))
    }
}

impl ObservedChanges {
    fn note(&self, note: impl FnOnce(&mut Happened)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Looks for changes that a listener was not told of.
    pub(super) fn judge(&self, seen: &ClientObservations) {
        let happened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in &happened.connections {
            for change in happened
                .changes
                .iter()
                .filter(|change| connection.is_owed(change))
            {
                count(&seen.owed);
                if !connection.was_told(change) {
                    seen.wrong(format!(
                        "{} was not told of {}",
                        connection.listener, change.uri
                    ));
                }
            }
        }
    }
}

/// Changes the resource now and then.
pub(super) async fn bump(mut driver: Driver, watched: std::sync::Arc<ObservedChanges>) {
    for number in 0.. {
        if !driver.goes_on() {
            return;
        }
        let (id, asked) = (driver.fresh(number), Instant::now());
        // Made once: of a change whose answer got lost nobody knows whether it was made.
        if driver
            .client
            .call("bump", json!({"id": id}))
            .typed::<String>()
            .await
            .is_ok()
        {
            count(&driver.seen.bumps);
            let made = Made {
                uri: format!("{COUNTER}/{id}"),
                asked,
                answered: Instant::now(),
            };
            watched.note(|happened| happened.changes.push(made));
        } else {
            count(&driver.seen.again);
        }
        driver.pause(1000).await;
    }
}

/// Listens for as long as the connection holds, and then again.
pub(super) async fn listen(driver: Driver, watched: std::sync::Arc<ObservedChanges>) {
    // The last changes get their time.
    let end = driver.until + SOON + Duration::from_secs(1);
    while Instant::now() < end {
        let filter =
            SubscriptionFilter::new().with_resource_subscriptions(vec![COUNTER.to_owned()]);
        let Ok(mut listener) = driver.client.listen(filter).max_failures(0).await else {
            count(&driver.seen.again);
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        count(&driver.seen.listens);
        let (opened, mut told) = (Instant::now(), Vec::new());
        loop {
            match tokio::time::timeout_at(end.into(), listener.next()).await {
                Ok(Some(Ok(Change::Resource(uri)))) => {
                    count(&driver.seen.events);
                    told.push((uri.to_string(), Instant::now()));
                }
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(_)) | None) | Err(_) => break,
            }
        }
        let connection = Connection {
            listener: driver.name.clone(),
            opened,
            ended: Instant::now(),
            told,
        };
        watched.note(|happened| happened.connections.push(connection));
    }
}
