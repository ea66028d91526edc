//! Opens the transport to a target and builds a client on it.

use super::options::ConnectOptions;
use super::stdio::ChildServer;
use crate::elicitation::Prompter;
use crate::era;
use crate::error::CliError;
use crate::output::Output;
use crate::output::spinner::Spinner;
use crate::target::ServerTarget;
use carryall::client::ClientBuilder;
use carryall::proto::SharedService;
use carryall::transport::http::{HttpClient, InvalidTarget};
use carryall::transport::socket::SocketClient;
use carryall::types::{ClientCapabilities, ElicitationCapability, JsonObject};
use carryall::{Client, DualEraHttp, DualEraOptions};
use http::{HeaderName, HeaderValue};
use std::time::Duration;

/// Upper bound of a request that keeps reporting progress, unless `--timeout` is longer.
const MAX_REQUEST_TIME: Duration = Duration::from_secs(600);
/// Longer lists are refused, in bytes.
const MAX_LIST_BYTES: usize = 32 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The transport behind a client, which has to be shut down after the client's last request.
pub(super) enum OpenTransport {
    Http(DualEraHttp),
    Unix,
    Stdio(ChildServer),
}

/// Opens the transport to `target`; a server on standard streams is started.
///
/// # Errors
/// Options that are invalid or do not fit the target, and a server that does not start.
pub(super) async fn open(
    target: ServerTarget,
    options: &ConnectOptions,
    prompter: Option<Prompter>,
    output: Output,
) -> Result<(Client, OpenTransport), CliError> {
    let (label, kind) = (target.label(), target.kind());
    if !options.headers.is_empty() && !matches!(target, ServerTarget::Http { .. }) {
        return Err(CliError::usage(
            "--header is only for servers that are reached over HTTP",
        ));
    }
    if !options.env.is_empty() && !matches!(target, ServerTarget::Stdio(_)) {
        return Err(CliError::usage(
            "--env is only for servers that this command starts",
        ));
    }
    let builder = client_builder(options, prompter)?;
    let dual_era = DualEraOptions::default()
        .era(options.era.into())
        .era_cache(era::cache())
        .handshake_timeout(options.timeout);
    let dual_era = carryall::with_input_handlers(dual_era, &builder);
    let (builder, transport) = match target {
        ServerTarget::Http { url, headers } => {
            let http = DualEraHttp::new(http_client(&url, &headers, options)?, dual_era);
            let detected = http.clone();
            let builder = builder
                .era_from(move || detected.decision())
                .service(SharedService::new_boxed(http.clone()))
                .mirror_headers(true);
            (builder, OpenTransport::Http(http))
        }
        ServerTarget::Unix(path) => (
            builder.service(SocketClient::unix(path)),
            OpenTransport::Unix,
        ),
        ServerTarget::Stdio(command) => {
            let spinner = Spinner::new(output, &format!("starting {label}"));
            let spawning = ChildServer::spawn(command, &options.env, dual_era, output);
            let server = spinner.during(spawning).await?;
            let detected = server.client.clone();
            let builder = builder
                .era_from(move || detected.decision())
                .service(server.client.clone())
                // A server that exits is not started again and again.
                .max_retries(0);
            (builder, OpenTransport::Stdio(server))
        }
    };
    let client = builder
        .build()
        .map_err(|error| CliError::client(&label, kind, &error))?;
    Ok((client, transport))
}

fn client_builder(
    options: &ConnectOptions,
    prompter: Option<Prompter>,
) -> Result<ClientBuilder, CliError> {
    // Forms can be answered with --answer, and are shown otherwise. Pages need a user.
    let mut elicitation = ElicitationCapability::new().with_form(JsonObject::new());
    elicitation.url = prompter.map(|_| JsonObject::new());
    let meta = options.parse_meta()?;
    let builder = Client::builder()
        .name("carryall")
        .version(env!("CARGO_PKG_VERSION"))
        .capabilities(ClientCapabilities::new().with_elicitation(elicitation))
        .tasks()
        // For requests about tasks, which take no call options.
        .ambient_meta(move || meta.clone())
        .timeout(options.timeout)
        .max_timeout(MAX_REQUEST_TIME.max(options.timeout))
        .max_list_bytes(MAX_LIST_BYTES);
    options.features.declare(builder)
}

/// Builds an HTTP client with the headers of the configuration and of the command line, which take
/// precedence.
fn http_client(
    url: &str,
    configured: &[(String, String)],
    options: &ConnectOptions,
) -> Result<HttpClient, CliError> {
    let invalid = |error: InvalidTarget| CliError::usage(error.to_string());
    let mut http = HttpClient::builder(url)
        .map_err(invalid)?
        .connect_timeout(CONNECT_TIMEOUT.min(options.timeout));
    let given = options.parse_headers()?;
    let configured = configured.iter().filter(|(name, _)| {
        !given
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(name))
    });
    for (name, value) in configured.chain(&given) {
        // Errors do not repeat the value, which may be a secret.
        let header = HeaderName::try_from(name)
            .map_err(|_| CliError::usage(format!("{name:?} is not a valid HTTP header name")))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| {
            CliError::usage(format!("the value of header {name} has invalid characters"))
        })?;
        value.set_sensitive(true);
        http = http.header(header, value);
    }
    http.build().map_err(invalid)
}
