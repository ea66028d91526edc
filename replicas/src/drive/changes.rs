//! Delivery of changes to listeners.
//!
//! A change must reach every listener that is connected when the change is made and stays connected.
//! Deliveries are checked at the end, when the duration of each connection is known.

use super::{ClientObservations, Driver, count};
use crate::serve::COUNTER;
use carryall::client::Change;
use carryall::types::SubscriptionFilter;
use serde_json::json;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Maximum time until a change reaches a listener, including time that a replica is stopped or the
/// store is restarting.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(6);

/// The changes and the connections of all listeners.
#[derive(Debug, Default)]
pub(super) struct ObservedChanges(Mutex<ChangeHistory>);

#[derive(Debug, Default)]
struct ChangeHistory {
    changes: Vec<RecordedChange>,
    connections: Vec<ListenerConnection>,
}

/// A change, with the times of its request and response.
#[derive(Debug)]
struct RecordedChange {
    uri: String,
    requested: Instant,
    answered: Instant,
}

#[derive(Debug)]
struct ListenerConnection {
    listener: String,
    opened: Instant,
    ended: Instant,
    received: Vec<(String, Instant)>,
}

impl ListenerConnection {
    /// Whether the change must be delivered to this connection.
    fn expects(&self, change: &RecordedChange) -> bool {
        change.requested > self.opened && change.answered + DELIVERY_TIMEOUT < self.ended
    }

    /// Whether the change was delivered in time, by its URI, or as a change of the whole resource, which
    /// replaces lost changes.
    fn was_delivered(&self, change: &RecordedChange) -> bool {
        let in_time =
            |at: Instant| at >= change.requested && at <= change.answered + DELIVERY_TIMEOUT;
        self.received
            .iter()
            .any(|(uri, at)| (*uri == change.uri || uri == COUNTER) && in_time(*at))
    }
}

impl ObservedChanges {
    fn record(&self, record: impl FnOnce(&mut ChangeHistory)) {
        record(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Reports changes that were not delivered to a listener.
    pub(super) fn check(&self, observations: &ClientObservations) {
        let history = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in &history.connections {
            for change in history
                .changes
                .iter()
                .filter(|change| connection.expects(change))
            {
                count(&observations.expected_deliveries);
                if !connection.was_delivered(change) {
                    observations.wrong(format!(
                        "{} did not receive {}",
                        connection.listener, change.uri
                    ));
                }
            }
        }
    }
}

/// Changes the resource at random intervals.
pub(super) async fn bump(mut driver: Driver, changes: std::sync::Arc<ObservedChanges>) {
    for number in 0.. {
        if !driver.is_running() {
            return;
        }
        let (id, requested) = (driver.unique_id(number), Instant::now());
        // Not retried: if the answer is lost, it is unknown whether the change was made.
        if driver
            .client
            .call("bump", json!({"id": id}))
            .typed::<String>()
            .await
            .is_ok()
        {
            count(&driver.observations.bumps);
            let change = RecordedChange {
                uri: format!("{COUNTER}/{id}"),
                requested,
                answered: Instant::now(),
            };
            changes.record(|history| history.changes.push(change));
        } else {
            count(&driver.observations.retries);
        }
        driver.pause(1000).await;
    }
}

/// Listens until the connection ends, and then reconnects.
pub(super) async fn listen(driver: Driver, changes: std::sync::Arc<ObservedChanges>) {
    // Leaves time for the delivery of the last changes.
    let end = driver.until + DELIVERY_TIMEOUT + Duration::from_secs(1);
    while Instant::now() < end {
        let filter =
            SubscriptionFilter::new().with_resource_subscriptions(vec![COUNTER.to_owned()]);
        let Ok(mut listener) = driver.client.listen(filter).max_failures(0).await else {
            count(&driver.observations.retries);
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        count(&driver.observations.listens);
        let (opened, mut received) = (Instant::now(), Vec::new());
        loop {
            match tokio::time::timeout_at(end.into(), listener.next()).await {
                Ok(Some(Ok(Change::Resource(uri)))) => {
                    count(&driver.observations.events);
                    received.push((uri.to_string(), Instant::now()));
                }
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(_)) | None) | Err(_) => break,
            }
        }
        let connection = ListenerConnection {
            listener: driver.name.clone(),
            opened,
            ended: Instant::now(),
            received,
        };
        changes.record(|history| history.connections.push(connection));
    }
}
