//! Where output goes and how it looks: results to standard output, everything else to standard
//! error.

use crate::fail::Fail;
use crate::text;
use anstyle::{AnsiColor, Style};
use carryall::proto::sync::Mutex;
use indicatif::ProgressBar;
use serde::Serialize;
use std::io::{IsTerminal as _, Write as _};

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people; the default on a terminal
    Human,
    /// The result as the server gave it; the default when standard output is not a terminal
    Json,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Options of all commands that print something.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[command(next_help_heading = "Output options")]
pub(crate) struct OutputOptions {
    /// How to print the result: human on a terminal, json otherwise
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: Color,
    /// Tell on standard error what is going on
    #[arg(short, long)]
    verbose: bool,
}

/// The two output streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) verbose: bool,
    /// Whether standard error is a terminal: a person may be reading along.
    pub(crate) watched: bool,
    /// Whether a progress bar makes sense there.
    pub(crate) live: bool,
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
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !plain,
        };
        Self {
            format: options
                .format
                .unwrap_or(if out { Format::Human } else { Format::Json }),
            verbose: options.verbose,
            watched: err,
            live: err && !options.verbose,
            color_out: color(out),
            color_err: color(err),
        }
    }

    /// Text for standard output, in colour if there is any.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        if self.color_out && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// Whether standard output has colour.
    pub(crate) fn colors(&self) -> bool {
        self.color_out
    }

    /// Whether standard error has colour.
    pub(crate) fn colors_err(&self) -> bool {
        self.color_err
    }

    /// A result for people. Nothing is added to it but the last line break.
    pub(crate) fn print(&self, text: &str) -> Result<(), Fail> {
        let mut out = std::io::stdout().lock();
        let end = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        write!(out, "{text}{end}")
            .and_then(|()| out.flush())
            .map_err(Fail::output)
    }

    /// A result for programs.
    pub(crate) fn json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Fail> {
        let json =
            serde_json::to_string_pretty(value).map_err(|error| Fail::output(error.into()))?;
        self.print(&text::escape_json(&json))
    }

    /// One of many results for programs, on a line of its own.
    pub(crate) fn json_line<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Fail> {
        let json = serde_json::to_string(value).map_err(|error| Fail::output(error.into()))?;
        self.print(&text::escape_json(&json))
    }

    /// Something worth knowing, on standard error.
    pub(crate) fn note(&self, text: &str) {
        say(&text::clean(text));
    }

    /// Something that is not as it should be.
    pub(crate) fn warn(&self, text: &str) {
        say(&format!(
            "{} {}",
            self.label(WARNING, "warning:"),
            text::line(text)
        ));
    }

    /// What went wrong, and what to do about it.
    pub(crate) fn fail(&self, fail: &Fail) {
        if fail.what.is_empty() {
            return;
        }
        say(&format!(
            "{} {}",
            self.label(ERROR, "error:"),
            text::clean(&fail.what)
        ));
        for hint in &fail.hints {
            say(&format!(
                "  {} {}",
                self.label(HINT, "hint:"),
                text::clean(hint)
            ));
        }
    }

    /// A log message of the server.
    pub(crate) fn log(&self, level: &str, logger: Option<&str>, message: &str) {
        let style = match level {
            "debug" | "info" | "notice" => FAINT,
            "warning" => WARNING,
            _ => ERROR,
        };
        let label = self.label(style, &format!("[{level}]"));
        let logger = logger
            .map(|logger| format!("{}: ", text::line(logger)))
            .unwrap_or_default();
        say(&format!("{label} {logger}{}", text::line(message)));
    }

    /// Text for standard error, in colour if there is any.
    pub(crate) fn label(&self, style: Style, text: &str) -> String {
        if self.color_err && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// The progress bar on standard error, if one is there: lines must not be written through it.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Puts a progress bar on standard error, or takes it away.
pub(crate) fn set_bar(bar: Option<ProgressBar>) {
    *BAR.lock() = bar;
}

/// Writes a line to standard error. If that fails there is nobody left to tell.
pub(crate) fn say(line: &str) {
    let bar = BAR.lock().clone();
    let write = || {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    };
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}
