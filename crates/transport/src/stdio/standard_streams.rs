//! The standard streams of this process, taken for exclusive use.

use rustix::fs::{FileType, Mode, OFlags};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

/// Standard input, by the type of its file: reading pipes and sockets needs no blocking thread.
#[derive(Debug)]
pub(super) enum StdinStream {
    Pipe(pipe::Receiver),
    Socket(UnixStream),
    /// A terminal or a file.
    File(tokio::fs::File),
}

/// Standard output, by the type of its file.
#[derive(Debug)]
pub(super) enum StdoutStream {
    Pipe(pipe::Sender),
    Socket(UnixStream),
    File(tokio::fs::File),
}

/// Takes both streams. From now on the standard input of the process is empty, and what it prints
/// goes to standard error: "the server MUST NOT write anything to its stdout that is not a valid
/// MCP message" (`basic/transports/stdio`).
pub(super) fn take() -> io::Result<(StdinStream, StdoutStream)> {
    let input = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let output = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    // The standard library may have buffered half a line, which goes to standard error too.
    io::stdout().flush()?;
    Ok((StdinStream::new(input)?, StdoutStream::new(output)?))
}

fn kind(fd: &OwnedFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(fd);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

impl StdinStream {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        match kind(&fd)? {
            FileType::Fifo => pipe::Receiver::from_owned_fd(fd).map(Self::Pipe),
            FileType::Socket => socket(fd).map(Self::Socket),
            _ => Ok(Self::File(tokio::fs::File::from_std(File::from(fd)))),
        }
    }
}

impl StdoutStream {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        match kind(&fd)? {
            FileType::Fifo => pipe::Sender::from_owned_fd(fd).map(Self::Pipe),
            FileType::Socket => socket(fd).map(Self::Socket),
            _ => Ok(Self::File(tokio::fs::File::from_std(File::from(fd)))),
        }
    }
}

impl AsyncRead for StdinStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_read(cx, buf),
            Self::Socket(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::File(file) => Pin::new(file).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for StdoutStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_write(cx, buf),
            Self::Socket(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::File(file) => Pin::new(file).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_flush(cx),
            Self::Socket(socket) => Pin::new(socket).poll_flush(cx),
            Self::File(file) => Pin::new(file).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_shutdown(cx),
            Self::Socket(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::File(file) => Pin::new(file).poll_shutdown(cx),
        }
    }
}
