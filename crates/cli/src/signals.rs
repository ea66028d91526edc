//! Handling of Ctrl-C (SIGINT) and SIGTERM.

use crate::exit::ExitStatus;
use crate::terminal_modes::TerminalModes;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Time for a command to handle a signal. After it the command counts as busy or blocked, and the
/// process exits.
const HANDLE_TIMEOUT: Duration = Duration::from_millis(500);
/// Time for a graceful shutdown, from [`HANDLE_TIMEOUT`] on, after a command has handled a signal.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether a command has handled a signal. Read by the thread that [`watch`] starts.
static HANDLED: AtomicBool = AtomicBool::new(false);

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn shutdown_requested() {
    Signals::new().next().await;
}

/// Receives Ctrl-C and SIGTERM from its creation on, so that none is missed between two waits.
pub(crate) struct Signals {
    /// SIGINT and SIGTERM. `None` if a handler could not be registered: then no signal is reported.
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

    /// Waits for a signal. The caller then has to end the command gracefully.
    pub(crate) async fn next(&mut self) {
        self.wait().await;
        HANDLED.store(true, Ordering::Relaxed);
    }

    /// Waits for a signal without recording it as handled.
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

/// Starts a thread that ends this process if a command does not end after Ctrl-C or SIGTERM.
/// Returns the signals, which the command handles by ending gracefully.
///
/// Commands run on one thread, which cannot handle a signal while it formats text, reads standard
/// input or is blocked on a full pipe. The process exits with code 130 half a second after a signal
/// that no command has handled, about 10 s after one that was handled, and immediately after a
/// second one.
pub(crate) fn watch() -> Signals {
    let signals = Signals::new();
    let terminal = TerminalModes::now();
    let (registered_tx, registered_rx) = std::sync::mpsc::channel::<()>();
    // If the thread cannot be started, signals are still handled where a command waits for them.
    let _ = std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let mut signals = Signals::new();
                drop(registered_tx);
                signals.wait().await;
                let deadline = async {
                    tokio::time::sleep(HANDLE_TIMEOUT).await;
                    if HANDLED.load(Ordering::Relaxed) {
                        tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
                    }
                };
                tokio::select! {
                    () = deadline => {}
                    () = signals.wait() => {}
                }
            });
            terminal.restore_at_exit();
            std::process::exit(ExitStatus::Interrupted as i32)
        });
    // Wait until the thread has registered its handlers or has failed. Nothing is sent: `recv`
    // returns an error when the sender is dropped.
    let _ = registered_rx.recv();
    signals
}

/// Waits until the parent process asks this process to end, by closing its standard input or with
/// SIGTERM. Standard input is also closed if the parent dies.
///
/// Ctrl-C is ignored. A terminal sends it to the parent and its children at once, but the parent
/// decides when the children stop.
pub(crate) async fn supervisor_gone() {
    let (eof_tx, eof_rx) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own: reading standard input cannot be cancelled, and a runtime waits for its
    // blocking tasks when it is dropped.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(eof_tx);
    });
    let ignore_interrupts = async {
        loop {
            interrupted().await;
        }
    };
    tokio::select! {
        _ = eof_rx => {}
        () = terminated() => {}
        () = ignore_interrupts => {}
    }
}

/// Stops Ctrl-C from ending this process.
pub(crate) fn ignore_interrupts() {
    // Registering a listener replaces the default action. Tokio keeps its handler installed after
    // the listener is dropped.
    #[cfg(unix)]
    drop(tokio::signal::unix::signal(
        tokio::signal::unix::SignalKind::interrupt(),
    ));
}

/// Waits for Ctrl-C. Pending forever if the handler cannot be registered.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

/// Waits for SIGTERM. Pending forever where there is none or the handler cannot be registered.
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
