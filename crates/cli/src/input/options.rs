//! `--answer`, `--decline` and `--no-ask`.

use crate::args;
use crate::connection::{self, ConnectOptions, ConnectedServer};
use crate::elicitation::Prompter;
use crate::error::CliError;
use crate::exit::ExitStatus;
use crate::output::{Output, text};
use crate::target::ResolvedTarget;
use carryall::proto::sync::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How elicitation requests are answered.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct AnswerOptions {
    /// Answer a field of a form that the server asks the user to fill in, as FIELD or
    /// QUESTION.FIELD (repeatable)
    #[arg(long = "answer", value_name = "FIELD=VALUE")]
    answers: Vec<String>,
    /// Decline everything that the server asks the user
    #[arg(long, conflicts_with = "answers")]
    pub(super) decline: bool,
    /// Do not prompt at the terminal
    #[arg(long)]
    no_ask: bool,
    /// The answers that some form has used.
    #[arg(skip)]
    used: Arc<Mutex<BTreeSet<String>>>,
}

impl AnswerOptions {
    /// Like [`connection::with`], for work in which the server may ask the user something. Warns of
    /// answers that were not used.
    pub(crate) async fn connect(
        &self,
        target: ResolvedTarget,
        options: &ConnectOptions,
        work: impl AsyncFnOnce(&ConnectedServer) -> Result<ExitStatus, CliError>,
    ) -> Result<ExitStatus, CliError> {
        self.check()?;
        let output = Output::new(options.output);
        // Whoever gives answers on the command line does not want to be prompted for others.
        let prompter = if self.answers.is_empty() && !self.decline && !self.no_ask {
            Prompter::new(output)
        } else {
            None
        };
        let interrupted = ExitStatus::Interrupted;
        let ended = connection::with_prompter(target, options, prompter, interrupted, work).await;
        if ended.is_ok() {
            for word in self.unused() {
                let word = text::clipped_line(word, 100);
                output.warn(&format!("no form asked for --answer {word}"));
            }
        }
        ended
    }

    /// Rejects answers that no form could use, before anything is sent to the server.
    fn check(&self) -> Result<(), CliError> {
        self.answers.iter().try_for_each(|word| {
            args::check_pair(word).map_err(|mut error| {
                error.message = format!("--answer {}: {}", text::one_line(word), error.message);
                error.hints =
                    vec!["write --answer FIELD=VALUE, FIELD:=JSON or FIELD=@FILE".to_owned()];
                error
            })
        })
    }

    /// Returns all `--answer` values.
    pub(super) fn answers(&self) -> impl Iterator<Item = &String> {
        self.answers.iter()
    }

    /// Marks an answer as used.
    pub(super) fn mark_used(&self, word: &str) {
        self.used.lock().insert(word.to_owned());
    }

    /// Returns the answers that no form has used so far.
    pub(super) fn unused(&self) -> impl Iterator<Item = &String> {
        let used = self.used.lock().clone();
        self.answers
            .iter()
            .filter(move |word| !used.contains(*word))
    }
}
