//! Messages over HTTP that are too large.

use crate::support::{Server, answer, open_head, post, tool_call};
use serde_json::json;
use std::io::Write as _;
use std::net::TcpStream;

/// Writes until the server does not take any more; returns how many bytes it took.
fn pour(stream: &mut TcpStream, piece: &[u8], most: usize) -> usize {
    let mut sent = 0;
    while sent < most {
        if stream.write_all(piece).is_err() {
            break;
        }
        sent += piece.len();
    }
    sent
}

#[test]
fn a_body_of_100_mib_is_refused_without_being_read() {
    let server = Server::start();
    server.withstands(16, || {
        let mut stream = server.connect();
        stream
            .write_all(format!("{}Content-Length: 104857600\r\n\r\n", open_head("echo")).as_bytes())
            .unwrap();
        let (status, body) = answer(&mut stream).expect("the answer does not wait for the body");
        assert_eq!(status, 413);
        assert_eq!(
            body["error"]["message"],
            "The body is larger than 4194304 bytes"
        );
        let sent = pour(&mut stream, &[b'x'; 64 * 1024], 100 << 20);
        assert!(sent < 32 << 20, "the server took {sent} bytes");
    });
}

#[test]
fn chunks_without_end_are_cut_off_and_do_not_pile_up() {
    let server = Server::start();
    server.withstands(64, || {
        let mut streams: Vec<_> = (0..8).map(|_| server.connect()).collect();
        for stream in &mut streams {
            stream
                .write_all(
                    format!("{}Transfer-Encoding: chunked\r\n\r\n", open_head("echo")).as_bytes(),
                )
                .unwrap();
        }
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
        for stream in &mut streams {
            server.answers();
            let sent = pour(stream, &chunk, 100 << 20);
            assert!(sent < 32 << 20, "the server took {sent} bytes");
        }
        // Chunks of one byte, with extensions, cost more than they carry, and end at the same
        // bound.
        let mut stream = server.connect();
        stream
            .write_all(
                format!("{}Transfer-Encoding: chunked\r\n\r\n", open_head("echo")).as_bytes(),
            )
            .unwrap();
        let sent = pour(&mut stream, &b"1;a=b\r\nx\r\n".repeat(4096), 400 << 20);
        assert!(sent < 128 << 20, "the server took {sent} bytes");
    });
}

#[test]
fn a_header_of_1_mib_is_refused() {
    let server = Server::start();
    server.withstands(8, || {
        let mut stream = server.connect();
        let sent = pour(
            &mut stream,
            format!("{}X-Long: {}", open_head("echo"), "x".repeat(1 << 20)).as_bytes(),
            1,
        );
        // Closing with unread bytes may cost the client the answer, not the server.
        if let Some((status, _)) = answer(&mut stream) {
            assert_eq!(status, 431, "{sent}");
        }
        for header in [
            format!("X-Long: {}\r\n", "x".repeat(70_000)),
            "X-Many: 1\r\n".repeat(150),
        ] {
            let mut stream = server.connect();
            stream
                .write_all(format!("{}{header}\r\n", open_head("echo")).as_bytes())
                .unwrap();
            assert_eq!(answer(&mut stream).expect("an answer").0, 431);
        }
    });
}

#[test]
fn a_million_bytes_of_headers_are_refused() {
    let server = Server::start();
    server.withstands(8, || {
        for piece in [
            "a:b\r\n",
            "X-Padding: 0123456789012345678901234567890123456789\r\n",
            " folded\r\n",
        ] {
            let mut stream = server.connect();
            stream.write_all(open_head("echo").as_bytes()).unwrap();
            let sent = pour(&mut stream, piece.repeat(1000).as_bytes(), 64 << 20);
            assert!(sent < 16 << 20, "the server took {sent} bytes of {piece:?}");
        }
        // The request line counts as well.
        let mut stream = server.connect();
        let sent = pour(
            &mut stream,
            format!("POST /{}", "x".repeat(1 << 20)).as_bytes(),
            64 << 20,
        );
        assert!(sent < 16 << 20, "the server took {sent} bytes");
    });
}

#[test]
fn hundreds_of_thousands_of_members_are_looked_at_once() {
    let server = Server::start();
    server.withstands(128, || {
        let many: String = (0..300_000).map(|n| format!("\"{n}\":0,")).collect();
        let call = tool_call(1, "echo", &json!({"text": "x"}));
        for place in [r#""params":{"#, r#""arguments":{"#, r#""_meta":{"#, "{"] {
            let body = call.replacen(place, &format!("{place}{many}"), 1);
            assert!(body.len() > many.len() && body.len() < 4 << 20);
            let (status, body) = server.send("echo", body.as_bytes());
            assert!(matches!(status, 200 | 400), "{place} {status} {body}");
        }
    });
}

#[test]
fn garbage_behind_a_request_costs_only_its_connection() {
    let server = Server::start();
    server.withstands(16, || {
        let good = post("echo", &json!({"text": "first"}));
        let garbage: [&[u8]; 6] = [
            b"\0\x01\x02\xff\xfe rubbish\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"POST /mcp HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ];
        for rubbish in garbage {
            let mut stream = server.connect();
            stream.write_all(&[good.as_bytes(), rubbish].concat()).unwrap();
            let (status, body) = answer(&mut stream).expect("the good request is answered");
            assert_eq!((status, body["result"]["content"][0]["text"].as_str()), (200, Some("first")));
            if let Some((status, _)) = answer(&mut stream) {
                assert!((400..600).contains(&status), "{status} for {:?}", String::from_utf8_lossy(rubbish));
            }
            server.answers();
        }
    });
}

#[test]
fn a_body_whose_length_is_told_twice_in_different_ways_is_never_two_requests() {
    let server = Server::start();
    // Whoever believes the length sees one request with a smuggled one inside; whoever believes the
    // chunks sees two.
    let smuggled = post("echo", &json!({"text": "smuggled"}));
    let body = format!("0\r\n\r\n{smuggled}");
    let request = format!(
        "{}Transfer-Encoding: chunked\r\nContent-Length: {}\r\n\r\n{body}",
        open_head("echo"),
        body.len()
    );
    let mut stream = server.connect();
    stream.write_all(request.as_bytes()).unwrap();
    let (status, first) = answer(&mut stream).expect("an answer");
    assert_eq!(status, 400, "{first}");
    if let Some((_, second)) = answer(&mut stream) {
        panic!("a second answer: {second}");
    }
    server.answers();
}
