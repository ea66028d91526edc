//! From TARGET to a client.

use crate::again::FollowUpCommand;
use crate::answers::Answers;
use crate::ask::Prompter;
use crate::busy::Spinner;
use crate::duration;
use crate::era::{EraOption, memory};
use crate::fail::{Exit, Fail, TargetKind};
use crate::follow;
use crate::inputs::ClientFeatures;
use crate::mcp_json::ConfigPaths;
use crate::notes;
use crate::screen::{Output, OutputOptions};
use crate::stop;
use crate::target::{self, Process, ResolvedTarget, Target};
use crate::text;
use carryall::client::{CallOptions, ClientBuilder, ClientError, ListPage, Listing, TaskHandle};
use carryall::proto::sync::Mutex;
use carryall::proto::{CallError, SharedService};
use carryall::transport::http::HttpClient;
use carryall::transport::socket::SocketClient;
use carryall::transport::stdio::ServerCommand;
use carryall::types::{
    ClientCapabilities, ElicitationCapability, JsonObject, JsonValue, LoggingLevel,
};
use carryall::{Client, DualEraHttp, DualEraOptions, DualEraStdio};
use http::{HeaderName, HeaderValue};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A request is given up after this time in any case, unless `--timeout` is longer.
const HARD_LIMIT: Duration = Duration::from_secs(600);
/// A list is given up after this time, unless `--timeout` is longer.
const LIST_LIMIT: Duration = Duration::from_secs(120);
/// A list with more text than this is given up, in bytes.
const LIST_BYTES: usize = 32 * 1024 * 1024;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long the server may take to hear that a task is not wanted any more.
const PARTING: Duration = Duration::from_secs(3);
/// Lines of a server's standard error that are shown when it fails.
const LAST_WORDS: usize = 12;

/// Options of every command that talks to a server.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Server options")]
pub(crate) struct ServerOptions {
    /// Look names up in this configuration file alone
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Send this HTTP header with every request (repeatable)
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// Set a variable for a server that is started here, or pass one on by its name (repeatable)
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Which era of the protocol to speak; auto finds out
    #[arg(long, value_name = "ERA", value_enum, default_value_t)]
    pub(crate) era: EraOption,
    /// How long to wait for an answer; progress starts it anew, up to ten minutes
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
    /// Put a member into _meta of every request; the value is JSON, or text if it is not
    /// (repeatable)
    #[arg(long = "meta", value_name = "KEY=VALUE")]
    pub(crate) meta: Vec<String>,
    /// The least severe log messages to ask the server for; they go to standard error
    #[arg(long, value_name = "LEVEL", default_value = "info",
          value_parser = ["off", "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"])]
    pub(crate) log_level: String,
    #[command(flatten)]
    pub(crate) inputs: ClientFeatures,
    #[command(flatten)]
    pub(crate) screen: OutputOptions,
}

impl ServerOptions {
    /// TARGET and the words after it.
    pub(crate) fn split(
        &self,
        target: Option<String>,
        rest: Vec<String>,
        command: Vec<String>,
    ) -> Result<(ResolvedTarget, Vec<String>), Fail> {
        let paths = ConfigPaths::of_process(self.config.clone());
        target::split(target, rest, command, &paths, Output::new(self.screen))
    }
}

/// A server that a command talks to.
pub(crate) struct Server {
    pub(crate) client: Client,
    /// The server in a few words, for messages.
    pub(crate) place: String,
    pub(crate) screen: Output,
    pub(crate) reach: TargetKind,
    /// How to name it on another command line.
    pub(crate) again: FollowUpCommand,
    /// Whether it is still there when this command has ended.
    pub(crate) lasts: bool,
    /// What it may ask of the client itself.
    pub(crate) inputs: ClientFeatures,
    /// Who may be asked what nobody has answered on the command line.
    pub(crate) person: Option<Prompter>,
    options: CallOptions,
    /// How long a whole list may take, whatever its pages.
    list_limit: Duration,
    /// The task that a call has become.
    task: Mutex<Option<TaskHandle>>,
}

/// Does `work` with the server that `target` is, and leaves nothing of it running. Ctrl-C ends it
/// with `interrupted`.
pub(crate) async fn with(
    target: ResolvedTarget,
    options: &ServerOptions,
    interrupted: Exit,
    work: impl AsyncFnOnce(&Server) -> Result<Exit, Fail>,
) -> Result<Exit, Fail> {
    serving(target, options, None, interrupted, work).await
}

/// As [`with`], for work in which the server may ask something: questions without `answers` go to
/// the person who is there.
pub(crate) async fn answering(
    target: ResolvedTarget,
    options: &ServerOptions,
    answers: &Answers,
    interrupted: Exit,
    work: impl AsyncFnOnce(&Server) -> Result<Exit, Fail>,
) -> Result<Exit, Fail> {
    answers.check()?;
    let screen = Output::new(options.screen);
    let ended = serving(target, options, answers.person(screen), interrupted, work).await;
    if ended.is_ok() {
        answers.warn_of_unused(screen);
    }
    ended
}

async fn serving(
    chosen: ResolvedTarget,
    options: &ServerOptions,
    person: Option<Prompter>,
    interrupted: Exit,
    work: impl AsyncFnOnce(&Server) -> Result<Exit, Fail>,
) -> Result<Exit, Fail> {
    let screen = Output::new(options.screen);
    notes::install(screen);
    let mut signals = stop::watch();
    let reach = chosen.target.reach();
    let (place, again) = (
        chosen.target.shown(),
        FollowUpCommand::new(&chosen, options),
    );
    let (client, way) = tokio::select! {
        opened = open(chosen.target, options, person, screen) => opened?,
        () = signals.next() => return Ok(Exit::Interrupted),
    };
    let server = Server {
        client,
        place,
        screen,
        reach,
        again,
        lasts: !matches!(way, Way::Child(_)),
        inputs: options.inputs.clone(),
        person,
        options: call_options(options, screen)?,
        list_limit: LIST_LIMIT.max(options.timeout),
        task: Mutex::default(),
    };
    let ended = tokio::select! {
        ended = work(&server) => ended,
        () = signals.next() => Ok(interrupted),
    };
    if matches!(&ended, Ok(Exit::Interrupted))
        || matches!(&ended, Err(fail) if fail.exit == Exit::Interrupted)
    {
        server.break_off().await;
    }
    match way {
        Way::Http(way) => way.shutdown().await,
        Way::Socket => {}
        Way::Child(child) => {
            child.client.shutdown().await;
            return ended.map_err(|fail| child.explain(fail, screen));
        }
    }
    ended
}

impl Server {
    /// What every request gets.
    pub(crate) fn options(&self) -> CallOptions {
        self.options.clone()
    }

    /// What every request gets whose answer may take its time, with the log messages that were
    /// asked for.
    pub(crate) fn patient_options(&self, busy: &Spinner) -> CallOptions {
        let busy = busy.clone();
        self.options()
            .reset_on_progress()
            .on_progress(move |update| busy.update(&update))
    }

    /// Shows that something is going on.
    pub(crate) fn busy(&self, label: &str) -> Spinner {
        Spinner::new(self.screen, label)
    }

    /// A whole list.
    pub(crate) async fn list<P: ListPage>(
        &self,
        listing: Listing<P>,
        what: &str,
    ) -> Result<Vec<P::Item>, ClientError> {
        let busy = self.busy(&format!("listing {what}"));
        let listing =
            tokio::time::timeout(self.list_limit, listing.with(self.options()).into_future());
        let listed = busy.during(listing).await;
        listed.unwrap_or_else(|_| Err(ClientError::Call(CallError::Timeout(self.list_limit))))
    }

    /// The task that the call at hand has become, to be cancelled when it is interrupted.
    pub(crate) fn mind(&self, task: Option<TaskHandle>) {
        *self.task.lock() = task;
    }

    /// Cancels the task of a call that was interrupted: nobody waits for its result.
    async fn break_off(&self) {
        let task = self.task.lock().take();
        let Some(task) = task else { return };
        match tokio::time::timeout(PARTING, task.cancel()).await {
            Ok(Ok(())) if self.screen.watched || self.screen.verbose => {
                self.screen
                    .note(&format!("The task {} is cancelled.", text::line(task.id())));
            }
            Ok(Ok(())) => {}
            // A server that was started here has heard of Ctrl-C as well.
            _ if !self.lasts => {}
            _ => self.screen.warn(&format!(
                "the task could not be cancelled, and may go on: {}",
                follow::wait(self, task.id())
            )),
        }
    }

    /// What went wrong with a request.
    pub(crate) fn failed(&self, error: &ClientError) -> Fail {
        Fail::of(&self.place, self.reach, error)
    }
}

/// What has to be ended when the work is done.
enum Way {
    Http(DualEraHttp),
    Socket,
    Child(ChildServer),
}

/// A server that was started here.
struct ChildServer {
    client: DualEraStdio,
    last_words: Arc<Mutex<VecDeque<String>>>,
}

impl ChildServer {
    fn explain(&self, fail: Fail, screen: Output) -> Fail {
        explain(fail, &self.last_words, screen)
    }
}

/// Adds what a server wrote to standard error, where the reason usually stands.
fn explain(mut fail: Fail, last_words: &Mutex<VecDeque<String>>, screen: Output) -> Fail {
    let words = last_words.lock();
    if matches!(fail.exit, Exit::Unreachable | Exit::Timeout)
        && !screen.verbose
        && !words.is_empty()
    {
        let lines: Vec<String> = words
            .iter()
            .map(|line| format!("    {}", text::line(line)))
            .collect();
        fail.hints.insert(
            0,
            format!(
                "the server's last words on standard error:\n{}",
                lines.join("\n")
            ),
        );
    }
    fail
}

async fn open(
    target: Target,
    options: &ServerOptions,
    person: Option<Prompter>,
    screen: Output,
) -> Result<(Client, Way), Fail> {
    let (place, reach) = (target.shown(), target.reach());
    if !options.headers.is_empty() && !matches!(target, Target::Http { .. }) {
        return Err(Fail::usage(
            "--header is for servers that are reached over HTTP",
        ));
    }
    if !options.env.is_empty() && !matches!(target, Target::Stdio(_)) {
        return Err(Fail::usage("--env is for servers that are started here"));
    }
    let way = DualEraOptions::default()
        .era(options.era.into())
        .era_cache(memory());
    let way = way.handshake_timeout(options.timeout);
    let builder = builder(options, person)?;
    let way = carryall::with_input_handlers(way, &builder);
    let (builder, way) = match target {
        Target::Http { url, headers } => {
            let way = DualEraHttp::new(http_client(&url, &headers, options)?, way);
            let told = way.clone();
            let builder = builder.era_from(move || told.decision());
            (
                builder
                    .service(SharedService::new_boxed(way.clone()))
                    .mirror_headers(true),
                Way::Http(way),
            )
        }
        Target::Unix(path) => (builder.service(SocketClient::unix(path)), Way::Socket),
        Target::Stdio(process) => {
            let busy = Spinner::new(screen, &format!("starting {place}"));
            let child = busy.during(start(process, way, options, screen)).await?;
            let told = child.client.clone();
            let builder = builder.era_from(move || told.decision());
            // A server that does not stay up is not started again and again.
            (
                builder.service(child.client.clone()).max_retries(0),
                Way::Child(child),
            )
        }
    };
    let client = builder
        .build()
        .map_err(|error| Fail::of(&place, reach, &error))?;
    Ok((client, way))
}

fn builder(options: &ServerOptions, person: Option<Prompter>) -> Result<ClientBuilder, Fail> {
    // Forms can be filled in with --answer; what is asked for without it is shown. Pages are opened
    // by people.
    let mut elicitation = ElicitationCapability::new().with_form(JsonObject::new());
    elicitation.url = person.map(|_| JsonObject::new());
    let builder = Client::builder()
        .name("carryall")
        .version(env!("CARGO_PKG_VERSION"))
        .capabilities(ClientCapabilities::new().with_elicitation(elicitation))
        .tasks()
        // Requests about tasks have no options of their own.
        .ambient_meta({
            let meta = meta(options)?;
            move || meta.clone()
        })
        .timeout(options.timeout)
        .max_timeout(HARD_LIMIT.max(options.timeout))
        .max_list_bytes(LIST_BYTES);
    options.inputs.declare(builder)
}

fn http_client(
    url: &str,
    configured: &[(String, String)],
    options: &ServerOptions,
) -> Result<HttpClient, Fail> {
    let invalid = |error: carryall::transport::http::InvalidTarget| Fail::usage(error.to_string());
    let mut http = HttpClient::builder(url)
        .map_err(invalid)?
        .connect_timeout(CONNECT_LIMIT.min(options.timeout));
    let given = options
        .headers
        .iter()
        .map(|header| match header.split_once(':') {
            Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
            None => Err(Fail::usage(format!("--header {header:?} has no colon"))
                .hint("write --header 'NAME: VALUE'")),
        });
    let given = given.collect::<Result<Vec<_>, _>>()?;
    // Those of the command line take the place of those of the configuration.
    let configured = configured.iter().filter(|(name, _)| {
        !given
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(name))
    });
    for (name, value) in configured.chain(&given) {
        // The value may be a secret: it is not repeated.
        let header = HeaderName::try_from(name)
            .map_err(|_| Fail::usage(format!("{name:?} is not the name of an HTTP header")))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| {
            Fail::usage(format!(
                "the value of header {name} has characters that HTTP cannot carry"
            ))
        })?;
        value.set_sensitive(true);
        http = http.header(header, value);
    }
    http.build().map_err(invalid)
}

async fn start(
    process: Process,
    way: DualEraOptions,
    options: &ServerOptions,
    screen: Output,
) -> Result<ChildServer, Fail> {
    let last_words = Arc::new(Mutex::new(VecDeque::new()));
    let words = Arc::clone(&last_words);
    let program = process.program.clone();
    let mut command = ServerCommand::new(process.program)
        .args(process.args)
        .envs_of(process.env);
    for variable in &options.env {
        command = match variable.split_once('=') {
            Some((name, value)) => command.env(name, value),
            None => match std::env::var_os(variable) {
                Some(value) => command.env(variable, value),
                None => {
                    return Err(Fail::usage(format!(
                        "--env {variable}: this variable is not set here"
                    )));
                }
            },
        };
    }
    if let Some(dir) = process.cwd {
        command = command.current_dir(dir);
    }
    let command = command.on_stderr(move |line| {
        if screen.verbose {
            screen.log("stderr", Some(&program), line);
        }
        let mut words = words.lock();
        if line.trim().is_empty() {
            return;
        }
        if words.len() == LAST_WORDS {
            words.pop_front();
        }
        words.push_back(line.to_owned());
    });
    let shown = format!("`{}`", command.program());
    match DualEraStdio::spawn(command, way).await {
        Ok(client) => Ok(ChildServer { client, last_words }),
        Err(error) => Err(explain(
            Fail::of(&shown, TargetKind::Child, &error.into()),
            &last_words,
            screen,
        )),
    }
}

/// `envs` for a list of pairs.
trait EnvsOf {
    fn envs_of(self, pairs: Vec<(String, String)>) -> Self;
}

impl EnvsOf for ServerCommand {
    fn envs_of(self, pairs: Vec<(String, String)>) -> Self {
        pairs
            .into_iter()
            .fold(self, |command, (name, value)| command.env(name, value))
    }
}

/// `--meta`
fn meta(options: &ServerOptions) -> Result<JsonObject, Fail> {
    let member = |member: &String| {
        let (key, value) = member.split_once('=').ok_or_else(|| {
            Fail::usage(format!("--meta {member:?} has no value"))
                .hint("write --meta KEY=VALUE, for example --meta com.example/run=7")
        })?;
        let value: JsonValue = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        Ok((key.to_owned(), value))
    };
    options.meta.iter().map(member).collect()
}

/// What every request gets: `--meta`, and log messages to standard error.
fn call_options(options: &ServerOptions, screen: Output) -> Result<CallOptions, Fail> {
    let mut call = CallOptions::new();
    for (key, value) in meta(options)? {
        call = call.meta(key, value);
    }
    if let Ok(level) = options.log_level.parse::<LoggingLevel>() {
        // Servers that still log are worth hearing while the protocol has it.
        #[allow(deprecated)]
        let with_log = call.on_log(level, move |message| {
            let data = message
                .data
                .decode::<String>()
                .unwrap_or_else(|_| message.data.as_str().to_owned());
            screen.log(message.level.as_str(), message.logger.as_deref(), &data);
        });
        call = with_log;
    }
    Ok(call)
}
