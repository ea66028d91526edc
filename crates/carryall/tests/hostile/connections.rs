//! Connections that are too many, too slow, or end in the middle of something.

use crate::support::{
    PROMPT, Server, answer, open_head, post, raise_descriptor_limit, reset, tool_call,
};
use serde_json::json;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Descriptors for everything else that this process and the server do at the same time.
const SPARE: u64 = 600;

/// What half-open connections have sent.
const STARTS: [&str; 5] = [
    "",
    "P",
    "PRI * HT",
    "POST /mcp HTTP/1.1\r\nHost: loc",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

#[test]
fn ten_thousand_half_open_connections_leave_others_answered() {
    let server = Server::start();
    // Each takes one descriptor here and one in the server, which has the same limit.
    let count = raise_descriptor_limit().saturating_sub(SPARE).min(10_000) as usize;
    if count < 10_000 {
        eprintln!("{count} half-open connections, for want of descriptors");
    }
    server.withstands(count as u64 / 20 + 16, || {
        let mut open = Vec::with_capacity(count);
        for i in 0..count {
            let mut stream = server.connect();
            stream
                .write_all(STARTS[i % STARTS.len()].as_bytes())
                .unwrap();
            open.push(stream);
            if i % 1000 == 0 {
                server.answers();
            }
        }
        for _ in 0..20 {
            server.answers();
        }
        open.into_iter().for_each(reset);
    });
}

#[test]
fn heads_and_bodies_that_trickle_keep_nobody_waiting() {
    let server = Server::start();
    server.withstands(32, || {
        let body = tool_call(1, "echo", &json!({"text": "slow"}));
        let whole = post("echo", &json!({"text": "slow"}));
        let split = whole.len() - body.len();
        let mut slow: Vec<TcpStream> = (0..300).map(|_| server.connect()).collect();
        for (i, stream) in slow.iter_mut().enumerate() {
            stream.set_nodelay(true).unwrap();
            // Half of them trickle the head, the other half the body.
            stream
                .write_all(&whole.as_bytes()[..if i % 2 == 0 { 0 } else { split }])
                .unwrap();
        }
        let start = Instant::now();
        for round in 0..20 {
            for (i, stream) in slow.iter_mut().enumerate() {
                let at = if i % 2 == 0 { round } else { split + round };
                stream.write_all(&whole.as_bytes()[at..=at]).unwrap();
            }
            server.answers();
            std::thread::sleep(Duration::from_millis(20));
        }
        // They are slow, not wrong: whoever gets there in the end is answered.
        for (i, mut stream) in slow.into_iter().enumerate().take(20) {
            let at = if i % 2 == 0 { 20 } else { split + 20 };
            stream.write_all(&whole.as_bytes()[at..]).unwrap();
            assert_eq!(
                answer(&mut stream).map(|(status, _)| status),
                Some(200),
                "{i} after {:?}",
                start.elapsed()
            );
        }
    });
}

#[test]
fn clients_that_never_read_cost_a_bounded_amount() {
    let server = Server::start();
    server.withstands(96, || {
        let requests = post("big", &json!({})).repeat(50);
        let mut deaf: Vec<_> = (0..20).map(|_| server.connect()).collect();
        for stream in &mut deaf {
            stream.set_nonblocking(true).unwrap();
            // A gigabyte of answers has been asked for.
            let _ = stream.write(requests.as_bytes());
        }
        for _ in 0..20 {
            server.answers();
        }
        drop(deaf);
    });
}

#[test]
fn a_stream_that_is_reset_ends_its_call_and_nothing_else() {
    let server = Server::start();
    server.withstands(32, || {
        for _ in 0..10 {
            let mut streams: Vec<_> = (0..20).map(|_| server.connect()).collect();
            for stream in &mut streams {
                stream.write_all(post_with_progress().as_bytes()).unwrap();
            }
            for stream in &mut streams {
                let mut start = [0; 64];
                assert!(stream.read(&mut start).unwrap() > 0);
                assert!(start.starts_with(b"HTTP/1.1 200"));
            }
            streams.into_iter().for_each(reset);
            server.answers();
        }
        // Also those that were reset before anything came back.
        for _ in 0..50 {
            let mut stream = server.connect();
            stream
                .write_all(post("hang", &json!({})).as_bytes())
                .unwrap();
            reset(stream);
        }
    });
    let deadline = Instant::now() + PROMPT;
    while server.call("running", json!({})) != "0" {
        assert!(
            Instant::now() < deadline,
            "calls go on for nobody: {}",
            server.call("running", json!({}))
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn post_with_progress() -> String {
    let mut meta = crate::support::meta();
    meta["progressToken"] = json!("p");
    let params = json!({"name": "chatter", "arguments": {}, "_meta": meta});
    let body = carryall_testkit::request(&json!(1), "tools/call", params).to_string();
    format!(
        "{}Content-Length: {}\r\n\r\n{body}",
        open_head("chatter"),
        body.len()
    )
}

#[test]
fn floods_of_http2_frames_are_not_kept() {
    let server = Server::start();
    server.withstands(32, || {
        let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[7; 8]].concat();
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let unknown = [&[0, 0, 1, 0xfa, 0, 0, 0, 0, 0][..], &[0]].concat();
        // A head that is continued for ever, with a header table entry in each piece.
        let continued = [&[0, 0, 3, 9, 0, 0, 0, 0, 1][..], &[0x40, 0x01, b'a']].concat();
        let headers = [0, 0, 0, 1, 0, 0, 0, 0, 1];
        for (start, frame) in [
            (&b""[..], &ping[..]),
            (b"", &settings),
            (b"", &unknown),
            (&headers, &continued),
            (b"", b"garbage!!"),
        ] {
            let mut stream = server.connect();
            stream
                .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                .unwrap();
            stream.write_all(&settings).unwrap();
            stream.write_all(start).unwrap();
            stream
                .set_write_timeout(Some(Duration::from_millis(500)))
                .unwrap();
            let flood = frame.repeat(4096);
            // Nothing is ever read here. The server hangs up, or stops reading too.
            for _ in 0..200 {
                match stream.write(&flood) {
                    Ok(_) => {}
                    Err(error)
                        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                    {
                        break;
                    }
                    Err(_) => break,
                }
            }
            server.answers();
        }
    });
}
