//! Options of the server side.

use std::time::Duration;

/// Limits of one channel, on the server side.
///
/// ```
/// use carryall_transport::lines::LineOptions;
///
/// let mut options = LineOptions::default();
/// options.max_in_flight = 64;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineOptions {
    /// Maximum length of a line in bytes; a longer line is skipped and answered with an error.
    /// Default: 4 MiB.
    pub max_line: usize,
    /// Maximum number of calls in flight; further calls are answered with an error. Default: 1,024.
    pub max_in_flight: usize,
    /// How long calls may run on after the client has closed its end. Default: 500 ms.
    pub grace: Duration,
    /// How long a client that has closed its end may leave the rest of the output unread. Default:
    /// 10 s.
    pub stalled: Duration,
    /// How long the channel may be open without a call in flight and without a message. At most
    /// 30 s of that may pass before the first message. Default: 10 min for TCP, otherwise no limit.
    pub idle_timeout: Option<Duration>,
    /// How long the client may leave output unread: it has to read at least 16 KiB in this time.
    /// Otherwise the channel fails, which cancels its calls. Default: 30 s for sockets, otherwise
    /// no limit, because standard streams serve only the process that started this one.
    pub write_timeout: Option<Duration>,
    /// Whether the channel is closed when the first line is not a JSON object. This stops a web
    /// page that was made to send an HTTP request here. Default: on for TCP, otherwise off.
    pub close_on_non_json: bool,
}

impl Default for LineOptions {
    fn default() -> Self {
        Self {
            max_line: 4 * 1024 * 1024,
            max_in_flight: 1024,
            grace: Duration::from_millis(500),
            stalled: Duration::from_secs(10),
            idle_timeout: None,
            write_timeout: None,
            close_on_non_json: false,
        }
    }
}
