//! The output streams: results go to standard output, everything else to standard error.

pub(crate) mod render;
pub(crate) mod spinner;
pub(crate) mod text;
pub(crate) mod warnings;

use crate::error::CliError;
use anstyle::{AnsiColor, Style};
use carryall::proto::sync::Mutex;
use indicatif::ProgressBar;
use serde::Serialize;
use std::io::{IsTerminal as _, Write as _};

/// The format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OutputFormat {
    /// Text for people; the default on a terminal
    Human,
    /// The result as the server sent it; the default when standard output is not a terminal
    Json,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ColorMode {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Options of every command that prints a result.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[command(next_help_heading = "Output options")]
pub(crate) struct OutputOptions {
    /// Format of the result [default: human on a terminal, otherwise json]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,
    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: ColorMode,
    /// Show details on standard error
    #[arg(short, long)]
    verbose: bool,
}

/// The two output streams, and how to write to them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) format: OutputFormat,
    pub(crate) verbose: bool,
    /// Whether standard error is a terminal.
    pub(crate) stderr_is_terminal: bool,
    /// Whether to draw progress bars on standard error.
    pub(crate) draws_progress: bool,
    color_out: bool,
    color_err: bool,
}

pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();
pub(crate) const TITLE: Style = Style::new().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();
const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Green.on_default();

impl Output {
    pub(crate) fn new(options: OutputOptions) -> Self {
        let (out, err) = (
            std::io::stdout().is_terminal(),
            std::io::stderr().is_terminal(),
        );
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let plain = set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = |terminal: bool| match options.color {
            ColorMode::Always => true,
            ColorMode::Never => false,
            ColorMode::Auto => terminal && !plain,
        };
        Self {
            format: options.format.unwrap_or(if out {
                OutputFormat::Human
            } else {
                OutputFormat::Json
            }),
            verbose: options.verbose,
            stderr_is_terminal: err,
            draws_progress: err && !options.verbose,
            color_out: color(out),
            color_err: color(err),
        }
    }

    /// Styles text for standard output, if that is coloured.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        if self.color_out && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// Whether standard output is coloured.
    pub(crate) fn colors(&self) -> bool {
        self.color_out
    }

    /// Whether standard error is coloured.
    pub(crate) fn colors_err(&self) -> bool {
        self.color_err
    }

    /// Prints a result for people, with a final line break if it has none.
    pub(crate) fn print(&self, text: &str) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        let end = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        write!(out, "{text}{end}")
            .and_then(|()| out.flush())
            .map_err(CliError::output)
    }

    /// Prints a result as indented JSON.
    pub(crate) fn json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), CliError> {
        let json =
            serde_json::to_string_pretty(value).map_err(|error| CliError::output(error.into()))?;
        self.print(&text::escape_json(&json))
    }

    /// Prints one of several results as JSON on a single line.
    pub(crate) fn json_line<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), CliError> {
        let json = serde_json::to_string(value).map_err(|error| CliError::output(error.into()))?;
        self.print(&text::escape_json(&json))
    }

    /// Writes a note to standard error.
    pub(crate) fn note(&self, text: &str) {
        write_stderr(&text::sanitize(text));
    }

    /// Writes a warning to standard error.
    pub(crate) fn warn(&self, text: &str) {
        write_stderr(&format!(
            "{} {}",
            self.label(WARNING, "warning:"),
            text::one_line(text)
        ));
    }

    /// Writes an error and its hints to standard error.
    pub(crate) fn error(&self, error: &CliError) {
        if error.message.is_empty() {
            return;
        }
        write_stderr(&format!(
            "{} {}",
            self.label(ERROR, "error:"),
            text::sanitize(&error.message)
        ));
        for hint in &error.hints {
            write_stderr(&format!(
                "  {} {}",
                self.label(HINT, "hint:"),
                text::sanitize(hint)
            ));
        }
    }

    /// Writes a log message of the server to standard error.
    pub(crate) fn log(&self, level: &str, logger: Option<&str>, message: &str) {
        let style = match level {
            "debug" | "info" | "notice" => FAINT,
            "warning" => WARNING,
            _ => ERROR,
        };
        let label = self.label(style, &format!("[{level}]"));
        let logger = logger
            .map(|logger| format!("{}: ", text::one_line(logger)))
            .unwrap_or_default();
        write_stderr(&format!("{label} {logger}{}", text::one_line(message)));
    }

    /// Styles text for standard error, if that is coloured.
    pub(crate) fn label(&self, style: Style, text: &str) -> String {
        if self.color_err && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// The progress bar that is drawn on standard error. It has to be suspended while a line is
/// written.
static PROGRESS_BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Registers the progress bar that is drawn on standard error, or removes it.
fn set_progress_bar(bar: Option<ProgressBar>) {
    *PROGRESS_BAR.lock() = bar;
}

/// Writes a line to standard error. Errors are ignored: there is nowhere to report them.
pub(crate) fn write_stderr(line: &str) {
    let bar = PROGRESS_BAR.lock().clone();
    let write = || {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    };
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}
