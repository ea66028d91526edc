//! Calling a server of any revision that runs as a child process.

mod detect;
mod processes;

use super::adapter::{LegacyAdapter, Open};
use super::channel::{LineReader, LineTransport};
use super::era::Era;
use super::legacy_side::{Answered, LegacySide};
use super::options::Options;
use super::session::{ClientIdentity, LegacySession};
use super::single_flight::SingleFlight;
use super::wire::SessionError;
use carryall_proto::sync::Mutex;
use carryall_proto::{
    BoxFuture, Call, CallError, EraDecision, Meta, Params, PrintableFmt, Reply, wire,
};
use carryall_transport::lines::{Channel, ChannelOptions};
use carryall_transport::stdio::ServerCommand;
use carryall_types::{Method, ProtocolVersion, RawJson, RequestId};
use detect::{Ask, Failed, First, Found, detect};
use processes::{ProcessPipes, ProcessSupervisor};
use std::fmt;
use std::io::Cursor;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll};
use tokio::io::AsyncReadExt as _;
use tower_service::Service;

/// How many processes there may be unless set: each session with a server is one.
const MAX_PROCESSES: usize = 8;
/// How long a process may take to end, in multiples of the time that it has to do so by itself.
const ENDING: u32 = 3;

/// Calls an MCP server of any revision that runs as a child process. Cheap to clone; clones share
/// the process.
///
/// The process is started by [`spawn`](Self::spawn), or with [`new`](Self::new) by the first call,
/// and then it is found out which era the server is of. It is started again by the next call after
/// it has exited; in between attempts there is a growing pause. Calls in flight when it exits fail
/// with [`CallError::Broken`] and are not sent again, because whether they were executed is
/// unknown.
///
/// Starting takes as long as it takes, up to [`Options::handshake_timeout`]: a call that gives up
/// meanwhile does not end it, and the next one finds the server ready.
///
/// A server of an earlier revision hears once and for all what its client can do, and keeps state
/// per process. Which calls share a process is decided by [`SessionScope`](super::SessionScope);
/// calls that declare other capabilities never do. At most eight processes run at a time, unless
/// [`Options::max_sessions`] says otherwise.
///
/// When the last clone is dropped, or [`shutdown`](Self::shutdown) is called, the processes find
/// their standard input closed, get time to exit, then `SIGTERM` and finally `SIGKILL`, together
/// with whatever they have started.
#[derive(Clone)]
pub struct Stdio {
    handle: Arc<Handle>,
}

/// PooledSession by clones alone, so that the processes end with the last of them.
struct Handle(Arc<Shared>);

struct Shared {
    processes: Arc<ProcessSupervisor>,
    options: Options,
    /// What the memory knows the server by.
    key: String,
    way: Mutex<Option<Way>>,
    decision: Mutex<Option<EraDecision>>,
    deciding: SingleFlight<Way, CallError>,
    /// For the calls of legacy clients, when the server is called in the modern era.
    legacy_side: LegacySide,
}

#[derive(Clone)]
enum Way {
    Modern(Channel),
    Legacy {
        adapter: LegacyAdapter,
        /// A new process has refused the handshake as only a modern server does.
        outdated: Arc<AtomicBool>,
    },
}

impl Stdio {
    /// Calls the server that `command` starts. Nothing is started before the first call.
    #[must_use]
    pub fn new(command: ServerCommand, options: Options) -> Self {
        let key = key_of(&command);
        let max_sessions = options.max_sessions.unwrap_or(MAX_PROCESSES);
        let options = options.max_sessions(max_sessions);
        let processes = Arc::new(ProcessSupervisor::new(command));
        let adapter = LegacyAdapter::new(
            options.clone(),
            opener(None, &processes, &options, Arc::default()),
        );
        let shared = Shared {
            processes,
            legacy_side: LegacySide::new(adapter, &options),
            options,
            key,
            way: Mutex::default(),
            decision: Mutex::default(),
            deciding: SingleFlight::default(),
        };
        Self {
            handle: Arc::new(Handle(Arc::new(shared))),
        }
    }

    /// Starts the server and finds out what it is.
    ///
    /// # Errors
    /// When the program cannot be started, exits, speaks no common revision, or is not an MCP
    /// server at all.
    pub async fn spawn(command: ServerCommand, options: Options) -> Result<Self, CallError> {
        let stdio = Self::new(command, options);
        stdio.handle.0.way().await?;
        Ok(stdio)
    }

    /// What was found out about the server.
    #[must_use]
    pub fn decision(&self) -> Option<EraDecision> {
        lock(&self.handle.0.decision).clone()
    }

    /// ProcessPipes the server, and waits until it is gone. Calls from now on are refused.
    pub async fn shutdown(&self) -> Option<ExitStatus> {
        let shared = &self.handle.0;
        let way = lock(&shared.way).take();
        if let Some(Way::Modern(channel)) = &way {
            // A server that does not read any more must not keep us here.
            let _ = tokio::time::timeout(shared.processes.command().grace_time(), channel.close())
                .await;
            channel.fail(CallError::broken("the server is shut down"));
        }
        shared.processes.stop();
        if let Some(Way::Legacy { adapter, .. }) = &way {
            adapter.end().await;
        }
        shared.legacy_side.end().await;
        shared.processes.gone().await
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.processes.stop();
        if let Some(Way::Modern(channel)) = lock(&self.0.way).take() {
            channel.fail(CallError::broken("the client is gone"));
        }
    }
}

impl Shared {
    fn current(&self) -> Option<Way> {
        let mut way = lock(&self.way);
        way.take_if(|way| way.is_over());
        way.clone()
    }

    /// The way to the server, found out if need be.
    async fn way(self: &Arc<Self>) -> Result<Way, CallError> {
        if let Some(way) = self.current() {
            return Ok(way);
        }
        let this = Arc::clone(self);
        // To the end, even if the caller does not wait for it: the next one will.
        let deciding = self.deciding.run(async move {
            if let Some(way) = this.current() {
                return Ok(way);
            }
            let way = this.decide().await?;
            *lock(&this.way) = Some(way.clone());
            Ok(way)
        });
        deciding.await
    }

    async fn decide(&self) -> Result<Way, CallError> {
        let memory = &self.options.memory;
        if self.options.era == Era::Modern {
            let ProcessPipes { reader, writer, .. } = self.processes.start().await?;
            self.keep(ProtocolVersion::LATEST, "the era was given".into());
            return Ok(Way::Modern(Channel::open(
                reader,
                writer,
                self.channel_options(),
            )));
        }
        let mut known = lock(&self.decision).clone();
        if known.is_none() {
            known = memory.recall(&self.key).await;
        }
        // What is remembered as modern is probed nevertheless: that is the first thing to send in
        // any case.
        let known =
            known.filter(|known| self.options.era == Era::Auto && !known.version.is_modern());
        let first = match (self.options.era, &known) {
            (Era::Legacy, _) => First::OnlyHandshake,
            (_, Some(_)) => First::Handshake,
            _ => First::Probe,
        };
        let mut attempt = self
            .attempt(first, known.as_ref().map(|known| known.why.to_string()))
            .await;
        if known.is_some() && attempt.is_err() {
            tracing::debug!("what was remembered of the server does not hold");
            memory.forget(&self.key).await;
            *lock(&self.decision) = None;
            if let Err(Failed::Closed { .. } | Failed::Refused(_)) = attempt {
                attempt = self.attempt(First::Probe, None).await;
            }
        }
        if let Err(Failed::Closed { probed: true, .. }) = attempt {
            attempt = self
                .attempt(
                    First::Handshake,
                    Some("it exited when it was asked server/discover".into()),
                )
                .await;
        }
        if let Err(Failed::Modern { why }) = attempt {
            tracing::debug!(%why, "a modern server was sent initialize; its process is replaced");
            attempt = self.attempt(First::OnlyProbe, Some(why.into_owned())).await;
        }
        let way = attempt.map_err(|failed| match failed {
            Failed::Other(error) | Failed::Refused(error) => error,
            Failed::Modern { why } => {
                CallError::unreachable(format!("the server is modern and refuses to be: {why}"))
            }
            Failed::Closed { status, .. } => {
                let program = self.processes.command().program();
                CallError::unreachable(format!("{program:?} exited before the handshake: {status}"))
            }
        })?;
        let decision = lock(&self.decision)
            .clone()
            .filter(|_| self.options.era == Era::Auto);
        if let Some(decision) = decision {
            memory.remember(&self.key, &decision).await;
        }
        Ok(way)
    }

    /// Starts a process and finds out what it is.
    async fn attempt(&self, first: First, known: Option<String>) -> Result<Way, Failed> {
        let ProcessPipes {
            reader,
            mut writer,
            exit,
            released,
        } = self.processes.start().await?;
        let mut lines = LineReader::new(reader, self.options.max_message);
        let who = ClientIdentity {
            capabilities: self.options.capabilities.clone(),
            info: self.options.client_info.clone(),
        };
        let Options {
            silence,
            handshake_timeout: limit,
            ..
        } = self.options;
        let unread = writer.unread();
        let ask = Ask {
            who: &who,
            first,
            silence,
            limit,
            unread: &unread,
        };
        let found = match detect(&mut lines, &mut writer, ask).await {
            Ok(found) => found,
            Err(failed) => {
                // A server that was asked in the wrong way has not failed.
                if matches!(failed, Failed::Modern { .. } | Failed::Refused(_)) {
                    released.store(true, Ordering::Relaxed);
                }
                // The next process may want what this one has: a port, a lock, a file.
                drop((lines, writer));
                let status = exit
                    .shown(self.processes.command().grace_time() * ENDING)
                    .await;
                tracing::debug!(%status, failed = ?PrintableFmt(&failed), "a process is given up before the handshake");
                return Err(match failed {
                    Failed::Closed { probed, .. } => Failed::Closed { probed, status },
                    failed => failed,
                });
            }
        };
        match found {
            Found::Modern { why } => {
                self.keep(ProtocolVersion::LATEST, known.map_or(why, Into::into));
                let (unread, reader) = lines.into_parts();
                let reader = Cursor::new(unread).chain(reader);
                Ok(Way::Modern(Channel::open(
                    reader,
                    writer,
                    self.channel_options(),
                )))
            }
            Found::Legacy { initialized, why } => {
                let why = if first == First::OnlyHandshake {
                    "the era was given".into()
                } else {
                    known.map_or(why, Into::into)
                };
                let outdated = Arc::new(AtomicBool::new(false));
                let shaken = NegotiatedChannel {
                    wire: LineTransport::open(lines, writer, released),
                    initialized,
                };
                let open = opener(
                    Some(shaken),
                    &self.processes,
                    &self.options,
                    Arc::clone(&outdated),
                );
                let adapter = LegacyAdapter::new(self.options.clone(), open);
                let session = adapter
                    .prepare(&greeting(&who))
                    .await
                    .map_err(SessionError::into_call_error)?;
                self.keep(session.version(), why);
                Ok(Way::Legacy { adapter, outdated })
            }
        }
    }

    fn keep(&self, version: ProtocolVersion, why: std::borrow::Cow<'static, str>) {
        let decision = EraDecision { version, why };
        tracing::debug!(server = %self.key, %decision, "the era of a server");
        *lock(&self.decision) = Some(decision);
    }

    fn channel_options(&self) -> ChannelOptions {
        let mut options = ChannelOptions::default();
        options.max_message = self.options.max_message;
        options
    }

    async fn call(self: &Arc<Self>, call: Call) -> Result<Reply, CallError> {
        match self.way().await? {
            Way::Modern(channel) => match self.legacy_side.call(call).await {
                Answered::Here(reply) => reply,
                Answered::NotHere(call) => channel.call(call).await,
            },
            Way::Legacy { adapter, outdated } => match adapter.call(call.clone()).await {
                // The handshake was refused, so the call was not sent.
                Err(error) if error.is_unsent() && outdated.load(Ordering::Relaxed) => {
                    tracing::debug!(%error, "the server is not of the era any more that it was of");
                    match self.way().await? {
                        Way::Modern(channel) => channel.call(call).await,
                        Way::Legacy { adapter, .. } => adapter.call(call).await,
                    }
                }
                answered => answered,
            },
        }
    }
}

/// Opens sessions: the first one with the process that is there, if there is one, each other one
/// with a process of its own.
fn opener(
    shaken: Option<NegotiatedChannel>,
    processes: &Arc<ProcessSupervisor>,
    options: &Options,
    outdated: Arc<AtomicBool>,
) -> Open {
    let first = Mutex::new(shaken);
    let (processes, options) = (Arc::clone(processes), options.clone());
    Arc::new(move |who, parked| {
        let shaken = lock(&first).take();
        let (processes, options, outdated) = (
            Arc::clone(&processes),
            options.clone(),
            Arc::clone(&outdated),
        );
        Box::pin(async move {
            if let Some(NegotiatedChannel { wire, initialized }) = shaken {
                return LegacySession::established(wire, &options, &initialized, &parked).await;
            }
            let ProcessPipes {
                reader,
                writer,
                exit,
                released,
            } = processes.start().await?;
            let wire = LineTransport::open(
                LineReader::new(reader, options.max_message),
                writer,
                released,
            );
            let opened = LegacySession::open(wire, &options, &who, &parked).await;
            match &opened {
                Err(SessionError::Refused(error)) if wire::is_modern(error.code) => {
                    outdated.store(true, Ordering::Relaxed);
                    opened
                }
                // No call was sent yet.
                Err(SessionError::Call(error @ CallError::Broken(_))) => {
                    let status = exit.shown(processes.command().grace_time()).await;
                    Err(CallError::unreachable(format!("no handshake: {error}: {status}")).into())
                }
                _ => opened,
            }
        })
    })
}

/// A channel on which hands were shaken; the last word is ours to say.
struct NegotiatedChannel {
    wire: Arc<LineTransport>,
    initialized: RawJson,
}

impl Way {
    fn is_over(&self) -> bool {
        match self {
            Self::Modern(channel) => channel.lost().is_some(),
            // The adapter opens new sessions by itself.
            Self::Legacy { outdated, .. } => outdated.load(Ordering::Relaxed),
        }
    }
}

/// A call like those to come, to open a session that one of them may use.
fn greeting(who: &ClientIdentity) -> Call {
    let meta = Meta::builder(ProtocolVersion::LATEST, who.capabilities.clone())
        .client_info(who.info.clone())
        .build();
    Call::new(
        RequestId::from(0),
        Method::ServerDiscover,
        Params::empty(),
        meta,
    )
}

/// The program, and a sum of the whole command line: arguments often hold secrets, which do not
/// belong into a file.
fn key_of(command: &ServerCommand) -> String {
    let shown = command.command_line();
    let program = shown.split(' ').next().unwrap_or_default();
    // FNV-1a: the same in each build, as the hashes of the standard library need not be.
    let sum = shown.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("stdio {program} {sum:016x}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

impl fmt::Debug for Stdio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = self.handle.0.processes.command();
        f.debug_struct("Stdio")
            .field("command", command)
            .field("decision", &self.decision())
            .finish_non_exhaustive()
    }
}

impl Service<Call> for Stdio {
    type Response = Reply;
    type Error = CallError;
    type Future = BoxFuture<Result<Reply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let handle = Arc::clone(&self.handle);
        Box::pin(async move { handle.0.call(call).await })
    }
}
