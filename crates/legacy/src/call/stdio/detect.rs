//! Finding out the era of a server on a channel, before the channel is anybody's
//! (`basic/transports/stdio#backward-compatibility`).
//!
//! The server is asked `server/discover`. What only a modern server says decides for modern; every
//! other answer decides for the handshake. Silence alone decides nothing: a server that is still
//! starting is silent too, and `initialize` must not be sent to one that may yet turn out to be
//! modern, because some servers speak for good what was spoken first. So a silent server is sent a
//! `ping` as well, and what becomes of that tells the two apart:
//!
//! - It answers the ping and not the probe: it is up and ignores the probe. It gets `initialize`.
//! - It has read both (the pipe is empty) and answers neither for a while: so does this one.
//! - It has not read them: it is starting, and has until the end of the start timeout.
//! - It exits: it was about to, and only its blocked read of standard input had kept it. It is
//!   started anew.
//!
//! A process that was sent `initialize` is never spoken to in the modern way: if it turns out to be
//! modern after all, it is ended, and started anew. No tool is ever called to find out.

use crate::call::channel::{Line, LineReader};
use crate::call::session::{ClientIdentity, initialize};
use crate::message::{Incoming, ParsedBody, Request, parse};
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

/// Far from the ids that calls get, so that an answer that comes too late is nobody's. Numbers,
/// because some old servers read nothing else.
const PROBE: i64 = 2_000_000_000;
const PING: i64 = 1_999_999_999;
const INITIALIZE: i64 = 2_000_000_001;

/// In multiples of [`Ask::probe_timeout`]: how long a server that has read the probe and the ping may
/// answer neither.
const READ_AND_SILENT: u32 = 3;
/// The same where the system does not tell whether it has read them.
const SILENT: u32 = 10;
/// How often in the time of `probe_timeout` it is looked at what a silent server does, and the shortest
/// pause between.
const LOOKS: u32 = 4;
const MIN_LOOK: Duration = Duration::from_millis(10);

/// What is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// `server/discover`, then `initialize` if that does not settle it.
    Probe,
    /// `initialize`: the server is believed to be old.
    Handshake,
    /// `initialize`: the server is to be spoken to in this way, whatever it says.
    OnlyHandshake,
    /// `server/discover`: the server is known to be modern, and whatever it answers says that it is
    /// ready.
    OnlyProbe,
}

/// How the server is to be asked.
pub(super) struct Ask<'a> {
    pub(super) who: &'a ClientIdentity,
    pub(super) first: First,
    /// How long the server may leave the probe unanswered before it is sent a `ping` too.
    pub(super) silence: Duration,
    /// For everything together.
    pub(super) limit: Duration,
    /// How many bytes the server has not read yet of what it was sent, where the system tells that.
    pub(super) unread: &'a (dyn Fn() -> Option<u64> + Send + Sync),
}

/// What the server is.
#[derive(Debug)]
pub(super) enum Found {
    Modern {
        why: Cow<'static, str>,
    },
    /// With the result of `initialize`; `notifications/initialized` is still to be sent.
    Legacy {
        initialized: RawJson,
        why: Cow<'static, str>,
    },
}

/// Why nothing was found out.
#[derive(Debug)]
pub(super) enum Failed {
    /// The server closed the channel. `probed`: after the probe had been sent. `status`: how its
    /// process ended.
    Closed {
        probed: bool,
        status: String,
    },
    /// The server is modern, but was sent `initialize`, so that this process cannot be used.
    Modern {
        why: Cow<'static, str>,
    },
    /// The server refuses `initialize`, and was not asked `server/discover` before.
    Refused(CallError),
    Other(CallError),
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self::Other(error)
    }
}

/// Asks until it is clear what the server is.
pub(super) async fn detect<R, W>(
    lines: &mut LineReader<R>,
    writer: &mut W,
    ask: Ask<'_>,
) -> Result<Found, Failed>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let start = Instant::now();
    let mut asking = Detector {
        ask: &ask,
        start,
        writer,
        probe: Probe::NotSent,
        ping: Ping::NotSent,
        read_since: None,
        handshake: Handshake::NotSent,
    };
    match ask.first {
        First::Probe | First::OnlyProbe => asking.probe().await?,
        First::Handshake | First::OnlyHandshake => asking.initialize(REVISIONS[0]).await?,
    }
    let (mut look, end) = (start + ask.silence, start + ask.limit);
    loop {
        let next = tokio::select! {
            biased;
            next = timeout_at(end, lines.next()) => next,
            () = sleep_until(look), if asking.is_kept_waiting() => {
                look = asking.silent().await?;
                continue;
            }
        };
        let line = match next {
            Ok(Ok(Some(Line::Message(line)))) => line,
            Ok(Ok(Some(Line::TooLong(line)))) => {
                asking.too_long(&line)?;
                continue;
            }
            Ok(Ok(None)) => return Err(asking.closed()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Err(asking.closed());
            }
            Ok(Err(error)) => return Err(CallError::unreachable(error).into()),
            Err(_) => return Err(asking.given_up().into()),
        };
        if let Some(found) = asking.line(&line).await? {
            return Ok(found);
        }
    }
}

struct Detector<'a, W> {
    ask: &'a Ask<'a>,
    start: Instant,
    writer: &'a mut W,
    probe: Probe,
    ping: Ping,
    /// Since when the server is known to have read everything.
    read_since: Option<Instant>,
    handshake: Handshake,
}

enum Probe {
    NotSent,
    Sent,
    /// Answered as no modern server does.
    NotModern(Cow<'static, str>),
}

enum Ping {
    NotSent,
    Sent,
    Answered(Instant),
}

enum Handshake {
    NotSent,
    /// With this version, under this id.
    Sent(ProtocolVersion, RequestId),
    Refused(ErrorObject),
}

impl<W: AsyncWrite + Unpin> Detector<'_, W> {
    /// Whether the probe is unanswered, and the handshake is what there is besides.
    fn is_kept_waiting(&self) -> bool {
        let unanswered = matches!(
            (&self.probe, &self.handshake),
            (Probe::Sent, Handshake::NotSent)
        );
        unanswered && self.ask.first == First::Probe
    }

    /// Decides what a server that has not answered the probe gets; says when to look again.
    async fn silent(&mut self) -> Result<Instant, Failed> {
        let (now, silence) = (Instant::now(), self.ask.silence);
        let is_ignored = match self.ping {
            Ping::NotSent => {
                self.ping = Ping::Sent;
                self.send(Method::from("ping"), PING).await?;
                false
            }
            // Servers that work on several requests at a time may answer the second one first.
            Ping::Answered(at) => now - at >= silence,
            Ping::Sent => match (self.ask.unread)() {
                Some(0) => now - *self.read_since.get_or_insert(now) >= silence * READ_AND_SILENT,
                Some(_) => {
                    self.read_since = None;
                    false
                }
                None => now - self.start >= silence * SILENT,
            },
        };
        if is_ignored {
            self.initialize(REVISIONS[0]).await?;
        }
        Ok(now + (silence / LOOKS).max(MIN_LOOK))
    }

    async fn line(&mut self, line: &Bytes) -> Result<Option<Found>, Failed> {
        let messages = match parse(line) {
            Ok(ParsedBody::One(message)) => vec![Ok(message)],
            Ok(ParsedBody::Batch(messages)) => messages,
            Err(malformed) => vec![Err(malformed)],
        };
        for message in messages {
            let found = match message {
                Ok(Incoming::Response(response)) => self.response(response).await?,
                Ok(Incoming::ErrorWithoutId(error)) => self.error_without_id(&error).await?,
                Ok(Incoming::Request(request)) => {
                    self.answer(request).await?;
                    None
                }
                Ok(Incoming::Notification(notification)) => {
                    tracing::debug!(method = %Printable(&notification.method), "before the handshake");
                    None
                }
                // Many a server prints something at its start that is no message.
                Err(malformed) => {
                    tracing::debug!(error = %Printable(&malformed.error.message), "not a message");
                    None
                }
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn response(&mut self, response: Response) -> Result<Option<Found>, Failed> {
        let of_handshake = matches!(&self.handshake, Handshake::Sent(_, id) if *id == response.id);
        match response.outcome {
            _ if response.id == RequestId::from(PROBE) && self.ask.first == First::OnlyProbe => {
                Ok(Some(Found::Modern {
                    why: "it answered server/discover".into(),
                }))
            }
            Outcome::Error(error)
                if response.id == RequestId::from(PING) && wire::is_modern(error.code) =>
            {
                let why = format!("it answered ping with error {}", error.code);
                self.modern_error(&error, why.into()).await
            }
            _ if response.id == RequestId::from(PING) => {
                self.ping = Ping::Answered(Instant::now());
                Ok(None)
            }
            outcome
                if response.id == RequestId::from(PROBE) && matches!(self.probe, Probe::Sent) =>
            {
                match outcome {
                    Outcome::Result(result) => self.discovered(&result).await,
                    Outcome::Error(error) => self.probe_refused(&error).await,
                }
            }
            Outcome::Result(initialized) if of_handshake => {
                let why = match std::mem::replace(&mut self.probe, Probe::NotSent) {
                    Probe::NotModern(why) => why,
                    Probe::Sent => "it answered initialize before server/discover".into(),
                    Probe::NotSent => "it answered initialize".into(),
                };
                Ok(Some(Found::Legacy { initialized, why }))
            }
            Outcome::Error(error) if of_handshake => self.handshake_refused(error).await,
            _ => {
                tracing::debug!(id = %response.id, "a response that nobody waits for");
                Ok(None)
            }
        }
    }

    async fn discovered(&mut self, result: &RawJson) -> Result<Option<Found>, Failed> {
        // What a modern server leaves out against the specification does not make it an old one.
        let versions = result
            .decode::<DiscoverResult>()
            .map(|found| found.supported_versions)
            .unwrap_or_default();
        if versions.is_empty() {
            return self
                .not_modern("it answered server/discover with something else".into())
                .await;
        }
        self.supports(&versions, "it answered server/discover".into())
            .await
    }

    async fn probe_refused(&mut self, error: &ErrorObject) -> Result<Option<Found>, Failed> {
        let why = format!("it answered server/discover with error {}", error.code);
        if !wire::is_modern(error.code) {
            return self.not_modern(why.into()).await;
        }
        self.modern_error(error, why.into()).await
    }

    /// An error that only a modern server gives. It may name the versions that the server does
    /// support.
    async fn modern_error(
        &mut self,
        error: &ErrorObject,
        why: Cow<'static, str>,
    ) -> Result<Option<Found>, Failed> {
        match supported(error) {
            Some(versions) if error.code == code::UNSUPPORTED_PROTOCOL_VERSION => {
                self.supports(&versions, why).await
            }
            _ => self.modern(why).map(Some),
        }
    }

    /// The server is modern. A process that was sent `initialize` may speak the handshake's
    /// revision for good.
    fn modern(&self, why: Cow<'static, str>) -> Result<Found, Failed> {
        match self.handshake {
            Handshake::NotSent => Ok(Found::Modern { why }),
            Handshake::Sent(..) | Handshake::Refused(_) => Err(Failed::Modern { why }),
        }
    }

    /// The server names its versions: the modern one, or a legacy one if it has no other, or it is
    /// none for us.
    async fn supports(
        &mut self,
        versions: &[String],
        why: Cow<'static, str>,
    ) -> Result<Option<Found>, Failed> {
        if versions
            .iter()
            .any(|version| version == ProtocolVersion::LATEST.as_str())
        {
            return self.modern(why).map(Some);
        }
        let legacy = REVISIONS
            .iter()
            .any(|known| versions.iter().any(|version| version == known.as_str()));
        if legacy && !matches!(self.handshake, Handshake::Refused(_)) {
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

    /// The probe has been answered, and not as a modern server does.
    async fn not_modern(&mut self, why: Cow<'static, str>) -> Result<Option<Found>, Failed> {
        self.probe = Probe::NotModern(why);
        match &self.handshake {
            Handshake::NotSent => self.initialize(REVISIONS[0]).await?,
            Handshake::Sent(..) => {}
            Handshake::Refused(error) => return Err(refused(error).into()),
        }
        Ok(None)
    }

    /// Old servers that cannot read the id of a message say so without one. Before there was
    /// anything else to read, that was the probe.
    async fn error_without_id(&mut self, error: &ErrorObject) -> Result<Option<Found>, Failed> {
        tracing::debug!(error = %Printable(&error.message), "the server could not read a message");
        match (&self.probe, &self.handshake) {
            (Probe::Sent, _) if self.ask.first == First::OnlyProbe => Ok(Some(Found::Modern {
                why: "it answered server/discover".into(),
            })),
            (Probe::Sent, Handshake::NotSent) => self.probe_refused(error).await,
            _ => Ok(None),
        }
    }

    async fn handshake_refused(&mut self, error: ErrorObject) -> Result<Option<Found>, Failed> {
        let sent = match &self.handshake {
            Handshake::Sent(version, _) => *version,
            Handshake::NotSent | Handshake::Refused(_) => REVISIONS[0],
        };
        let versions = supported(&error).unwrap_or_default();
        let modern = versions
            .iter()
            .any(|version| version == ProtocolVersion::LATEST.as_str());
        let may_be_modern = self.ask.first != First::OnlyHandshake;
        if may_be_modern && (wire::is_modern(error.code) || modern) {
            let why = format!("it refused initialize with error {}", error.code);
            self.handshake = Handshake::Refused(error.clone());
            return if modern {
                Err(Failed::Modern { why: why.into() })
            } else {
                self.modern_error(&error, why.into()).await
            };
        }
        // 2025-11-25 `basic/lifecycle#error-handling`: the server may name what it supports instead
        // of choosing.
        let older = REVISIONS.iter().find(|known| {
            **known < sent && versions.iter().any(|version| version == known.as_str())
        });
        if let Some(older) = older {
            self.initialize(*older).await?;
            return Ok(None);
        }
        let failure = refused(&error);
        self.handshake = Handshake::Refused(error);
        match self.probe {
            // A late answer to the probe may still say what the server is.
            Probe::Sent => Ok(None),
            Probe::NotSent if may_be_modern => Err(Failed::Refused(failure)),
            Probe::NotSent | Probe::NotModern(_) => Err(failure.into()),
        }
    }

    async fn probe(&mut self) -> Result<(), Failed> {
        self.probe = Probe::Sent;
        self.send(Method::ServerDiscover, PROBE).await
    }

    /// Sends a request of this revision. The ping is one too, although it has gone with this
    /// revision: servers of both eras take a request that does not name a version for the beginning
    /// of the old one.
    async fn send(&mut self, method: Method, id: i64) -> Result<(), Failed> {
        let ClientIdentity { capabilities, info } = self.ask.who.clone();
        let meta = Meta::builder(ProtocolVersion::LATEST, capabilities)
            .client_info(info)
            .build();
        let call = Call::new(RequestId::from(id), method, Params::empty(), meta);
        self.write(call.encode().into_bytes()).await
    }

    async fn initialize(&mut self, version: ProtocolVersion) -> Result<(), Failed> {
        // Another id for each: answers must not be mixed up.
        let at = REVISIONS
            .iter()
            .position(|known| *known == version)
            .unwrap_or_default();
        let id = RequestId::from(INITIALIZE + i64::try_from(at).unwrap_or_default());
        let mut request = initialize(id.clone(), self.ask.who);
        if let (Ok(params), Ok(name)) = (
            Params::parse(request.params.clone()),
            RawJson::from_value(version.as_str()),
        ) {
            request.params = params.with("protocolVersion", &name).raw().clone();
        }
        self.handshake = Handshake::Sent(version, id);
        self.write(request.encode().into_bytes()).await
    }

    /// Before the handshake a server may do nothing but ping (2025-11-25
    /// `basic/lifecycle#initialization`).
    async fn answer(&mut self, request: Request) -> Result<(), Failed> {
        let response = match request.method.as_str() {
            "ping" => Response::result(request.id, RawJson::EMPTY_OBJECT),
            method => {
                let why = format!("{method} before the handshake is over");
                Response::error(request.id, ErrorObject::new(code::INVALID_REQUEST, why))
            }
        };
        self.write(response.encode().into_bytes()).await
    }

    async fn write(&mut self, text: Bytes) -> Result<(), Failed> {
        let mut line = BytesMut::with_capacity(text.len() + 1);
        encode_line(&text, &mut line);
        let written = async {
            self.writer
                .write_all(&line)
                .await
                .and(self.writer.flush().await)
        };
        match written.await {
            // It has exited, or will; what it said before is still to be read.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| CallError::unreachable(error).into()),
        }
    }

    fn closed(&self) -> Failed {
        Failed::Closed {
            probed: !matches!(self.probe, Probe::NotSent),
            status: String::new(),
        }
    }

    /// A message was longer than is accepted. If it was an answer to us there will be no other.
    fn too_long(&self, line: &LineTooLong) -> Result<(), Failed> {
        tracing::warn!(error = %line, "a message was skipped");
        let is_ours =
            matches!(line.id, Some(RequestId::Number(id)) if id >= PING) && line.is_response;
        if is_ours {
            Err(CallError::TooLarge(line.max_line).into())
        } else {
            Ok(())
        }
    }

    fn given_up(&self) -> CallError {
        let limit = self.ask.limit;
        let asked = match (&self.probe, &self.handshake) {
            (Probe::Sent, Handshake::NotSent)
                if (self.ask.unread)().is_some_and(|bytes| bytes > 0) =>
            {
                return CallError::unreachable(format!(
                    "the server has not read its standard input within {limit:?}: is it still starting, or not an MCP \
                     server?"
                ));
            }
            (Probe::Sent, Handshake::NotSent) => "server/discover",
            (Probe::Sent, Handshake::Sent(..)) => "server/discover and initialize",
            (Probe::Sent, Handshake::Refused(error)) => {
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
fn supported(error: &ErrorObject) -> Option<Vec<String>> {
    let data: JsonValue = error.data.as_ref()?.decode().ok()?;
    let names = data
        .get("supported")?
        .as_array()?
        .iter()
        .filter_map(JsonValue::as_str);
    Some(names.map(str::to_owned).collect()).filter(|names: &Vec<String>| !names.is_empty())
}
