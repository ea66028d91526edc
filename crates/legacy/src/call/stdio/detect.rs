//! Detects the era of a server on stdio, before the channel is used for anything else
//! (`basic/transports/stdio#backward-compatibility`).
//!
//! The server is sent `server/discover`, the probe. An answer that only a modern server gives means
//! the modern era; any other answer means the handshake. Silence alone means nothing: a server that
//! is still starting is silent too, and one that may turn out to be modern must not be sent
//! `initialize`, because some servers of both eras keep to the era of their first request. A silent
//! server is therefore sent a `ping` as well:
//!
//! - It answers the ping but not the probe: it ignores the probe and gets `initialize`.
//! - It has read both (the pipe is empty) and answers neither for a while: the same.
//! - It has not read them: it is still starting, and has until the handshake timeout.
//! - It exits: it was about to, and only its read of standard input had kept it. A new process is
//!   started.
//!
//! A process that was sent `initialize` is never used in the modern era. If its server turns out to
//! be modern, the process is replaced. No tool is ever called for detection.

use super::line_reader::{InputLine, LineReader};
use crate::call::identity::ClientIdentity;
use crate::call::session::initialize;
use crate::message::{Incoming, LegacyRequest, ParsedBody, parse};
use crate::revision::REVISIONS;
use bytes::{Bytes, BytesMut};
use carryall_proto::frame::{LineTooLong, encode_line};
use carryall_proto::{Call, CallError, Meta, Outcome, Params, Printable, Response, wire};
use carryall_types::{
    DiscoverResult, ErrorObject, JsonValue, Method, ProtocolVersion, RawJson, RequestId, code,
};
use std::borrow::Cow;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout_at};

/// The ids of detection. Far from those of calls, so that a late answer matches no call, and
/// numbers, because some legacy servers accept no others.
const PING_ID: i64 = 1_999_999_999;
const PROBE_ID: i64 = 2_000_000_000;
const FIRST_INITIALIZE_ID: i64 = 2_000_000_001;

/// How long a server that has read the probe and the ping may answer neither, in multiples of
/// [`DetectionParams::probe_timeout`].
const SILENT_AFTER_READING: u32 = 3;
/// The same where the system does not tell whether it has read them.
const SILENT: u32 = 10;
/// How many times per [`DetectionParams::probe_timeout`] a silent server is looked at, and the
/// shortest interval.
const CHECKS: u32 = 4;
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// What to send first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeStrategy {
    /// The probe, then `initialize` if that does not decide.
    Probe,
    /// `initialize`, because the server is believed to be legacy.
    Handshake,
    /// `initialize`, because the caller demands the legacy era.
    OnlyHandshake,
    /// The probe, to a server that is known to be modern: any answer means that it is ready.
    OnlyProbe,
}

pub(super) struct DetectionParams<'a> {
    pub(super) identity: &'a ClientIdentity,
    pub(super) strategy: ProbeStrategy,
    /// How long the server may leave the probe unanswered before it is sent a `ping`.
    pub(super) probe_timeout: Duration,
    /// For the whole detection.
    pub(super) timeout: Duration,
    /// How many of the bytes sent the server has not read yet, where the system tells that.
    pub(super) unread: &'a (dyn Fn() -> Option<u64> + Send + Sync),
}

#[derive(Debug)]
pub(super) enum DetectedServer {
    Modern {
        why: Cow<'static, str>,
    },
    /// With the result of `initialize`. `notifications/initialized` is not sent yet.
    Legacy {
        initialized: RawJson,
        why: Cow<'static, str>,
    },
}

/// Why the era is unknown.
#[derive(Debug)]
pub(super) enum DetectError {
    /// The server closed the channel, perhaps after the probe was sent. `status` is how its process
    /// exited.
    Closed {
        was_probed: bool,
        status: String,
    },
    /// The server is modern but was sent `initialize`, so that this process cannot be used.
    Modern {
        why: Cow<'static, str>,
    },
    /// The server refused `initialize` and was not sent the probe.
    Refused(CallError),
    Other(CallError),
}

impl From<CallError> for DetectError {
    fn from(error: CallError) -> Self {
        Self::Other(error)
    }
}

/// Detects the era of the server.
pub(super) async fn detect<R, W>(
    lines: &mut LineReader<R>,
    writer: &mut W,
    params: DetectionParams<'_>,
) -> Result<DetectedServer, DetectError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let start = Instant::now();
    let mut detector = Detector {
        params: &params,
        start,
        writer,
        probe: ProbeState::NotSent,
        ping: PingState::NotSent,
        read_since: None,
        handshake: HandshakeState::NotSent,
    };
    match params.strategy {
        ProbeStrategy::Probe | ProbeStrategy::OnlyProbe => detector.send_probe().await?,
        ProbeStrategy::Handshake | ProbeStrategy::OnlyHandshake => {
            detector.send_initialize(REVISIONS[0]).await?;
        }
    }
    let mut next_check = start + params.probe_timeout;
    let deadline = start + params.timeout;
    loop {
        let next = tokio::select! {
            biased;
            next = timeout_at(deadline, lines.next()) => next,
            () = sleep_until(next_check), if detector.checks_silence() => {
                next_check = detector.check_silence().await?;
                continue;
            }
        };
        let line = match next {
            Ok(Ok(Some(InputLine::Message(line)))) => line,
            Ok(Ok(Some(InputLine::TooLong(line)))) => {
                detector.receive_too_long(&line)?;
                continue;
            }
            Ok(Ok(None)) => return Err(detector.closed()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Err(detector.closed());
            }
            Ok(Err(error)) => return Err(CallError::unreachable(error).into()),
            Err(_) => return Err(detector.timed_out().into()),
        };
        if let Some(server) = detector.receive(&line).await? {
            return Ok(server);
        }
    }
}

struct Detector<'a, W> {
    params: &'a DetectionParams<'a>,
    start: Instant,
    writer: &'a mut W,
    probe: ProbeState,
    ping: PingState,
    /// Since when the server is known to have read everything.
    read_since: Option<Instant>,
    handshake: HandshakeState,
}

enum ProbeState {
    NotSent,
    Sent,
    /// Answered as no modern server does.
    NotModern(Cow<'static, str>),
}

enum PingState {
    NotSent,
    Sent,
    Answered(Instant),
}

enum HandshakeState {
    NotSent,
    /// With this version and id.
    Sent(ProtocolVersion, RequestId),
    Refused(ErrorObject),
}

impl<W: AsyncWrite + Unpin> Detector<'_, W> {
    /// Whether the probe is unanswered and `initialize` may follow.
    fn checks_silence(&self) -> bool {
        let is_unanswered = matches!(
            (&self.probe, &self.handshake),
            (ProbeState::Sent, HandshakeState::NotSent)
        );
        is_unanswered && self.params.strategy == ProbeStrategy::Probe
    }

    /// Decides what to send to a server that has not answered the probe. Returns when to check
    /// again.
    async fn check_silence(&mut self) -> Result<Instant, DetectError> {
        let (now, probe_timeout) = (Instant::now(), self.params.probe_timeout);
        let ignores_probe = match self.ping {
            PingState::NotSent => {
                self.ping = PingState::Sent;
                self.send(Method::from("ping"), PING_ID).await?;
                false
            }
            // A server may answer concurrent requests out of order.
            PingState::Answered(at) => now - at >= probe_timeout,
            PingState::Sent => match (self.params.unread)() {
                Some(0) => {
                    let read_since = *self.read_since.get_or_insert(now);
                    now - read_since >= probe_timeout * SILENT_AFTER_READING
                }
                Some(_) => {
                    self.read_since = None;
                    false
                }
                None => now - self.start >= probe_timeout * SILENT,
            },
        };
        if ignores_probe {
            self.send_initialize(REVISIONS[0]).await?;
        }
        Ok(now + (probe_timeout / CHECKS).max(MIN_CHECK_INTERVAL))
    }

    async fn receive(&mut self, line: &Bytes) -> Result<Option<DetectedServer>, DetectError> {
        let messages = match parse(line) {
            Ok(ParsedBody::One(message)) => vec![Ok(message)],
            Ok(ParsedBody::Batch(messages)) => messages,
            Err(malformed) => vec![Err(malformed)],
        };
        for message in messages {
            let server = match message {
                Ok(Incoming::Response(response)) => self.receive_response(response).await?,
                Ok(Incoming::ErrorWithoutId(error)) => self.receive_error(&error).await?,
                Ok(Incoming::Request(request)) => {
                    self.answer(request).await?;
                    None
                }
                Ok(Incoming::Notification(notification)) => {
                    tracing::debug!(method = %Printable(&notification.method), "ignored a notification before the handshake");
                    None
                }
                // Some servers print text that is not a message when they start.
                Err(malformed) => {
                    tracing::debug!(error = %Printable(&malformed.error.message), "the server sent something that is not a message");
                    None
                }
            };
            if server.is_some() {
                return Ok(server);
            }
        }
        Ok(None)
    }

    async fn receive_response(
        &mut self,
        response: Response,
    ) -> Result<Option<DetectedServer>, DetectError> {
        let is_probe = response.id == RequestId::from(PROBE_ID);
        let is_ping = response.id == RequestId::from(PING_ID);
        let is_handshake =
            matches!(&self.handshake, HandshakeState::Sent(_, id) if *id == response.id);
        match response.outcome {
            _ if is_probe && self.params.strategy == ProbeStrategy::OnlyProbe => {
                Ok(Some(DetectedServer::Modern {
                    why: "it answered server/discover".into(),
                }))
            }
            Outcome::Error(error) if is_ping && wire::is_modern(error.code) => {
                let why = format!("it answered ping with error {}", error.code);
                self.modern_error(&error, why.into()).await
            }
            _ if is_ping => {
                self.ping = PingState::Answered(Instant::now());
                Ok(None)
            }
            outcome if is_probe && matches!(self.probe, ProbeState::Sent) => match outcome {
                Outcome::Result(result) => self.probe_answered(&result).await,
                Outcome::Error(error) => self.probe_refused(&error).await,
            },
            Outcome::Result(initialized) if is_handshake => {
                let why = match std::mem::replace(&mut self.probe, ProbeState::NotSent) {
                    ProbeState::NotModern(why) => why,
                    ProbeState::Sent => "it answered initialize before server/discover".into(),
                    ProbeState::NotSent => "it answered initialize".into(),
                };
                Ok(Some(DetectedServer::Legacy { initialized, why }))
            }
            Outcome::Error(error) if is_handshake => self.handshake_refused(error).await,
            _ => {
                tracing::debug!(id = %response.id, "ignored a response to an unknown request");
                Ok(None)
            }
        }
    }

    async fn probe_answered(
        &mut self,
        result: &RawJson,
    ) -> Result<Option<DetectedServer>, DetectError> {
        // Other members that a modern server leaves out do not make it a legacy one.
        let versions = result
            .decode::<DiscoverResult>()
            .map(|found| found.supported_versions)
            .unwrap_or_default();
        if versions.is_empty() {
            let why = "it answered server/discover with something else";
            return self.not_modern(why.into()).await;
        }
        let why = "it answered server/discover";
        self.names_versions(&versions, why.into()).await
    }

    async fn probe_refused(
        &mut self,
        error: &ErrorObject,
    ) -> Result<Option<DetectedServer>, DetectError> {
        let why = format!("it answered server/discover with error {}", error.code);
        if !wire::is_modern(error.code) {
            return self.not_modern(why.into()).await;
        }
        self.modern_error(error, why.into()).await
    }

    /// Handles an error that only a modern server sends. It may name the versions of the server.
    async fn modern_error(
        &mut self,
        error: &ErrorObject,
        why: Cow<'static, str>,
    ) -> Result<Option<DetectedServer>, DetectError> {
        match supported_versions(error) {
            Some(versions) if error.code == code::UNSUPPORTED_PROTOCOL_VERSION => {
                self.names_versions(&versions, why).await
            }
            _ => self.modern(why).map(Some),
        }
    }

    /// The server is modern. A process that was sent `initialize` may have settled on the revision
    /// of the handshake.
    fn modern(&self, why: Cow<'static, str>) -> Result<DetectedServer, DetectError> {
        match self.handshake {
            HandshakeState::NotSent => Ok(DetectedServer::Modern { why }),
            HandshakeState::Sent(..) | HandshakeState::Refused(_) => {
                Err(DetectError::Modern { why })
            }
        }
    }

    /// The server names its versions. The modern one is preferred.
    async fn names_versions(
        &mut self,
        versions: &[String],
        why: Cow<'static, str>,
    ) -> Result<Option<DetectedServer>, DetectError> {
        if versions
            .iter()
            .any(|version| version == ProtocolVersion::LATEST.as_str())
        {
            return self.modern(why).map(Some);
        }
        let is_legacy = REVISIONS
            .iter()
            .any(|known| versions.iter().any(|version| version == known.as_str()));
        if is_legacy && !matches!(self.handshake, HandshakeState::Refused(_)) {
            return self
                .not_modern(format!("it supports {} only", versions.join(", ")).into())
                .await;
        }
        let known: Vec<_> = ProtocolVersion::ALL
            .iter()
            .rev()
            .map(|version| version.as_str())
            .collect();
        let (theirs, ours) = (versions.join(", "), known.join(", "));
        Err(CallError::Refused(format!(
            "no common revision: the server supports {theirs}, this client {ours}"
        ))
        .into())
    }

    /// The probe was answered as no modern server does.
    async fn not_modern(
        &mut self,
        why: Cow<'static, str>,
    ) -> Result<Option<DetectedServer>, DetectError> {
        self.probe = ProbeState::NotModern(why);
        match &self.handshake {
            HandshakeState::NotSent => self.send_initialize(REVISIONS[0]).await?,
            HandshakeState::Sent(..) => {}
            HandshakeState::Refused(error) => return Err(refused(error).into()),
        }
        Ok(None)
    }

    /// Handles an error without an id, with which some legacy servers answer a message whose id
    /// they cannot read. Before the handshake that was the probe.
    async fn receive_error(
        &mut self,
        error: &ErrorObject,
    ) -> Result<Option<DetectedServer>, DetectError> {
        tracing::debug!(error = %Printable(&error.message), "the server could not read a message");
        match (&self.probe, &self.handshake) {
            (ProbeState::Sent, _) if self.params.strategy == ProbeStrategy::OnlyProbe => {
                Ok(Some(DetectedServer::Modern {
                    why: "it answered server/discover".into(),
                }))
            }
            (ProbeState::Sent, HandshakeState::NotSent) => self.probe_refused(error).await,
            _ => Ok(None),
        }
    }

    async fn handshake_refused(
        &mut self,
        error: ErrorObject,
    ) -> Result<Option<DetectedServer>, DetectError> {
        let sent = match &self.handshake {
            HandshakeState::Sent(version, _) => *version,
            HandshakeState::NotSent | HandshakeState::Refused(_) => REVISIONS[0],
        };
        let versions = supported_versions(&error).unwrap_or_default();
        let names_modern = versions
            .iter()
            .any(|version| version == ProtocolVersion::LATEST.as_str());
        let may_be_modern = self.params.strategy != ProbeStrategy::OnlyHandshake;
        if may_be_modern && (wire::is_modern(error.code) || names_modern) {
            let why = format!("it refused initialize with error {}", error.code);
            self.handshake = HandshakeState::Refused(error.clone());
            return if names_modern {
                Err(DetectError::Modern { why: why.into() })
            } else {
                self.modern_error(&error, why.into()).await
            };
        }
        // The server may name the versions that it supports instead of choosing one (2025-11-25
        // `basic/lifecycle#error-handling`).
        let older = REVISIONS.iter().find(|known| {
            **known < sent && versions.iter().any(|version| version == known.as_str())
        });
        if let Some(older) = older {
            self.send_initialize(*older).await?;
            return Ok(None);
        }
        let failure = refused(&error);
        self.handshake = HandshakeState::Refused(error);
        match self.probe {
            // A late answer to the probe may still decide.
            ProbeState::Sent => Ok(None),
            ProbeState::NotSent if may_be_modern => Err(DetectError::Refused(failure)),
            ProbeState::NotSent | ProbeState::NotModern(_) => Err(failure.into()),
        }
    }

    async fn send_probe(&mut self) -> Result<(), DetectError> {
        self.probe = ProbeState::Sent;
        self.send(Method::ServerDiscover, PROBE_ID).await
    }

    /// Sends a request of 2026-07-28. The ping is one too, although that revision has none: servers
    /// of both eras take a request without a version for the beginning of the legacy era.
    async fn send(&mut self, method: Method, id: i64) -> Result<(), DetectError> {
        let ClientIdentity { capabilities, info } = self.params.identity.clone();
        let meta = Meta::builder(ProtocolVersion::LATEST, capabilities)
            .client_info(info)
            .build();
        let call = Call::new(RequestId::from(id), method, Params::empty(), meta);
        self.write(call.encode().into_bytes()).await
    }

    async fn send_initialize(&mut self, version: ProtocolVersion) -> Result<(), DetectError> {
        // Each version has its own id, so that answers cannot be mixed up.
        let at = REVISIONS
            .iter()
            .position(|known| *known == version)
            .unwrap_or_default();
        let id = FIRST_INITIALIZE_ID + i64::try_from(at).unwrap_or_default();
        let id = RequestId::from(id);
        let mut request = initialize(id.clone(), self.params.identity);
        if let (Ok(params), Ok(name)) = (
            Params::parse(request.params.clone()),
            RawJson::from_value(version.as_str()),
        ) {
            request.params = params.with("protocolVersion", &name).raw().clone();
        }
        self.handshake = HandshakeState::Sent(version, id);
        self.write(request.encode().into_bytes()).await
    }

    /// Answers a request of the server, which may only ping before the handshake (2025-11-25
    /// `basic/lifecycle#initialization`).
    async fn answer(&mut self, request: LegacyRequest) -> Result<(), DetectError> {
        let response = match request.method.as_str() {
            "ping" => Response::result(request.id, RawJson::EMPTY_OBJECT),
            method => {
                let why = format!("{method} before the handshake is over");
                Response::error(request.id, ErrorObject::new(code::INVALID_REQUEST, why))
            }
        };
        self.write(response.encode().into_bytes()).await
    }

    async fn write(&mut self, text: Bytes) -> Result<(), DetectError> {
        let mut line = BytesMut::with_capacity(text.len() + 1);
        encode_line(&text, &mut line);
        let written = async {
            self.writer
                .write_all(&line)
                .await
                .and(self.writer.flush().await)
        };
        match written.await {
            // The process is exiting. What it has written before is still to be read.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| CallError::unreachable(error).into()),
        }
    }

    fn closed(&self) -> DetectError {
        DetectError::Closed {
            was_probed: !matches!(self.probe, ProbeState::NotSent),
            status: String::new(),
        }
    }

    /// Handles a message over the limit. An answer to this client will not be sent again.
    fn receive_too_long(&self, line: &LineTooLong) -> Result<(), DetectError> {
        tracing::warn!(error = %line, "skipped a message of the server");
        let is_answer =
            matches!(line.id, Some(RequestId::Number(id)) if id >= PING_ID) && line.is_response;
        if is_answer {
            Err(CallError::TooLarge(line.max_line).into())
        } else {
            Ok(())
        }
    }

    fn timed_out(&self) -> CallError {
        let limit = self.params.timeout;
        let asked = match (&self.probe, &self.handshake) {
            (ProbeState::Sent, HandshakeState::NotSent)
                if (self.params.unread)().is_some_and(|bytes| bytes > 0) =>
            {
                return CallError::unreachable(format!(
                    "the server has not read its standard input within {limit:?}: is it still \
                     starting, or not an MCP server?"
                ));
            }
            (ProbeState::Sent, HandshakeState::NotSent) => "server/discover",
            (ProbeState::Sent, HandshakeState::Sent(..)) => "server/discover and initialize",
            (ProbeState::Sent, HandshakeState::Refused(error)) => {
                return CallError::unreachable(format!(
                    "{}; no answer to server/discover within {limit:?}",
                    refused(error)
                ));
            }
            _ => "initialize",
        };
        CallError::unreachable(format!(
            "no answer to {asked} within {limit:?}: is this an MCP server?"
        ))
    }
}

fn refused(error: &ErrorObject) -> CallError {
    CallError::HandshakeRefused(error.clone())
}

/// The versions that an error names (`data.supported`).
fn supported_versions(error: &ErrorObject) -> Option<Vec<String>> {
    let data: JsonValue = error.data.as_ref()?.decode().ok()?;
    let names = data
        .get("supported")?
        .as_array()?
        .iter()
        .filter_map(JsonValue::as_str);
    Some(names.map(str::to_owned).collect()).filter(|names: &Vec<String>| !names.is_empty())
}
