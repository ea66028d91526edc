//! Clients of servers elsewhere: by HTTP, or in a child process.

use crate::ClientError;
use crate::builder::ClientBuilder;
use crate::client::Client;
#[cfg(unix)]
use carryall_proto::wire;
use carryall_proto::{CallError, SharedService};
use carryall_transport::HttpClient;
#[cfg(unix)]
use carryall_transport::{ServerCommand, StdioClient};

impl Client {
    /// A client of the endpoint at `url`, for example `http://127.0.0.1:8080/mcp`. Nothing is sent
    /// yet.
    ///
    /// # Errors
    /// When `url` is not an HTTP URL.
    pub fn http(url: &str) -> Result<Self, ClientError> {
        Self::builder().http(url).build()
    }

    /// Starts a server and makes a client of it; see [`ClientBuilder::stdio`].
    ///
    /// # Errors
    /// When the server cannot be started, or is not one of this revision.
    #[cfg(unix)]
    pub async fn stdio(command: ServerCommand) -> Result<Self, ClientError> {
        Self::builder().stdio(command).await
    }
}

impl ClientBuilder {
    /// Calls the endpoint at `url`. A URL that is none is reported by [`build`](Self::build).
    pub fn http(self, url: &str) -> Self {
        match HttpClient::new(url) {
            Ok(client) => self.http_client(client),
            Err(error) => self.wrong(format!("{url:?}: {error}")),
        }
    }

    /// Calls an endpoint by a transport with settings of its own, such as credentials.
    pub fn http_client(self, client: HttpClient) -> Self {
        let url = client.url();
        self.shared_service(SharedService::new_boxed(client))
            .server_id(url)
            .mirror_headers(true)
    }

    /// Starts a server as a child process, and asks it what it is (`server/discover`). A server of
    /// an earlier revision might take other requests for something that they are not; this way it
    /// is found out first (`basic/versioning#compatibility-matrix`). One process serves all clones
    /// of the client, for as long as one of them is there.
    ///
    /// # Errors
    /// [`ClientError::NotModern`] for a server that does not answer like one of this revision, and
    /// whatever keeps it from starting.
    #[cfg(unix)]
    pub async fn stdio(self, command: ServerCommand) -> Result<Client, ClientError> {
        let client = self.service(StdioClient::spawn(command).await?).build()?;
        match client.discover().await {
            Ok(_) => Ok(client),
            // What only a server of this revision says; it is the version or this client that does
            // not fit.
            Err(error) if error.code().is_some_and(wire::is_modern) => Err(error),
            Err(error @ (ClientError::Versions { .. } | ClientError::Request(_))) => Err(error),
            Err(
                error @ ClientError::Call(
                    CallError::Unreachable(_) | CallError::Refused(_) | CallError::Busy(_),
                ),
            ) => Err(error),
            // Any other error, and silence as well: which one is up to the old server.
            Err(error) => Err(ClientError::NotModern(Box::new(error))),
        }
    }
}
