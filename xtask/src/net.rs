//! Servers on the loopback.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::ChildGroup;
use crate::{CommandResult, files};

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns a port that is currently free.
pub(crate) fn free_port() -> CommandResult<u16> {
    let found = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    found
        .map(|a| a.port())
        .map_err(|e| format!("no free port: {e}"))
}

/// Waits until the process accepts connections on this port. The error quotes its `log`.
pub(crate) fn wait_until_listening(group: &mut ChildGroup, port: u16, log: &Path) -> CommandResult {
    let end = Instant::now() + START_TIMEOUT;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if group.ended().is_some() || Instant::now() > end {
            return Err(format!(
                "no process listens on port {port}:\n{}",
                files::read(log)?
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
