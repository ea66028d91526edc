//! The log of `carryall up`.

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Logs to standard error. `RUST_LOG` takes precedence over the options.
pub(super) fn install(quiet: bool, verbose: bool) {
    let default = match (quiet, verbose) {
        (true, _) => "warn",
        (false, false) => "warn,carryall=info,carryall_gateway=info",
        (false, true) => "warn,carryall=debug,carryall_gateway=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .compact();
    // Fails if there is a subscriber already, which then stays.
    let _ = subscriber.try_init();
}
