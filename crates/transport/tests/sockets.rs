//! Limits of socket servers.
#![cfg(unix)]

mod common;

use carryall_transport::SocketServer;
use carryall_transport::lines::LineOptions;
use common::{Seen, Tools, eventually, tool_call, within};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Serving {
    address: SocketAddr,
    seen: Arc<Seen>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

async fn serve(set: impl FnOnce(SocketServer) -> SocketServer) -> Serving {
    let server = set(SocketServer::bind_tcp("127.0.0.1:0").await.unwrap());
    let address = server.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let served =
        tokio::spawn(server.run_until(Tools(Arc::clone(&seen)), async { _ = stopped.await }));
    Serving {
        address,
        seen,
        stop,
        served,
    }
}

/// Sends a call and waits for its response.
async fn ask(stream: &mut TcpStream, name: &str) -> String {
    stream
        .write_all(format!("{}\n", tool_call("1", name)).as_bytes())
        .await
        .unwrap();
    let mut line = String::new();
    within(BufReader::new(stream).read_line(&mut line))
        .await
        .unwrap();
    line
}

/// Reads until the server closes.
async fn until_closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    // A reset counts as closed.
    let _ = within(stream.read_to_end(&mut rest)).await;
}

#[tokio::test]
async fn a_server_at_its_connection_limit_can_be_stopped() {
    let serving = serve(|server| server.max_connections(1)).await;
    let mut client = TcpStream::connect(serving.address).await.unwrap();
    assert!(ask(&mut client, "a").await.contains("result"));
    let _waiting = TcpStream::connect(serving.address).await.unwrap();
    serving.stop.send(()).unwrap();
    within(serving.served).await.unwrap();
    until_closed(client).await;
}

#[tokio::test]
async fn idle_connections_are_closed_and_others_are_not() {
    let serving = serve(|server| server.idle_timeout(Some(Duration::from_millis(100)))).await;
    let silent = TcpStream::connect(serving.address).await.unwrap();
    let mut used = TcpStream::connect(serving.address).await.unwrap();
    // Longer than the timeout: the call keeps the connection open.
    assert!(ask(&mut used, "slow").await.contains("slow"));
    until_closed(silent).await;
    until_closed(used).await;
    let mut dribbling = TcpStream::connect(serving.address).await.unwrap();
    let closed = within(async {
        while dribbling.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    closed.await;
}

#[tokio::test]
async fn connections_of_one_address_are_bounded() {
    let serving = serve(|server| server.max_connections(8)).await;
    let mut first = TcpStream::connect(serving.address).await.unwrap();
    let mut second = TcpStream::connect(serving.address).await.unwrap();
    assert!(ask(&mut first, "a").await.contains("result"));
    assert!(ask(&mut second, "a").await.contains("result"));
    until_closed(TcpStream::connect(serving.address).await.unwrap()).await;
    assert!(
        ask(&mut first, "a").await.contains("result"),
        "open connections stay open"
    );
    drop(second);
    let again = async {
        loop {
            let mut stream = TcpStream::connect(serving.address).await.unwrap();
            let mut answer = [0];
            let asked = format!("{}\n", tool_call("1", "a"));
            if stream.write_all(asked.as_bytes()).await.is_ok()
                && stream.read(&mut answer).await.is_ok_and(|n| n > 0)
            {
                break;
            }
        }
    };
    within(again).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_connection_and_its_calls() {
    let serving = serve(|server| {
        let mut options = LineOptions::default();
        options.write_timeout = Some(Duration::from_millis(200));
        server.options(options)
    })
    .await;
    let mut client = TcpStream::connect(serving.address).await.unwrap();
    client
        .write_all(format!("{}\n", tool_call("0", "hang")).as_bytes())
        .await
        .unwrap();
    let flood = async {
        // Exceeds the buffers of both sockets and of the channel.
        for id in 1..200 {
            let call = format!("{}\n", tool_call(&id.to_string(), "large"));
            if client.write_all(call.as_bytes()).await.is_err() {
                break;
            }
        }
        let seen = &serving.seen;
        eventually("the hanging call is cancelled", || {
            seen.started() > 1 && seen.dropped() == seen.started()
        })
        .await;
    };
    within(flood).await;
}

#[tokio::test]
async fn connections_that_exceed_the_drain_timeout_are_closed() {
    let serving = serve(|server| {
        let mut options = LineOptions::default();
        options.stalled = Duration::from_secs(600);
        server
            .options(options)
            .drain_timeout(Duration::from_millis(100))
    })
    .await;
    let mut client = TcpStream::connect(serving.address).await.unwrap();
    for id in 1..100 {
        client
            .write_all(format!("{}\n", tool_call(&id.to_string(), "large")).as_bytes())
            .await
            .unwrap();
    }
    eventually("the server has begun to answer", || {
        serving.seen.started() > 5
    })
    .await;
    serving.stop.send(()).unwrap();
    within(serving.served).await.unwrap();
    until_closed(client).await;
}
