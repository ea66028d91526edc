//! A spinner or progress bar on standard error while a request is in flight.

use super::{Output, set_progress_bar, text, write_stderr};
use carryall::client::ProgressUpdate;
use carryall::proto::sync::Mutex;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

/// The spinner appears after this delay, so that fast answers do not flicker.
const SHOW_AFTER: Duration = Duration::from_millis(200);
/// Interval between frames.
const TICK: Duration = Duration::from_millis(100);
/// Longer messages are clipped, in characters.
const MAX_MESSAGE: usize = 200;
/// Resolution of a bar whose total is known.
const BAR_STEPS: u64 = 10_000;

/// Shows that a request is in flight. Clones share the same bar.
#[derive(Clone)]
pub(crate) struct Spinner {
    output: Output,
    label: String,
    bar: Option<ProgressBar>,
    state: Arc<Mutex<SpinnerState>>,
}

#[derive(Default)]
struct SpinnerState {
    /// Whether the request has taken long enough to show the bar.
    due: bool,
    /// Whether drawing is suspended by [`Spinner::suspend`].
    suspended: bool,
}

impl Spinner {
    /// Creates a hidden spinner. With `--verbose` the label is printed instead.
    pub(crate) fn new(output: Output, label: &str) -> Self {
        if output.verbose {
            output.note(label);
        }
        let bar = output.draws_progress.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
            bar.set_style(spinner());
            bar.set_message(label.to_owned());
            bar
        });
        Self {
            output,
            label: label.to_owned(),
            bar,
            state: Arc::default(),
        }
    }

    /// Waits for the answer, and shows the spinner if that takes long. The spinner is erased
    /// afterwards, also if the future is dropped.
    pub(crate) async fn during<F: Future>(&self, answer: F) -> F::Output {
        let _erase = LineEraser(self);
        let mut answer = std::pin::pin!(answer);
        let early = tokio::time::timeout(SHOW_AFTER, &mut answer).await;
        match early {
            Ok(output) => output,
            Err(_) => {
                self.show();
                answer.await
            }
        }
    }

    /// Stops drawing until the guard is dropped, so that the terminal is free for a prompt.
    pub(crate) fn suspend(&self) -> SpinnerSuspended<'_> {
        self.state().suspended = true;
        self.clear();
        SpinnerSuspended(self)
    }

    /// Shows a progress notification.
    pub(crate) fn update(&self, update: &ProgressUpdate) {
        let message = update.message.as_deref().map(short).unwrap_or_default();
        let Some(bar) = &self.bar else {
            if self.output.verbose {
                write_stderr(&format!("[progress] {} {message}", amount(update)));
            }
            return;
        };
        match update.fraction() {
            Some(fraction) => {
                bar.set_style(gauge());
                bar.set_length(BAR_STEPS);
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss
                )]
                bar.set_position((fraction * BAR_STEPS as f64) as u64);
                bar.set_message(format!("{}  {message}", amount(update)));
            }
            None => bar.set_message(format!("{}  {}  {message}", self.label, amount(update))),
        }
        self.show();
    }

    /// Shows the status of a task.
    pub(crate) fn status(&self, status: &str) {
        let status = short(status);
        match &self.bar {
            Some(bar) => {
                bar.set_style(spinner());
                bar.set_message(format!("{}  {status}", self.label));
                self.show();
            }
            None if self.output.verbose => write_stderr(&format!("[task] {status}")),
            None => {}
        }
    }

    fn show(&self) {
        let Some(bar) = &self.bar else { return };
        let mut state = self.state();
        state.due = true;
        if state.suspended || !(bar.is_hidden() || bar.is_finished()) {
            return;
        }
        if bar.is_finished() {
            // It was erased for a prompt and is shown again.
            let elapsed = bar.elapsed();
            bar.reset();
            bar.set_elapsed(elapsed);
        }
        if bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.enable_steady_tick(TICK);
        set_progress_bar(Some(bar.clone()));
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            set_progress_bar(None);
        }
    }

    fn state(&self) -> MutexGuard<'_, SpinnerState> {
        self.state.lock()
    }
}

/// Erases the bar when dropped.
struct LineEraser<'a>(&'a Spinner);

impl Drop for LineEraser<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// Drawing is suspended while this guard lives ([`Spinner::suspend`]).
pub(crate) struct SpinnerSuspended<'a>(&'a Spinner);

impl Drop for SpinnerSuspended<'_> {
    fn drop(&mut self) {
        let due = {
            let mut state = self.0.state();
            state.suspended = false;
            state.due
        };
        if due {
            self.0.show();
        }
    }
}

/// Clips text that is drawn on every tick.
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
