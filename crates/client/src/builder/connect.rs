//! Connects clients to servers over HTTP and in child processes.

use super::{ClientBuilder, ServiceSource};
use crate::ClientError;
use crate::client::Client;
#[cfg(unix)]
use crate::error::VersionError;
use carryall_proto::SharedService;
#[cfg(unix)]
use carryall_proto::{CallError, wire};
use carryall_transport::HttpClient;
#[cfg(unix)]
use carryall_transport::{ServerCommand, StdioClient};
use std::time::Duration;

impl Client {
    /// Returns a client of the endpoint at `url`, for example `http://127.0.0.1:8080/mcp`, with
    /// default settings. Nothing is sent.
    ///
    /// # Errors
    /// [`ClientError::Request`] if `url` is not an HTTP URL.
    pub fn http(url: &str) -> Result<Self, ClientError> {
        Self::builder().http(url).build()
    }

    /// Starts a server as a child process and returns a client of it, with default settings; see
    /// [`ClientBuilder::stdio`].
    ///
    /// # Errors
    /// If the server cannot be started or is not one of this revision.
    #[cfg(unix)]
    pub async fn stdio(command: ServerCommand) -> Result<Self, ClientError> {
        Self::builder().stdio(command).await
    }
}

impl ClientBuilder {
    /// Sends requests to the endpoint at `url`. [`build`](Self::build) fails if it is not an HTTP
    /// URL.
    pub fn http(self, url: &str) -> Self {
        self.source(ServiceSource::Url(url.to_owned()))
    }

    /// Sends `Authorization: Bearer` with `token`; for [`http`](Self::http). None by default.
    pub fn bearer(mut self, token: &str) -> Self {
        self.http_options = self.http_options.bearer(token);
        self
    }

    /// Sends a header with each request; for [`http`](Self::http). None by default. Headers of the
    /// binding itself, such as `Mcp-Method`, cannot be set.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.http_options = self.http_options.header(name, value);
        self
    }

    /// Sets how long connecting may take, TLS included; for [`http`](Self::http). Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.http_options = self.http_options.connect_timeout(timeout);
        self
    }

    /// Sets the largest message accepted, in bytes: a JSON body, or one event of a stream; for
    /// [`http`](Self::http). Default: 16 MiB.
    pub fn max_response(mut self, bytes: usize) -> Self {
        self.http_options = self.http_options.max_response(bytes);
        self
    }

    /// Sends requests through an HTTP transport with further settings, such as extra root
    /// certificates. Sets [`server_id`](Self::server_id) and [`mirror_headers`](Self::mirror_headers) as for
    /// [`http`](Self::http).
    pub fn http_client(self, client: HttpClient) -> Self {
        let url = client.url();
        self.source(ServiceSource::Service(SharedService::new_boxed(client)))
            .server_id(url)
            .mirror_headers(true)
    }

    /// Starts a server as a child process and sends it `server/discover`, because a server of an
    /// earlier revision may misunderstand other requests
    /// (`basic/versioning#compatibility-matrix`). The process serves all clones of the client and
    /// ends with the last of them. Dropping the future ends the process.
    ///
    /// # Errors
    /// [`VersionError::NotModern`](crate::VersionError::NotModern) if the server does not answer
    /// like one of this revision, and the errors of starting it.
    #[cfg(unix)]
    pub async fn stdio(self, command: ServerCommand) -> Result<Client, ClientError> {
        let client = self.service(StdioClient::spawn(command).await?).build()?;
        match client.discover().await {
            Ok(_) => Ok(client),
            Err(error) if is_modern_or_ours(&error) => Err(error),
            // Any other error, or none in time: servers of earlier revisions differ in this.
            Err(error) => Err(VersionError::NotModern(Box::new(error)).into()),
        }
    }
}

/// Returns whether an error of `server/discover` comes from a server of this revision or from this
/// side.
#[cfg(unix)]
fn is_modern_or_ours(error: &ClientError) -> bool {
    match error {
        ClientError::Server(error) => wire::is_modern(error.code),
        ClientError::Version(VersionError::NoneInCommon { .. }) | ClientError::Request(_) => true,
        ClientError::Call(error) => matches!(
            error,
            CallError::Unreachable(_) | CallError::Refused(_) | CallError::Busy(_)
        ),
        _ => false,
    }
}
