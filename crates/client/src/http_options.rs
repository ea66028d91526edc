//! Options of the HTTP transport.

use crate::ClientError;
use carryall_transport::HttpClient;
use http::{HeaderName, HeaderValue};
use std::time::Duration;

/// Options for reaching a URL, which may be set before the URL is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpOptions {
    headers: Vec<(HeaderName, HeaderValue)>,
    connect_timeout: Option<Duration>,
    max_response: Option<usize>,
    /// The first invalid setting.
    invalid: Option<String>,
}

impl HttpOptions {
    pub(crate) fn bearer(mut self, token: &str) -> Self {
        match HeaderValue::try_from(format!("Bearer {token}")) {
            Ok(mut value) => {
                value.set_sensitive(true);
                self.headers.push((http::header::AUTHORIZATION, value));
            }
            Err(_) => self.set_invalid(|| {
                "the bearer token has characters that a header cannot carry".to_owned()
            }),
        }
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(mut value)) => {
                // It may be a secret.
                value.set_sensitive(true);
                self.headers.push((name, value));
            }
            (Err(_), _) => self.set_invalid(|| format!("{name:?} is not a header name")),
            (_, Err(_)) => self.set_invalid(|| {
                format!("the value of header {name:?} has characters that a header cannot carry")
            }),
        }
        self
    }

    pub(crate) fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    pub(crate) fn max_response(mut self, bytes: usize) -> Self {
        self.max_response = Some(bytes);
        self
    }

    /// Returns a transport to the endpoint at `url` with these options.
    pub(crate) fn client(self, url: &str) -> Result<HttpClient, ClientError> {
        if let Some(reason) = self.invalid {
            return Err(ClientError::Request(reason));
        }
        let invalid_url = |error| ClientError::Request(format!("{url:?}: {error}"));
        let mut builder = HttpClient::builder(url).map_err(invalid_url)?;
        for (name, value) in self.headers {
            builder = builder.header(name, value);
        }
        if let Some(timeout) = self.connect_timeout {
            builder = builder.connect_timeout(timeout);
        }
        if let Some(bytes) = self.max_response {
            builder = builder.max_response(bytes);
        }
        builder.build().map_err(invalid_url)
    }

    pub(crate) fn is_set(&self) -> bool {
        !self.headers.is_empty()
            || self.connect_timeout.is_some()
            || self.max_response.is_some()
            || self.invalid.is_some()
    }

    fn set_invalid(&mut self, reason: impl FnOnce() -> String) {
        self.invalid.get_or_insert_with(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_options_are_reported_without_secrets() {
        for options in [
            HttpOptions::default().bearer("secret\n"),
            HttpOptions::default().header("x", "secret\n"),
            HttpOptions::default().header("a b", "secret"),
            HttpOptions::default().header("mcp-method", "x"),
        ] {
            let error = options.client("http://127.0.0.1/").unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(HttpOptions::default().client("not a url").is_err());
        let options = HttpOptions::default()
            .bearer("secret")
            .header("x", "secret");
        assert!(!format!("{options:?}").contains("secret"));
    }
}
