//! Ctrl-C and SIGTERM.

use crate::exit::ExitStatus;
use crate::terminal_modes::TerminalModes;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A command that has not handled a signal after this time is busy or blocked, and the process is
/// ended.
const HANDLE_TIMEOUT: Duration = Duration::from_millis(500);
/// Time for a graceful shutdown after a signal was handled.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether a command has handled a signal.
static HANDLED: AtomicBool = AtomicBool::new(false);

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn shutdown_requested() {
    Signals::new().next().await;
}

/// Receives Ctrl-C and SIGTERM from its creation on, so that none is missed between two waits.
pub(crate) struct Signals {
    /// SIGINT and SIGTERM.
    #[cfg(unix)]
    signals: Option<[tokio::signal::unix::Signal; 2]>,
}

impl Signals {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(unix)]
            signals: {
                use tokio::signal::unix::{SignalKind, signal};
                let interrupt = signal(SignalKind::interrupt());
                interrupt
                    .and_then(|interrupt| Ok([interrupt, signal(SignalKind::terminate())?]))
                    .ok()
            },
        }
    }

    /// Waits for a signal, which the caller handles by ending the command gracefully.
    pub(crate) async fn next(&mut self) {
        self.wait().await;
        HANDLED.store(true, Ordering::Relaxed);
    }

    #[cfg(unix)]
    async fn wait(&mut self) {
        let Some([interrupt, terminate]) = &mut self.signals else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn wait(&mut self) {
        interrupted().await;
    }
}

/// Makes Ctrl-C and SIGTERM end this process whatever its other threads do, and returns the signals
/// for a graceful end.
///
/// Commands run on one thread, which may be laying out text, reading standard input or blocked on a
/// full pipe, and cannot handle a signal then. The process ends with exit code 130 half a second
/// after a signal that was not handled, 10 s after one that was, and immediately after a second
/// one.
pub(crate) fn watch() -> Signals {
    let signals = Signals::new();
    let terminal = TerminalModes::now();
    let (ready, when_ready) = std::sync::mpsc::channel::<()>();
    // Without this thread, signals are still handled where a command waits for them.
    let _ = std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let mut signals = Signals::new();
                drop(ready);
                signals.wait().await;
                let late = async {
                    tokio::time::sleep(HANDLE_TIMEOUT).await;
                    if HANDLED.load(Ordering::Relaxed) {
                        tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
                    }
                };
                tokio::select! {
                    () = late => {}
                    () = signals.wait() => {}
                }
            });
            terminal.restore_at_exit();
            std::process::exit(ExitStatus::Interrupted as i32)
        });
    // Returns an error as soon as the thread has registered its handlers, or could not be started.
    let _ = when_ready.recv();
    signals
}

/// Waits until the supervisor of this process ends it: by closing its standard input, which also
/// happens if the supervisor dies, or with SIGTERM.
///
/// Ctrl-C is ignored: on a terminal it reaches parent and children together, and the supervisor
/// decides when the children stop.
pub(crate) async fn supervisor_gone() {
    let (eof, at_eof) = tokio::sync::oneshot::channel::<()>();
    // A thread, since reading standard input cannot be cancelled and must not delay the end of the
    // runtime.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(eof);
    });
    let ignored = async {
        loop {
            interrupted().await;
        }
    };
    tokio::select! {
        _ = at_eof => {}
        () = terminated() => {}
        () = ignored => {}
    }
}

/// Stops Ctrl-C from ending this process.
pub(crate) fn ignore_interrupts() {
    // Tokio keeps its handler installed after the listener is dropped.
    #[cfg(unix)]
    drop(tokio::signal::unix::signal(
        tokio::signal::unix::SignalKind::interrupt(),
    ));
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
