//! A spinner or progress bar on standard error, for answers that take their time.

use crate::screen::{self, Screen};
use crate::text;
use carryall::client::ProgressUpdate;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// Answers that come sooner are not worth a spinner.
const PATIENCE: Duration = Duration::from_millis(200);
const TICK: Duration = Duration::from_millis(100);
/// The length of a bar whose total is known.
const LENGTH: u64 = 10_000;

/// Shows that something is going on. Clones show the same.
#[derive(Clone)]
pub(crate) struct Busy {
    screen: Screen,
    label: String,
    bar: Option<ProgressBar>,
}

impl Busy {
    /// Nothing is shown yet, unless with `--verbose`.
    pub(crate) fn new(screen: Screen, label: &str) -> Self {
        if screen.verbose {
            screen.note(label);
        }
        let bar = screen.live.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
            bar.set_style(spinner());
            bar.set_message(label.to_owned());
            bar
        });
        Self { screen, label: label.to_owned(), bar }
    }

    /// Waits for the answer, visibly if it takes long.
    pub(crate) async fn during<F: Future>(&self, answer: F) -> F::Output {
        let mut answer = std::pin::pin!(answer);
        let early = tokio::time::timeout(PATIENCE, &mut answer).await;
        let output = match early {
            Ok(output) => output,
            Err(_) => {
                self.show();
                answer.await
            }
        };
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            screen::set_bar(None);
        }
        output
    }

    /// Shows how far the server says it has come.
    pub(crate) fn update(&self, update: &ProgressUpdate) {
        let message = update.message.as_deref().map(text::line).unwrap_or_default();
        let Some(bar) = &self.bar else {
            if self.screen.verbose {
                screen::say(&format!("[progress] {} {message}", amount(update)));
            }
            return;
        };
        match update.fraction() {
            Some(fraction) => {
                bar.set_style(gauge());
                bar.set_length(LENGTH);
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
                bar.set_position((fraction * LENGTH as f64) as u64);
                bar.set_message(format!("{}  {message}", amount(update)));
            }
            None => bar.set_message(format!("{}  {}  {message}", self.label, amount(update))),
        }
        self.show();
    }

    fn show(&self) {
        if let Some(bar) = &self.bar
            && bar.is_hidden()
        {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.enable_steady_tick(TICK);
            screen::set_bar(Some(bar.clone()));
        }
    }
}

fn amount(update: &ProgressUpdate) -> String {
    match update.total {
        Some(total) => format!("{}/{total}", update.progress),
        None => update.progress.to_string(),
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg} ({elapsed})").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn gauge() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} [{bar:28}] {percent:>3}% {msg} ({elapsed})")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
