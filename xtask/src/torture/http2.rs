//! A minimal HTTP/2 client (RFC 9113) that opens streams with a flow-control window of zero, so that
//! their answers are never read.

use super::http::TortureClient;
use crate::CommandResult;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A connection whose streams have a zero window, so that the server can send no body.
pub(super) struct UnreadConnection {
    stream: TcpStream,
    next: u32,
    port: u16,
}

impl UnreadConnection {
    pub(super) fn connect(client: &TortureClient, port: u16) -> CommandResult<Self> {
        let mut stream = client.connect()?;
        let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        settings.extend(0_u32.to_be_bytes());
        let mut out = PREFACE.to_vec();
        out.extend(frame(SETTINGS, 0, 0, &settings));
        stream
            .write_all(&out)
            .map_err(|error| format!("no HTTP/2 connection: {error}"))?;
        // The server first enlarges the connection window; earlier streams would break the
        // connection.
        std::thread::sleep(std::time::Duration::from_millis(100));
        // The connection itself works: frames are read and pings are answered.
        let reading = stream.try_clone().map_err(|error| error.to_string())?;
        std::thread::spawn(move || answer_pings(reading));
        Ok(Self {
            stream,
            next: 1,
            port,
        })
    }

    /// Sends a POST with this JSON body on a new stream.
    pub(super) fn post(&mut self, headers: &[(&str, &str)], body: &str) -> CommandResult {
        let id = self.next;
        self.next += 2;
        let mut block = Vec::new();
        let authority = format!("127.0.0.1:{}", self.port);
        let pseudo = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/mcp"),
            (":authority", &*authority),
        ];
        for (name, value) in pseudo.iter().chain(headers) {
            // A literal field without indexing and with a new name (RFC 7541, 6.2.2).
            block.push(0);
            literal(&mut block, name);
            literal(&mut block, value);
        }
        let mut out = frame(HEADERS, END_HEADERS, id, &block);
        out.extend(frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()));
        out.extend(frame(DATA, END_STREAM, id, body.as_bytes()));
        self.stream
            .write_all(&out)
            .map_err(|error| format!("cannot send: {error}"))
    }
}

fn answer_pings(mut stream: TcpStream) {
    let mut head = [0; 9];
    while stream.read_exact(&mut head).is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        if stream.read_exact(&mut payload).is_err() {
            return;
        }
        if head[3] == PING
            && head[4] & ACK == 0
            && stream.write_all(&frame(PING, ACK, 0, &payload)).is_err()
        {
            return;
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    let mut out = length[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

fn literal(out: &mut Vec<u8>, text: &str) {
    // Texts are shorter than 127 bytes: one length byte, no Huffman coding.
    out.push(u8::try_from(text.len()).unwrap_or(126) & 0x7f);
    out.extend(text.as_bytes());
}
