//! Every binding says where a call came from.

mod common;

use bytes::Bytes;
use carryall_proto::{BoxFuture, Call, CallError, CallSource, ClientId, Reply, Response};
use carryall_transport::http::{Endpoint, FallbackProtocol, HttpServer, ReplyBody};
use carryall_transport::lines::{FallbackChannels, LineOptions, serve_lines_with};
use carryall_transport::{Loopback, SocketServer};
use common::{call, http, json, post_tool, read_answer, send, tool_call, within};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tower_service::Service;

/// Notes the source of each call.
#[derive(Clone, Debug, Default)]
struct Sources(Arc<Mutex<Vec<CallSource>>>);

impl Sources {
    fn take(&self) -> Vec<CallSource> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn take_one(&self) -> CallSource {
        let [source] = self.take()[..] else {
            panic!("not one call")
        };
        source
    }
}

impl Service<Call> for Sources {
    type Response = Reply;
    type Error = CallError;
    type Future = std::future::Ready<Result<Reply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        self.0.lock().unwrap().push(call.source());
        std::future::ready(Ok(Response::result(
            call.id().clone(),
            json(r#"{"resultType":"complete"}"#),
        )
        .into()))
    }
}

/// The same for requests of another protocol.
#[derive(Debug)]
struct Other(Sources);

impl FallbackProtocol for Other {
    fn takes(&self, _: &http::HeaderMap, _: &Bytes) -> bool {
        true
    }

    fn answer(&self, request: http::Request<Bytes>) -> BoxFuture<http::Response<ReplyBody>> {
        let source = request.extensions().get::<CallSource>().copied();
        self.0.0.lock().unwrap().push(source.unwrap_or_default());
        Box::pin(async { http::Response::new(ReplyBody::full("")) })
    }
}

const LOOPBACK: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

async fn listener() -> (HttpServer, SocketAddr) {
    let server = HttpServer::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    (server, address)
}

/// Two calls on one connection and one on another, which say so.
async fn check_connections(address: SocketAddr, sources: &Sources) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        stream.write_all(post_tool("a").as_bytes()).await.unwrap();
        assert_eq!(within(read_answer(&mut stream)).await.status, 200);
    }
    assert_eq!(send(address, &post_tool("a")).await.status, 200);
    let [first, second, third] = sources.take()[..] else {
        panic!("not three calls")
    };
    assert!(
        matches!(first.client, Some(ClientId::Connection(_))),
        "{first:?}"
    );
    assert_eq!(first, second);
    assert_ne!(first.client, third.client);
    assert_eq!(
        (first.address, third.address),
        (Some(LOOPBACK), Some(LOOPBACK))
    );
}

#[tokio::test]
async fn calls_of_one_http_connection_have_its_number_and_address() {
    let (server, address) = listener().await;
    let sources = Sources::default();
    tokio::spawn(server.run_endpoint(Endpoint::new(sources.clone()), pending()));
    check_connections(address, &sources).await;
}

#[tokio::test]
async fn an_endpoint_inside_another_service_gets_the_same() {
    let (server, address) = listener().await;
    let sources = Sources::default();
    let app = axum::Router::new().route_service("/mcp", Endpoint::new(sources.clone()));
    tokio::spawn(server.run_http(app, pending()));
    check_connections(address, &sources).await;
}

#[tokio::test]
async fn all_streams_of_an_http2_connection_share_its_number() {
    let (server, address) = listener().await;
    let sources = Sources::default();
    tokio::spawn(server.run_endpoint(Endpoint::new(sources.clone()), pending()));
    for _ in 0..2 {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = within(h2::client::handshake(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut sender = within(sender.ready()).await.unwrap();
        let mut ask = || {
            let request = http::Request::post(format!("http://{address}/mcp"))
                .header("content-type", "application/json")
                .header("accept", "application/json, text/event-stream")
                .header("mcp-protocol-version", "2026-07-28")
                .header("mcp-method", "tools/call")
                .header("mcp-name", "a");
            let (response, mut body) = sender
                .send_request(request.body(()).unwrap(), false)
                .unwrap();
            body.send_data(tool_call("1", "a").into(), true).unwrap();
            response
        };
        let (first, second) = (ask(), ask());
        assert_eq!(within(first).await.unwrap().status(), 200);
        assert_eq!(within(second).await.unwrap().status(), 200);
    }
    let seen = sources.take();
    assert_eq!(seen.len(), 4);
    assert_eq!((seen[0], seen[2]), (seen[1], seen[3]));
    assert_ne!(seen[0].client, seen[2].client);
    assert_eq!(seen[0].address, Some(LOOPBACK));
}

#[tokio::test]
async fn a_layer_in_front_says_better() {
    let sources = Sources::default();
    let better = CallSource::new(Some(ClientId::Connection(7)), Some([192, 0, 2, 1].into()));
    let mut endpoint = Endpoint::new(sources.clone())
        .alternate(Arc::new(Other(sources.clone())))
        .for_connection(CallSource::new(Some(ClientId::Connection(1)), None));
    for path in ["POST", "GET"] {
        let mut request = http::Request::builder()
            .method(path)
            .uri("/mcp")
            .header("host", "localhost");
        for (name, value) in common::HEADERS
            .lines()
            .filter_map(|line| line.split_once(": "))
        {
            request = request.header(name, value);
        }
        let mut request = request
            .header("mcp-name", "a")
            .body(axum::body::Body::from(tool_call("1", "a")))
            .unwrap();
        request.extensions_mut().insert(better);
        within(endpoint.call(request)).await.unwrap();
        assert_eq!(sources.take_one(), better, "{path}");
    }
}

#[tokio::test]
async fn another_protocol_on_the_endpoint_gets_it_with_each_request() {
    let (server, address) = listener().await;
    let sources = Sources::default();
    let endpoint = Endpoint::new(sources.clone()).alternate(Arc::new(Other(sources.clone())));
    tokio::spawn(server.run_endpoint(endpoint, pending()));
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    let plain = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";
    for request in [http("GET", "", ""), http("POST", plain, initialize)] {
        assert_eq!(send(address, &request).await.status, 200);
        let source = sources.take_one();
        assert!(
            matches!(source.client, Some(ClientId::Connection(_))),
            "{source:?}"
        );
        assert_eq!(source.address, Some(LOOPBACK));
    }
}

/// Sends a call as a line and waits for its answer.
async fn call_on_lines(stream: impl AsyncRead + AsyncWrite) {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut lines = Box::pin(BufReader::new(reader).lines());
    for _ in 0..2 {
        writer
            .write_all(format!("{}\n", tool_call("1", "a")).as_bytes())
            .await
            .unwrap();
        assert!(
            within(lines.as_mut().next_line())
                .await
                .unwrap()
                .unwrap()
                .contains("result")
        );
    }
}

fn check_channels(sources: &Sources, address: Option<std::net::IpAddr>) {
    let [a, b, c, d] = sources.take()[..] else {
        panic!("not four calls")
    };
    assert!(
        a.client.is_some() && a == b && c == d && a.client != c.client,
        "{a:?} {b:?} {c:?} {d:?}"
    );
    assert_eq!((a.address, c.address), (address, address));
}

#[cfg(unix)]
#[tokio::test]
async fn a_channel_of_lines_is_one_connection() {
    let sources = Sources::default();
    let path = std::env::temp_dir().join(format!("carryall-source-{}.sock", std::process::id()));
    tokio::spawn(SocketServer::bind_unix(&path).unwrap().run(sources.clone()));
    for _ in 0..2 {
        call_on_lines(tokio::net::UnixStream::connect(&path).await.unwrap()).await;
    }
    std::fs::remove_file(path).unwrap();
    check_channels(&sources, None);

    let server = SocketServer::bind_tcp("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run(sources.clone()));
    for _ in 0..2 {
        call_on_lines(TcpStream::connect(address).await.unwrap()).await;
    }
    check_channels(&sources, Some(LOOPBACK));
}

/// Takes nothing.
struct Silent;

impl carryall_transport::lines::FallbackChannel for Silent {
    fn take(&mut self, _: &Bytes) -> bool {
        false
    }
    fn poll_message(&mut self, _: &mut Context<'_>) -> Poll<Bytes> {
        Poll::Pending
    }
    fn close(&mut self) {}
    fn is_idle(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn another_protocol_on_a_channel_is_told_the_channels_source() {
    let (sources, made) = (Sources::default(), Sources::default());
    let told = made.clone();
    let alternates = FallbackChannels::new(move |source| {
        told.0.lock().unwrap().push(source);
        Box::new(Silent)
    });
    for _ in 0..2 {
        let (near, far) = tokio::io::duplex(1024);
        let (service, alternates) = (sources.clone(), alternates.clone());
        tokio::spawn(async move {
            let (reader, writer) = tokio::io::split(far);
            serve_lines_with(
                reader,
                writer,
                service,
                LineOptions::default(),
                Some(&alternates),
                pending(),
            )
            .await
        });
        call_on_lines(near).await;
    }
    let made = made.take();
    assert_eq!(
        sources.0.lock().unwrap()[..],
        [made[0], made[0], made[1], made[1]]
    );
    check_channels(&sources, None);
}

#[tokio::test]
async fn in_memory_the_source_stays() {
    let sources = Sources::default();
    let source = CallSource::new(Some(ClientId::Legacy(9)), None);
    let mut call = call("1", "a");
    call.set_source(source);
    Loopback::new(sources.clone()).call(call).await.unwrap();
    assert_eq!(sources.take_one(), source);
}
