//! Writes log events of the libraries to standard error: warnings always, details with `--verbose`.

use super::{Output, text};
use carryall::proto::sync::Mutex;
use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// Name of each tool that the client excluded from a list, and the reason
/// (`basic/transports/streamable-http#schema-extension`).
static EXCLUDED_TOOLS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Installs the subscriber.
pub(crate) fn install(output: Output) {
    let subscriber = tracing_subscriber::registry().with(StderrLayer { output });
    // Fails if there is a subscriber already, which then stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Returns name and reason of the tools that were excluded so far.
pub(crate) fn excluded_tools() -> Vec<(String, String)> {
    EXCLUDED_TOOLS.lock().clone()
}

struct StderrLayer {
    output: Output,
}

impl<S: Subscriber> Layer<S> for StderrLayer {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        let ours = metadata.target().starts_with("carryall");
        let max_level = match (ours, self.output.verbose) {
            (true, true) => Level::DEBUG,
            (true, false) => Level::WARN,
            (false, _) => Level::ERROR,
        };
        *metadata.level() <= max_level
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = EventFields::default();
        event.record(&mut fields);
        if let (Some(tool), Some(problem)) = (&fields.tool, &fields.problem) {
            EXCLUDED_TOOLS.lock().push((tool.clone(), problem.clone()));
        }
        let line = text::one_line(&format!("{}{}", fields.message, fields.others));
        if *event.metadata().level() <= Level::WARN {
            self.output.warn(&line);
        } else {
            self.output.log(
                &event.metadata().level().as_str().to_lowercase(),
                None,
                &line,
            );
        }
    }
}

#[derive(Default)]
struct EventFields {
    message: String,
    /// All other fields as text.
    others: String,
    tool: Option<String>,
    problem: Option<String>,
}

impl EventFields {
    fn add(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => {
                let separator = if self.others.is_empty() { ": " } else { ", " };
                let _ = write!(self.others, "{separator}{name} {value}");
                match name {
                    "tool" => self.tool = Some(value),
                    "problem" => self.problem = Some(value),
                    _ => {}
                }
            }
        }
    }
}

impl Visit for EventFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, value.to_string());
    }
}
