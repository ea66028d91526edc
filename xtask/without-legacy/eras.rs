//! Stands in for the joining file of the facade where there is no crate for earlier revisions: the
//! same names, and this revision alone behind them. `cargo xtask without-legacy` compiles the
//! workspace with it.

use carryall_client::{Client, ClientBuilder, ClientError};
use carryall_proto::seal::Keyring;
use carryall_proto::{BoxFuture, Call, CallError, EraDecision, Reply};
use carryall_transport::HttpClient;
use carryall_transport::http::{Endpoint, InvalidTarget};
use carryall_transport::lines::FallbackChannels;
use carryall_transport::stdio::{ServerCommand, StdioClient};
use std::future::IntoFuture;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_service::Service;

/// Without a crate for earlier revisions there is little here.
pub mod legacy {
    /// Serving.
    pub mod serve {
        use super::super::{InvalidTarget, Keyring};

        /// Nobody to meet.
        #[derive(Clone, Debug)]
        pub struct HttpBus;

        impl HttpBus {
            /// None.
            pub fn new<'a>(
                _: impl IntoIterator<Item = &'a str>,
                _: Keyring,
            ) -> Result<Self, InvalidTarget> {
                Ok(Self)
            }
        }

        /// Nothing to control.
        #[derive(Clone, Debug)]
        pub struct StreamControl;

        impl StreamControl {
            /// At once.
            pub async fn pause(&self) {}
        }
    }
}

/// The era to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Era {
    /// This revision.
    #[default]
    Auto,
    /// This revision.
    Modern,
    /// None that is spoken here.
    Legacy,
}

/// Who shares a session, where there were any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionScope {
    /// Nobody.
    #[default]
    Principal,
    /// Nobody.
    Client,
    /// Nobody.
    Call,
    /// Nobody.
    Shared,
}

impl SessionScope {
    /// In order.
    pub const ALL: [Self; 4] = [Self::Principal, Self::Client, Self::Call, Self::Shared];

    /// As in configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Principal => "per-principal",
            Self::Client => "per-client",
            Self::Call => "per-call",
            Self::Shared => "shared",
        }
    }
}

impl std::fmt::Display for SessionScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for SessionScope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or("not a way to share sessions")
    }
}

/// Nothing to remember.
#[derive(Clone, Debug, Default)]
pub struct EraCache;

impl EraCache {
    /// Nothing.
    pub fn new() -> Self {
        Self
    }

    /// Nothing.
    pub fn file(_: impl Into<PathBuf>) -> Self {
        Self
    }
}

macro_rules! options {
    ($name:ident { $($setter:ident: $value:ty),* }) => {
        /// Options that change nothing.
        #[derive(Clone, Debug, Default)]
        pub struct $name;

        impl $name {
            $(
                /// Changes nothing.
                pub fn $setter(self, _: $value) -> Self {
                    self
                }
            )*
        }
    };
}

options!(LegacyOptions {
    keyring: Keyring,
    server_name: impl Into<String>,
    meeting: Arc<legacy::serve::HttpBus>,
    http_sse_2024: bool
});
options!(DualEraOptions {
    era: Era,
    memory: EraCache,
    silence: Duration,
    handshake_timeout: Duration,
    session_scope: SessionScope,
    match_client_era: bool
});

macro_rules! way {
    ($name:ident($inner:ty)) => {
        /// A transport of this revision.
        #[derive(Clone, Debug)]
        pub struct $name($inner);

        impl $name {
            /// There was nothing to decide.
            pub fn decision(&self) -> Option<EraDecision> {
                None
            }
        }

        impl Service<Call> for $name {
            type Response = Reply;
            type Error = CallError;
            type Future = BoxFuture<Result<Reply, CallError>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, call: Call) -> Self::Future {
                Box::pin(self.0.call(call))
            }
        }
    };
}

way!(DualEraHttp(HttpClient));
way!(DualEraStdio(StdioClient));

impl DualEraHttp {
    /// As it is.
    pub fn new(client: HttpClient, _: DualEraOptions) -> Self {
        Self(client)
    }

    /// Nothing to end.
    pub async fn shutdown(&self) {}
}

impl DualEraStdio {
    /// Starts it.
    pub async fn spawn(command: ServerCommand, _: DualEraOptions) -> Result<Self, CallError> {
        StdioClient::spawn(command).await.map(Self)
    }

    /// Ends it.
    pub async fn shutdown(&self) -> Option<ExitStatus> {
        self.0.shutdown().await
    }
}

/// There is nothing to meet for.
pub(crate) fn meeting_in(
    options: LegacyOptions,
    _: Arc<dyn carryall_store::Store>,
) -> LegacyOptions {
    options
}

/// An endpoint of this revision.
pub fn service_endpoint<S>(service: S, _: LegacyOptions) -> Endpoint
where
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    Endpoint::new(service)
}

/// Nothing else is spoken.
pub fn alternates<S>(_: S, _: LegacyOptions) -> FallbackChannels
where
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    FallbackChannels::new(|_| Box::new(Silence))
}

struct Silence;

impl carryall_transport::lines::FallbackChannel for Silence {
    fn take(&mut self, _: &bytes::Bytes) -> bool {
        false
    }

    fn poll_message(&mut self, _: &mut Context<'_>) -> Poll<bytes::Bytes> {
        Poll::Pending
    }

    fn close(&mut self) {}

    fn is_idle(&self) -> bool {
        true
    }
}

/// As they are.
pub fn answering(way: DualEraOptions, _: &ClientBuilder) -> DualEraOptions {
    way
}

/// Connects to a server of this revision.
pub fn connect(target: impl Into<Target>) -> Connect {
    Connect {
        target: target.into(),
        client: Client::builder(),
    }
}

/// Where a server is.
#[derive(Clone, Debug)]
pub enum Target {
    /// At a URL.
    Url(String),
}

impl From<&str> for Target {
    fn from(url: &str) -> Self {
        Self::Url(url.into())
    }
}

impl From<String> for Target {
    fn from(url: String) -> Self {
        Self::Url(url)
    }
}

/// Sets up a client.
#[derive(Debug)]
pub struct Connect {
    target: Target,
    client: ClientBuilder,
}

impl Connect {
    /// The client to make.
    pub fn client(mut self, client: ClientBuilder) -> Self {
        self.client = client;
        self
    }
}

impl IntoFuture for Connect {
    type Output = Result<Client, ClientError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Target::Url(url) = self.target;
        Box::pin(async move { self.client.http(&url).build() })
    }
}
