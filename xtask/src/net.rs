//! Servers on the loopback.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::ProcessGroup;
use crate::{CommandResult, files};

const START: Duration = Duration::from_secs(30);

/// A port that nobody listens on at the moment.
pub(crate) fn free_port() -> CommandResult<u16> {
    let found = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    found
        .map(|a| a.port())
        .map_err(|e| format!("no free port: {e}"))
}

/// Waits until the process listens on this port; `log` holds what it says.
pub(crate) fn listens(group: &mut ProcessGroup, port: u16, log: &Path) -> CommandResult {
    let end = Instant::now() + START;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if group.ended().is_some() || Instant::now() > end {
            return Err(format!(
                "nothing listens on port {port}:\n{}",
                files::read(log)?
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
