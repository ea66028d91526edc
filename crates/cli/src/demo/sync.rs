//! Applies changes of the board to the server of this replica.

use super::board::BoardState;
use super::{DemoState, resources, tools};
use carryall::Server;
use std::sync::Arc;
use std::time::Duration;

/// Interval at which the board is read.
const POLL_INTERVAL: Duration = Duration::from_millis(150);

/// Polls the board, applies what has changed, and notifies the subscribers of this replica.
/// `applied` is the state that the server was built with.
pub(super) async fn follow(demo: Arc<DemoState>, server: Server, mut applied: BoardState) {
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let now = demo.board.read();
        if now != applied {
            apply(&server, &applied, &now);
            applied = now;
        }
    }
}

fn apply(server: &Server, before: &BoardState, now: &BoardState) {
    if before.surprise != now.surprise {
        let changed = server.change(|catalogue| {
            if now.surprise {
                catalogue.tool(tools::surprise_party());
            } else {
                catalogue.remove_tool(tools::SURPRISE_PARTY);
            }
        });
        if let Err(error) = changed {
            tracing::error!(%error, "cannot change the list of tools");
        }
    }
    if before.notice != now.notice {
        server.resource_updated(resources::NOTICE);
    }
    if before.cancelled_naps != now.cancelled_naps {
        server.resource_updated(resources::NAPS);
    }
}
