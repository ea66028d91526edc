//! A server in an axum application: beside another route, behind a layer that authenticates, with
//! the names it is reached at and a graceful shutdown.

// Printing is what an example is for.
#![allow(clippy::print_stdout)]

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use carryall::proto::Principal;
use carryall::types::SubscriptionFilter;
use carryall::{Result, Server, tool};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Returns who calls.
#[tool(read_only)]
async fn whoami(caller: Principal) -> String {
    caller.subject
}

/// Closes the shop.
#[tool(destructive, scope = "admin")]
async fn close_shop() -> &'static str {
    "closed"
}

/// Inserts the principal that the handlers see. A real application verifies the token here: its
/// signature, issuer, audience and expiry.
async fn authenticate(mut request: Request, next: Next) -> Result<Response, StatusCode> {
    let header = request.headers().get(AUTHORIZATION);
    let (subject, scopes) = match header.map(|value| value.as_bytes()) {
        Some(b"Bearer token-of-ada") => ("ada", vec!["admin".to_owned()]),
        Some(b"Bearer token-of-bob") => ("bob", vec![]),
        _ => return Err(StatusCode::UNAUTHORIZED),
    };
    request.extensions_mut().insert(Principal {
        issuer: "https://login.example.com".into(),
        subject: subject.into(),
        client: None,
        scopes,
    });
    Ok(next.run(request).await)
}

/// Sends a request with this `Host` from outside of the application, and returns its status line.
async fn status_at(address: SocketAddr, path: &str, host: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer token-of-bob\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response.lines().next().unwrap_or_default().to_owned())
}

#[tokio::main]
async fn main() -> Result<()> {
    let server = Server::new("shop", "1.0.0")
        .tool(whoami)
        .tool(close_shop)
        .build()?;
    let maintenance = tokio::spawn(server.maintain());
    let endpoint = carryall::endpoint(server)?.allow_host("mcp.example.com");
    let (stop, stopped) = oneshot::channel::<()>();
    // Ends subscriptions too, which would hold up the shutdown.
    let shutdown = endpoint.close_on(async { drop(stopped.await) });

    let protected = Router::new()
        .route_service("/mcp", endpoint)
        .layer(from_fn(authenticate));
    let app = Router::new()
        .route("/", get(async || "the web page of the shop"))
        .nest("/api", protected);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serve = axum::serve(listener, app).with_graceful_shutdown(shutdown);
    let serving = tokio::spawn(serve.into_future());

    let url = format!("http://{address}/api/mcp");
    for (name, tools) in [("ada", 2), ("bob", 1)] {
        let token = format!("token-of-{name}");
        let client = carryall::connect(url.as_str()).bearer(&token).await?;
        let caller: String = client.call("whoami", ()).typed().await?;
        let offered = client.list_tools().await?.len();
        println!("{caller} is offered {offered} tools");
        assert_eq!((caller.as_str(), offered), (name, tools));
    }
    let anonymous = carryall::connect(url.as_str()).await?;
    let refused = anonymous.call("whoami", ()).await.unwrap_err();
    println!("without a token: {refused}");

    // A name that the endpoint does not know may be that of a page that rebinds its name.
    let known = status_at(address, "/api/mcp", "mcp.example.com").await?;
    let unknown = status_at(address, "/api/mcp", "rebound.example.net").await?;
    println!("Host: mcp.example.com gives {known}, rebound.example.net gives {unknown}");
    assert!(!known.contains("403") && unknown.contains("403"));

    let client = carryall::connect(url.as_str())
        .bearer("token-of-ada")
        .await?;
    let filter = SubscriptionFilter::new().with_tools_list_changed(true);
    let mut changes = client.listen(filter).await?;
    drop(stop);
    assert!(changes.next().await.is_none(), "the server has ended it");
    serving.await??;
    maintenance.abort();
    println!("shut down with a subscription open");
    Ok(())
}
