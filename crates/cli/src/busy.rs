//! A spinner or progress bar on standard error, for answers that take their time.

use crate::screen::{self, Output};
use crate::text;
use carryall::client::ProgressUpdate;
use carryall::proto::sync::Mutex;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

/// Answers that come sooner are not worth a spinner.
const PATIENCE: Duration = Duration::from_millis(200);
const TICK: Duration = Duration::from_millis(100);
/// Characters of a message that are drawn.
const MAX_MESSAGE: usize = 200;
/// The length of a bar whose total is known.
const LENGTH: u64 = 10_000;

/// Shows that something is going on. Clones show the same.
#[derive(Clone)]
pub(crate) struct Spinner {
    screen: Output,
    label: String,
    bar: Option<ProgressBar>,
    seen: Arc<Mutex<Seen>>,
}

/// Whether the bar is to be seen.
#[derive(Default)]
struct Seen {
    /// It takes long enough.
    due: bool,
    /// Somebody is asked something, and must not be drawn over.
    hushed: bool,
}

impl Spinner {
    /// Nothing is shown yet, unless with `--verbose`.
    pub(crate) fn new(screen: Output, label: &str) -> Self {
        if screen.verbose {
            screen.note(label);
        }
        let bar = screen.live.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
            bar.set_style(spinner());
            bar.set_message(label.to_owned());
            bar
        });
        Self {
            screen,
            label: label.to_owned(),
            bar,
            seen: Arc::default(),
        }
    }

    /// Waits for the answer, visibly if it takes long. Nothing of that is left, even if the waiting
    /// is broken off.
    pub(crate) async fn during<F: Future>(&self, answer: F) -> F::Output {
        let _clearing = LineEraser(self);
        let mut answer = std::pin::pin!(answer);
        let early = tokio::time::timeout(PATIENCE, &mut answer).await;
        match early {
            Ok(output) => output,
            Err(_) => {
                self.show();
                answer.await
            }
        }
    }

    /// Nothing is drawn until what this returns is dropped: a person is asked something.
    pub(crate) fn hush(&self) -> SpinnerSuspended<'_> {
        self.seen().hushed = true;
        self.clear();
        SpinnerSuspended(self)
    }

    /// Shows how far the server says it has come.
    pub(crate) fn update(&self, update: &ProgressUpdate) {
        let message = update.message.as_deref().map(short).unwrap_or_default();
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
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss
                )]
                bar.set_position((fraction * LENGTH as f64) as u64);
                bar.set_message(format!("{}  {message}", amount(update)));
            }
            None => bar.set_message(format!("{}  {}  {message}", self.label, amount(update))),
        }
        self.show();
    }

    /// Shows what the server says about a task that it works on.
    pub(crate) fn status(&self, status: &str) {
        let status = short(status);
        match &self.bar {
            Some(bar) => {
                bar.set_style(spinner());
                bar.set_message(format!("{}  {status}", self.label));
                self.show();
            }
            None if self.screen.verbose => screen::say(&format!("[task] {status}")),
            None => {}
        }
    }

    fn show(&self) {
        let Some(bar) = &self.bar else { return };
        let mut seen = self.seen();
        seen.due = true;
        if seen.hushed || !(bar.is_hidden() || bar.is_finished()) {
            return;
        }
        if bar.is_finished() {
            // It was cleared for a question, and goes on.
            let elapsed = bar.elapsed();
            bar.reset();
            bar.set_elapsed(elapsed);
        }
        if bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.enable_steady_tick(TICK);
        screen::set_bar(Some(bar.clone()));
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            screen::set_bar(None);
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock()
    }
}

/// Takes the bar away in the end.
struct LineEraser<'a>(&'a Spinner);

impl Drop for LineEraser<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// As long as this lives, nothing is drawn.
pub(crate) struct SpinnerSuspended<'a>(&'a Spinner);

impl Drop for SpinnerSuspended<'_> {
    fn drop(&mut self) {
        let due = {
            let mut seen = self.0.seen();
            seen.hushed = false;
            seen.due
        };
        if due {
            self.0.show();
        }
    }
}

/// What is drawn again and again is clipped.
fn short(text: &str) -> String {
    text::clipped_line(text, MAX_MESSAGE)
}

fn amount(update: &ProgressUpdate) -> String {
    match update.total {
        Some(total) => format!("{}/{total}", update.progress),
        None => update.progress.to_string(),
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn gauge() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} [{bar:28}] {percent:>3}% {msg} ({elapsed})")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
