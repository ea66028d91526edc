//! Hostile input over HTTP: too large, too slow, too much at once.

mod common;

use carryall_transport::http::{Endpoint, HttpServer};
use common::{HEADERS, Tools, http, post_tool, read_answer, send, serve, tool_call, within};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_body_of_100_mib_is_rejected_unread() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\n{HEADERS}Content-Length: 104857600\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server answers without the body.
    let answer = within(read_answer(&mut stream)).await;
    assert_eq!(answer.status, 413);
    assert!(
        answer.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("4194304")
    );
}

#[tokio::test]
async fn a_chunked_body_without_end_is_cut_off() {
    let address = serve(Endpoint::new(Tools::default()).max_body(100_000)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\n{HEADERS}Transfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    let mut sent = 0;
    while sent < 1000 && stream.write_all(chunk.as_bytes()).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 1000, "the server went on reading");
    assert_eq!(send(address, &post_tool("a")).await.status, 200);
}

#[tokio::test]
async fn a_header_of_1_mib_is_rejected() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let (mut reader, mut writer) = stream.split();
    let written = async { _ = writer.write_all(head.as_bytes()).await };
    let mut answer = Vec::new();
    let read = async {
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..count]);
        }
    };
    within(async { tokio::join!(written, read) }).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    assert_eq!(send(address, &post_tool("a")).await.status, 200);
}

#[tokio::test]
async fn a_header_over_the_limit_gets_431() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let request = http(
        "POST",
        &format!("{HEADERS}X-Long: {}\r\n", "x".repeat(66_000)),
        &tool_call("1", "a"),
    );
    assert_eq!(send(address, &request).await.status, 431);
    let request = http(
        "POST",
        &format!("{HEADERS}{}", "X-Many: 1\r\n".repeat(200)),
        &tool_call("1", "a"),
    );
    assert_eq!(send(address, &request).await.status, 431);
}

#[tokio::test]
async fn a_body_that_stalls_gets_408() {
    let address =
        serve(Endpoint::new(Tools::default()).body_timeout(Duration::from_millis(50))).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\n{HEADERS}Content-Length: 100\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(within(read_answer(&mut stream)).await.status, 408);
}

#[tokio::test]
async fn hundreds_of_incomplete_requests_do_not_block_others() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let mut open = Vec::new();
    for i in 0..500 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let parts = [
            "",
            "P",
            "PR",
            "POST /mcp HTTP/1.1\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ];
        stream
            .write_all(parts[i % parts.len()].as_bytes())
            .await
            .unwrap();
        open.push(stream);
    }
    assert_eq!(send(address, &post_tool("a")).await.status, 200);
    assert_eq!(open.len(), 500);
}

#[tokio::test]
async fn the_number_of_connections_is_bounded() {
    let server = HttpServer::bind("127.0.0.1:0")
        .await
        .unwrap()
        .max_connections(2);
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run(Tools::default()));
    let first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(post_tool("a").as_bytes()).await.unwrap();
    assert_eq!(within(read_answer(&mut second)).await.status, 200);
    let mut third = TcpStream::connect(address).await.unwrap();
    third.write_all(post_tool("a").as_bytes()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(150), read_answer(&mut third)).await;
    assert!(early.is_err(), "a third connection was served");
    drop(first);
    let mut buffer = [0; 12];
    within(third.read_exact(&mut buffer)).await.unwrap();
    assert_eq!(&buffer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn connections_that_hang_are_closed_and_others_are_not() {
    let server = HttpServer::bind("127.0.0.1:0").await.unwrap();
    let server = server.connection_timeouts(Duration::from_millis(100), Duration::from_millis(100));
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run(Tools::default()));
    let mut listening = TcpStream::connect(address).await.unwrap();
    listening
        .write_all(post_tool("listen").as_bytes())
        .await
        .unwrap();
    for start in [
        "",
        "PR",
        "POST /mcp HTTP/1.1\r\nHost: local",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        let _ = within(stream.read_to_end(&mut seen)).await;
        assert!(!seen.starts_with(b"HTTP/1.1 2"), "{start:?}");
    }
    let mut later = TcpStream::connect(address).await.unwrap();
    later.write_all(post_tool("a").as_bytes()).await.unwrap();
    assert_eq!(within(read_answer(&mut later)).await.status, 200);
    later.write_all(b"POST /mcp HT").await.unwrap();
    assert_eq!(
        within(later.read(&mut [0; 9])).await.unwrap_or(0),
        0,
        "an incomplete head on a kept connection"
    );
    let mut buffer = [0; 4096];
    assert!(within(listening.read(&mut buffer)).await.unwrap() > 0);
    let more = tokio::time::timeout(Duration::from_millis(300), listening.read(&mut buffer)).await;
    assert!(!matches!(more, Ok(Ok(0))), "a listen was closed");
}

#[tokio::test]
async fn a_client_that_stops_reading_is_closed() {
    let server = HttpServer::bind("127.0.0.1:0").await.unwrap();
    let server = server.connection_timeouts(Duration::from_secs(1), Duration::from_millis(100));
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run(Tools::default()));
    let stream = TcpStream::connect(address).await.unwrap();
    let (_reader, mut writer) = stream.into_split();
    let requests = post_tool("large").repeat(200);
    // The client reads none of 60 MB of responses. Writing fails once the server has closed.
    let written = within(async {
        writer.write_all(requests.as_bytes()).await?;
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            writer.write_all(b"\r\n").await?;
        }
        #[allow(unreachable_code, reason = "gives the block its type")]
        std::io::Result::Ok(())
    });
    assert!(written.await.is_err());
}

#[tokio::test]
async fn incomplete_bodies_are_bounded_in_bytes_together() {
    let address = serve(Endpoint::new(Tools::default()).max_pending_bodies(1_000_000)).await;
    let body = tool_call("1", &"x".repeat(300_000));
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\n{HEADERS}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let begin = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body.as_bytes()[..240_000]).await.unwrap();
        stream
    };
    // Two fit in the half that one address may use. Whichever arrives third is rejected at once.
    let mut held = vec![begin().await, begin().await, begin().await];
    let refused = within(async {
        let (first, rest) = held.split_at_mut(1);
        let (second, third) = rest.split_at_mut(1);
        tokio::select! {
            answer = read_answer(&mut first[0]) => answer,
            answer = read_answer(&mut second[0]) => answer,
            answer = read_answer(&mut third[0]) => answer,
        }
    });
    let refused = refused.await;
    assert_eq!(refused.status, 503);
    assert!(
        refused.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("Try again later"),
        "{refused:?}"
    );
    assert_eq!(
        send(address, &post_tool("small")).await.status,
        200,
        "small requests are served"
    );
    drop(held);
    let again = async {
        while send(address, &http("POST", HEADERS, &body)).await.status == 503 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(again).await;
}
