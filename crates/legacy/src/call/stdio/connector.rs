//! Starts the server and connects to it in its era.

use super::detect::{DetectError, DetectedServer, DetectionParams, ProbeStrategy, detect};
use super::line_reader::LineReader;
use super::line_transport::LineTransport;
use super::process::{ProcessPipes, ProcessSupervisor};
use crate::call::adapter::{LegacyAdapter, SessionOpener};
use crate::call::identity::ClientIdentity;
use crate::call::legacy_side::LegacySide;
use crate::call::options::{DualEraOptions, Era};
use crate::call::session::LegacySession;
use crate::call::transport::SessionError;
use carryall_proto::sync::Mutex;
use carryall_proto::{Call, CallError, EraDecision, Meta, Params, PrintableFmt, wire};
use carryall_transport::lines::{Channel, ChannelOptions};
use carryall_transport::stdio::ServerCommand;
use carryall_types::{Method, ProtocolVersion, RawJson, RequestId};
use std::borrow::Cow;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::AsyncReadExt as _;

/// The default maximum number of processes: each session is one.
const MAX_PROCESSES: usize = 8;
/// How long a process may take to exit, in multiples of its grace time.
const EXIT_GRACE_TIMES: u32 = 3;
/// Why an era that the caller demands is spoken.
const DEMANDED: &str = "the era was given";

/// Connects to one server.
pub(super) struct StdioConnector {
    processes: Arc<ProcessSupervisor>,
    options: DualEraOptions,
    cache_key: String,
    connection: Mutex<Option<ServerConnection>>,
    decision: Mutex<Option<EraDecision>>,
}

/// A connection to a running server.
#[derive(Clone)]
pub(super) enum ServerConnection {
    Modern(Channel),
    Legacy {
        adapter: LegacyAdapter,
        /// Whether a new process has refused the handshake as only a modern server does.
        is_outdated: Arc<AtomicBool>,
    },
}

impl ServerConnection {
    fn is_over(&self) -> bool {
        match self {
            Self::Modern(channel) => channel.failure().is_some(),
            // The adapter opens new sessions by itself.
            Self::Legacy { is_outdated, .. } => is_outdated.load(Ordering::Relaxed),
        }
    }
}

/// A process whose `initialize` was answered.
struct NegotiatedChannel {
    transport: Arc<LineTransport>,
    initialized: RawJson,
}

impl StdioConnector {
    pub(super) fn new(command: ServerCommand, options: DualEraOptions) -> Self {
        let max_sessions = options.max_sessions.unwrap_or(MAX_PROCESSES);
        Self {
            cache_key: cache_key(&command),
            processes: Arc::new(ProcessSupervisor::new(command)),
            options: options.max_sessions(max_sessions),
            connection: Mutex::default(),
            decision: Mutex::default(),
        }
    }

    pub(super) fn processes(&self) -> &ProcessSupervisor {
        &self.processes
    }

    pub(super) fn legacy_side(&self) -> LegacySide {
        let open = session_opener(None, &self.processes, &self.options, Arc::default());
        let adapter = LegacyAdapter::new(self.options.clone(), open);
        LegacySide::new(adapter, &self.options)
    }

    pub(super) fn decision(&self) -> Option<EraDecision> {
        self.decision.lock().clone()
    }

    /// The current connection, unless it is over.
    pub(super) fn connection(&self) -> Option<ServerConnection> {
        let mut connection = self.connection.lock();
        connection.take_if(|connection| connection.is_over());
        connection.clone()
    }

    pub(super) fn take_connection(&self) -> Option<ServerConnection> {
        self.connection.lock().take()
    }

    /// Starts the server, detects its era and keeps the connection.
    pub(super) async fn connect(&self) -> Result<ServerConnection, CallError> {
        let connection = if self.options.era == Era::Modern {
            let ProcessPipes { stdout, stdin, .. } = self.processes.start().await?;
            self.decide(ProtocolVersion::LATEST, DEMANDED.into());
            ServerConnection::Modern(Channel::open(stdout, stdin, self.channel_options()))
        } else {
            self.detect().await?
        };
        *self.connection.lock() = Some(connection.clone());
        Ok(connection)
    }

    async fn detect(&self) -> Result<ServerConnection, CallError> {
        let cache = &self.options.era_cache;
        let mut known = self.decision();
        if known.is_none() {
            known = cache.get(&self.cache_key).await;
        }
        // A server that is known to be modern is probed all the same: the probe has to come first
        // anyway.
        let known =
            known.filter(|known| self.options.era == Era::Auto && !known.version.is_modern());
        let strategy = match (self.options.era, &known) {
            (Era::Legacy, _) => ProbeStrategy::OnlyHandshake,
            (_, Some(_)) => ProbeStrategy::Handshake,
            _ => ProbeStrategy::Probe,
        };
        let why = known.as_ref().map(|known| known.why.to_string());
        let mut attempt = self.attempt(strategy, why).await;
        if known.is_some() && attempt.is_err() {
            tracing::debug!("the known era of the server is wrong");
            cache.remove(&self.cache_key).await;
            *self.decision.lock() = None;
            if let Err(DetectError::Closed { .. } | DetectError::Refused(_)) = attempt {
                attempt = self.attempt(ProbeStrategy::Probe, None).await;
            }
        }
        if let Err(DetectError::Closed {
            was_probed: true, ..
        }) = attempt
        {
            let why = "it exited when it was asked server/discover".to_owned();
            attempt = self.attempt(ProbeStrategy::Handshake, Some(why)).await;
        }
        if let Err(DetectError::Modern { why }) = attempt {
            tracing::debug!(%why, "a modern server was sent initialize; its process is replaced");
            let why = Some(why.into_owned());
            attempt = self.attempt(ProbeStrategy::OnlyProbe, why).await;
        }
        let connection = attempt.map_err(|error| self.unreachable(error))?;
        let detected = self.decision().filter(|_| self.options.era == Era::Auto);
        if let Some(decision) = detected {
            cache.insert(&self.cache_key, &decision).await;
        }
        Ok(connection)
    }

    fn unreachable(&self, error: DetectError) -> CallError {
        match error {
            DetectError::Other(error) | DetectError::Refused(error) => error,
            DetectError::Modern { why } => CallError::unreachable(format!(
                "the server is modern but does not answer as one: {why}"
            )),
            DetectError::Closed { status, .. } => {
                let program = self.processes.command().program();
                CallError::unreachable(format!("{program:?} exited before the handshake: {status}"))
            }
        }
    }

    /// Starts a process and detects its era. `known` is why the era is known already.
    async fn attempt(
        &self,
        strategy: ProbeStrategy,
        known: Option<String>,
    ) -> Result<ServerConnection, DetectError> {
        let ProcessPipes {
            stdout,
            mut stdin,
            exit,
            released,
        } = self.processes.start().await?;
        let mut lines = LineReader::new(stdout, self.options.max_message);
        let unread = stdin.unread();
        let params = DetectionParams {
            identity: &self.options.client_identity,
            strategy,
            probe_timeout: self.options.probe_timeout,
            timeout: self.options.handshake_timeout,
            unread: &unread,
        };
        let server = match detect(&mut lines, &mut stdin, params).await {
            Ok(server) => server,
            Err(error) => {
                // The server has not failed, it was asked in the wrong era.
                if matches!(error, DetectError::Modern { .. } | DetectError::Refused(_)) {
                    released.store(true, Ordering::Relaxed);
                }
                // Wait for the exit: the next process may need what this one holds, for example a
                // port or a lock.
                drop((lines, stdin));
                let grace_time = self.processes.command().grace_time();
                let status = exit.describe(grace_time * EXIT_GRACE_TIMES).await;
                tracing::debug!(%status, error = ?PrintableFmt(&error), "a process ended without a handshake");
                return Err(match error {
                    DetectError::Closed { was_probed, .. } => {
                        DetectError::Closed { was_probed, status }
                    }
                    error => error,
                });
            }
        };
        match server {
            DetectedServer::Modern { why } => {
                self.decide(ProtocolVersion::LATEST, known.map_or(why, Into::into));
                let (unread, stdout) = lines.into_parts();
                let stdout = Cursor::new(unread).chain(stdout);
                Ok(ServerConnection::Modern(Channel::open(
                    stdout,
                    stdin,
                    self.channel_options(),
                )))
            }
            DetectedServer::Legacy { initialized, why } => {
                let why = if strategy == ProbeStrategy::OnlyHandshake {
                    DEMANDED.into()
                } else {
                    known.map_or(why, Into::into)
                };
                let is_outdated = Arc::new(AtomicBool::new(false));
                let negotiated = NegotiatedChannel {
                    transport: LineTransport::open(lines, stdin, released),
                    initialized,
                };
                let open = session_opener(
                    Some(negotiated),
                    &self.processes,
                    &self.options,
                    Arc::clone(&is_outdated),
                );
                let adapter = LegacyAdapter::new(self.options.clone(), open);
                let session = adapter
                    .prepare(&discover_call(&self.options.client_identity))
                    .await
                    .map_err(SessionError::into_call_error)?;
                self.decide(session.version(), why);
                Ok(ServerConnection::Legacy {
                    adapter,
                    is_outdated,
                })
            }
        }
    }

    fn decide(&self, version: ProtocolVersion, why: Cow<'static, str>) {
        let decision = EraDecision { version, why };
        tracing::debug!(server = %self.cache_key, %decision, "detected the era of a server");
        *self.decision.lock() = Some(decision);
    }

    fn channel_options(&self) -> ChannelOptions {
        let mut options = ChannelOptions::default();
        options.max_message = self.options.max_message;
        options
    }
}

/// Opens sessions: the first one on `negotiated` if given, every other one on a new process.
fn session_opener(
    negotiated: Option<NegotiatedChannel>,
    processes: &Arc<ProcessSupervisor>,
    options: &DualEraOptions,
    is_outdated: Arc<AtomicBool>,
) -> SessionOpener {
    let first = Mutex::new(negotiated);
    let (processes, options) = (Arc::clone(processes), options.clone());
    Arc::new(move |identity, budgets| {
        let negotiated = first.lock().take();
        let (processes, options) = (Arc::clone(&processes), options.clone());
        let is_outdated = Arc::clone(&is_outdated);
        Box::pin(async move {
            if let Some(NegotiatedChannel {
                transport,
                initialized,
            }) = negotiated
            {
                return LegacySession::establish(transport, &options, &initialized, &budgets).await;
            }
            let ProcessPipes {
                stdout,
                stdin,
                exit,
                released,
            } = processes.start().await?;
            let lines = LineReader::new(stdout, options.max_message);
            let transport = LineTransport::open(lines, stdin, released);
            let opened = LegacySession::open(transport, &options, &identity, &budgets).await;
            match &opened {
                Err(SessionError::HandshakeRefused(error)) if wire::is_modern(error.code) => {
                    is_outdated.store(true, Ordering::Relaxed);
                    opened
                }
                // No call was sent yet.
                Err(SessionError::Call(error @ CallError::Broken(_))) => {
                    let status = exit.describe(processes.command().grace_time()).await;
                    Err(CallError::unreachable(format!("no handshake: {error}: {status}")).into())
                }
                _ => opened,
            }
        })
    })
}

/// A call of this client, to open a session that the first of its calls can use.
fn discover_call(identity: &ClientIdentity) -> Call {
    let meta = Meta::builder(ProtocolVersion::LATEST, identity.capabilities.clone())
        .client_info(identity.info.clone())
        .build();
    Call::new(
        RequestId::from(0),
        Method::ServerDiscover,
        Params::empty(),
        meta,
    )
}

/// What the cache knows the server by: the program, and a hash of the command line, whose arguments
/// may hold secrets.
fn cache_key(command: &ServerCommand) -> String {
    let command_line = command.command_line();
    let program = command_line.split(' ').next().unwrap_or_default();
    // FNV-1a by hand: the hashes of the standard library may differ between its versions.
    let hash = command_line
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    format!("stdio {program} {hash:016x}")
}
