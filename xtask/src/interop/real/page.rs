//! A static web page on the loopback, for a server that fetches pages.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::CommandResult;

/// The text of the page.
pub(super) const TEXT: &str = "Nobody but the interop run reads this page.";

/// A page that is served until the process exits.
pub(super) struct StaticPage(SocketAddr);

impl StaticPage {
    pub(super) fn serve() -> CommandResult<Self> {
        let fail = |e: std::io::Error| format!("cannot serve the page: {e}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that disconnects early does not matter.
                let _ = answer(stream);
            }
        });
        Ok(Self(address))
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/page.html", self.0)
    }
}

/// Answers with the page, or with 404 for any other path, such as `/robots.txt`.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16_384 && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let (status, body) = if head.starts_with(b"GET /page.html ") {
        (
            "200 OK",
            format!("<html><head><title>A page</title></head><body><p>{TEXT}</p></body></html>"),
        )
    } else {
        ("404 Not Found", String::new())
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
