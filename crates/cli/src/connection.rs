//! The connection of a command to its server.

mod client_features;
mod follow_up;
mod open;
mod options;
mod stdio;

pub(crate) use client_features::ClientFeatures;
pub(crate) use follow_up::{FollowUpCommand, TaskFollowUp};
pub(crate) use options::ConnectOptions;

use crate::elicitation::Prompter;
use crate::error::{CliError, TargetKind};
use crate::exit::ExitStatus;
use crate::output::spinner::Spinner;
use crate::output::{Output, text, warnings};
use crate::signals;
use crate::target::ResolvedTarget;
use carryall::Client;
use carryall::client::{CallOptions, ClientError, ListPage, Listing, TaskHandle};
use carryall::proto::CallError;
use carryall::proto::sync::Mutex;
use carryall::types::LoggingLevel;
use open::OpenTransport;
use std::time::Duration;

/// Timeout of a list with all of its pages, unless `--timeout` is longer.
const LIST_TIMEOUT: Duration = Duration::from_secs(120);
/// Time to cancel the task of an interrupted call.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(3);

/// The server that a command talks to.
pub(crate) struct ConnectedServer {
    pub(crate) client: Client,
    /// A short name of the server for messages.
    pub(crate) label: String,
    pub(crate) output: Output,
    pub(crate) kind: TargetKind,
    /// Builds the commands that are suggested to the user.
    pub(crate) follow_up: FollowUpCommand,
    /// Whether this command started the server, which then stops with it.
    pub(crate) ephemeral: bool,
    /// Answers to roots and sampling requests.
    pub(crate) features: ClientFeatures,
    /// Asks the user, unless the answers are given on the command line.
    pub(crate) prompter: Option<Prompter>,
    call_options: CallOptions,
    list_timeout: Duration,
    /// The task of the call in flight, which is cancelled on Ctrl-C.
    task: Mutex<Option<TaskHandle>>,
}

/// Connects to the target, runs `work`, and shuts the connection down. A server that was started
/// for the command is stopped.
///
/// Ctrl-C or SIGTERM during `work` ends it with the status `interrupted`; while connecting, with
/// [`ExitStatus::Interrupted`].
pub(crate) async fn with(
    resolved: ResolvedTarget,
    options: &ConnectOptions,
    interrupted: ExitStatus,
    work: impl AsyncFnOnce(&ConnectedServer) -> Result<ExitStatus, CliError>,
) -> Result<ExitStatus, CliError> {
    with_prompter(resolved, options, None, interrupted, work).await
}

/// Like [`with`], for work during which the server may ask the user for input.
pub(crate) async fn with_prompter(
    resolved: ResolvedTarget,
    options: &ConnectOptions,
    prompter: Option<Prompter>,
    interrupted: ExitStatus,
    work: impl AsyncFnOnce(&ConnectedServer) -> Result<ExitStatus, CliError>,
) -> Result<ExitStatus, CliError> {
    let output = Output::new(options.output);
    warnings::install(output);
    let mut signals = signals::watch();
    let (kind, label) = (resolved.target.kind(), resolved.target.label());
    let follow_up = FollowUpCommand::new(&resolved, options);
    let (client, transport) = tokio::select! {
        opened = open::open(resolved.target, options, prompter, output) => opened?,
        () = signals.next() => return Ok(ExitStatus::Interrupted),
    };
    let server = ConnectedServer {
        client,
        label,
        output,
        kind,
        follow_up,
        ephemeral: matches!(transport, OpenTransport::Stdio(_)),
        features: options.features.clone(),
        prompter,
        call_options: call_options(options, output)?,
        list_timeout: LIST_TIMEOUT.max(options.timeout),
        task: Mutex::default(),
    };
    let result = tokio::select! {
        result = work(&server) => result,
        () = signals.next() => Ok(interrupted),
    };
    let status = match &result {
        Ok(status) => *status,
        Err(error) => error.status,
    };
    if status == ExitStatus::Interrupted {
        server.cancel_task().await;
    }
    match transport {
        OpenTransport::Http(http) => http.shutdown().await,
        OpenTransport::Unix => {}
        OpenTransport::Stdio(spawned) => {
            spawned.client.shutdown().await;
            return result.map_err(|error| spawned.explain(error, output));
        }
    }
    result
}

impl ConnectedServer {
    /// Returns the options that apply to every request.
    pub(crate) fn call_options(&self) -> CallOptions {
        self.call_options.clone()
    }

    /// Returns the options of a request that may take long. Its progress updates the spinner and
    /// resets the timeout.
    pub(crate) fn progress_options(&self, spinner: &Spinner) -> CallOptions {
        let spinner = spinner.clone();
        self.call_options()
            .reset_on_progress()
            .on_progress(move |update| spinner.update(&update))
    }

    pub(crate) fn spinner(&self, label: &str) -> Spinner {
        Spinner::new(self.output, label)
    }

    /// Fetches all pages of a list. The spinner says "listing `what`".
    pub(crate) async fn list<P: ListPage>(
        &self,
        listing: Listing<P>,
        what: &str,
    ) -> Result<Vec<P::Item>, ClientError> {
        let spinner = self.spinner(&format!("listing {what}"));
        let listing = listing.with(self.call_options()).into_future();
        let items = spinner
            .during(tokio::time::timeout(self.list_timeout, listing))
            .await;
        items.unwrap_or_else(|_| Err(ClientError::Call(CallError::Timeout(self.list_timeout))))
    }

    /// Sets the task to cancel on Ctrl-C.
    pub(crate) fn cancel_on_interrupt(&self, task: Option<TaskHandle>) {
        *self.task.lock() = task;
    }

    /// Cancels the task of an interrupted call, because nobody will fetch its result.
    async fn cancel_task(&self) {
        let Some(task) = self.task.lock().take() else {
            return;
        };
        match tokio::time::timeout(CANCEL_TIMEOUT, task.cancel()).await {
            Ok(Ok(())) if self.output.stderr_is_terminal || self.output.verbose => {
                self.output
                    .note(&format!("Cancelled task {}.", text::one_line(task.id())));
            }
            Ok(Ok(())) => {}
            // This command started the server, and stops it next together with the task.
            _ if self.ephemeral => {}
            _ => self.output.warn(&format!(
                "cannot cancel the task, which may still be running: {}",
                self.follow_up.wait(task.id())
            )),
        }
    }

    /// Converts the error of a request into an error of this command.
    pub(crate) fn error(&self, error: &ClientError) -> CliError {
        CliError::client(&self.label, self.kind, error)
    }
}

/// Returns the options that apply to every request: `--meta`, and `--log-level`, which prints log
/// messages on standard error.
fn call_options(options: &ConnectOptions, output: Output) -> Result<CallOptions, CliError> {
    let mut call_options = CallOptions::new();
    for (key, value) in options.parse_meta()? {
        call_options = call_options.meta(key, value);
    }
    // `off` is not a level and requests no log messages.
    if let Ok(level) = options.log_level.parse::<LoggingLevel>() {
        // The protocol deprecates log messages but still has them.
        #[allow(deprecated)]
        let with_log = call_options.on_log(level, move |message| {
            let data = message
                .data
                .decode::<String>()
                .unwrap_or_else(|_| message.data.as_str().to_owned());
            output.log(message.level.as_str(), message.logger.as_deref(), &data);
        });
        call_options = with_log;
    }
    Ok(call_options)
}
