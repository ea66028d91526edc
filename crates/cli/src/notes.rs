//! What the libraries report while they work: warnings for people, details with `--verbose`.

use crate::screen::Output;
use crate::text;
use carryall::proto::sync::Mutex;
use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// Tools that the client refused to list, and why
/// (`basic/transports/streamable-http#schema-extension`).
static DROPPED: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// From now on reports go to standard error.
pub(crate) fn install(screen: Output) {
    let subscriber = tracing_subscriber::registry().with(Notes { screen });
    // Fails when a command has installed another one, which then goes on.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// The tools that were left out so far, and why.
pub(crate) fn dropped() -> Vec<(String, String)> {
    DROPPED.lock().clone()
}

struct Notes {
    screen: Output,
}

impl<S: Subscriber> Layer<S> for Notes {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        let ours = metadata.target().starts_with("carryall");
        let most = match (ours, self.screen.verbose) {
            (true, true) => Level::DEBUG,
            (true, false) => Level::WARN,
            (false, _) => Level::ERROR,
        };
        *metadata.level() <= most
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut report = Report::default();
        event.record(&mut report);
        if let (Some(tool), Some(problem)) = (&report.tool, &report.problem) {
            DROPPED.lock().push((tool.clone(), problem.clone()));
        }
        let line = text::line(&format!("{}{}", report.message, report.fields));
        if *event.metadata().level() <= Level::WARN {
            self.screen.warn(&line);
        } else {
            self.screen.log(
                &event.metadata().level().as_str().to_lowercase(),
                None,
                &line,
            );
        }
    }
}

#[derive(Default)]
struct Report {
    message: String,
    fields: String,
    tool: Option<String>,
    problem: Option<String>,
}

impl Report {
    fn take(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => {
                let separator = if self.fields.is_empty() { ": " } else { ", " };
                let _ = write!(self.fields, "{separator}{name} {value}");
                match name {
                    "tool" => self.tool = Some(value),
                    "problem" => self.problem = Some(value),
                    _ => {}
                }
            }
        }
    }
}

impl Visit for Report {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.take(field, value.to_string());
    }
}
