//! Tells HTTP/2 with prior knowledge from HTTP/1.1 by the first bytes of a connection.

use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Pause before incomplete first bytes are looked at again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Looks at the first bytes without consuming them. Returns whether they begin the HTTP/2
/// connection preface (RFC 9113, section 3.4), or `None` when they did not arrive within `limit`.
pub(super) async fn speaks_http2(stream: &TcpStream, limit: Duration) -> Option<bool> {
    let look = async {
        let (mut start, mut pause) = ([0; 3], FIRST_PAUSE);
        loop {
            match stream.peek(&mut start).await.ok()? {
                0 => return None,
                3 => return Some(start == *b"PRI"),
                count if start[..count] != b"PRI"[..count] => return Some(false),
                // `peek` returns the same bytes again at once. The growing pause keeps clients
                // that send a single byte on each of many connections from keeping the server busy.
                _ => sleep(pause).await,
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    };
    timeout(limit, look).await.ok().flatten()
}
