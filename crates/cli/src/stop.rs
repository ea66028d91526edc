//! What ends a process: Ctrl-C and SIGTERM.

use crate::fail::Exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a command may take to notice a signal before it is ended anyway: it is busy, or
/// blocked.
const NOTICE_LIMIT: Duration = Duration::from_millis(500);
/// How long it may then take to end in order.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Whether a signal has been noticed by whoever waits for one.
static NOTICED: AtomicBool = AtomicBool::new(false);

/// Ctrl-C or SIGTERM.
pub(crate) async fn when_asked() {
    Signals::new().next().await;
}

/// Ctrl-C and SIGTERM, from now on: none is missed, whenever it is waited for.
pub(crate) struct Signals {
    #[cfg(unix)]
    both: Option<[tokio::signal::unix::Signal; 2]>,
}

impl Signals {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(unix)]
            both: {
                use tokio::signal::unix::{SignalKind, signal};
                let interrupt = signal(SignalKind::interrupt());
                interrupt
                    .and_then(|interrupt| Ok([interrupt, signal(SignalKind::terminate())?]))
                    .ok()
            },
        }
    }

    /// Waits for a signal, and takes it upon itself to end the process in order.
    pub(crate) async fn next(&mut self) {
        self.wait().await;
        NOTICED.store(true, Ordering::Relaxed);
    }

    #[cfg(unix)]
    async fn wait(&mut self) {
        let Some([interrupt, terminate]) = &mut self.both else {
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

/// From now on Ctrl-C and SIGTERM end this process whatever its other threads do. Commands run on
/// one thread, which may be laying out text, reading standard input or writing to a pipe that
/// nobody reads, and cannot notice a signal then. The process ends with exit code 130 half a second
/// after a signal that nobody has noticed, 10 s after one that somebody has, and at once after a
/// second one.
///
/// Returns the signals for whoever can end the command in order.
pub(crate) fn watch() -> Signals {
    let signals = Signals::new();
    let terminal = crate::ask::TerminalModes::now();
    let (ready, when_ready) = std::sync::mpsc::channel::<()>();
    // If there is no thread to be had, signals are still noticed where they are waited for.
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
                    tokio::time::sleep(NOTICE_LIMIT).await;
                    if NOTICED.load(Ordering::Relaxed) {
                        tokio::time::sleep(END_LIMIT).await;
                    }
                };
                tokio::select! {
                    () = late => {}
                    () = signals.wait() => {}
                }
            });
            terminal.leave();
            std::process::exit(Exit::Interrupted as i32)
        });
    // Ends, with an error, when the thread listens or cannot be had.
    let _ = when_ready.recv();
    signals
}

/// For a child of a supervisor: standard input ends because the supervisor is gone or wants it, or
/// SIGTERM. Ctrl-C on a terminal reaches parent and children at once; it is the supervisor's to say
/// when the children stop.
pub(crate) async fn when_abandoned() {
    let (gone, abandoned) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own: reading standard input cannot be cancelled, and must not hold up the end
    // of the runtime.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(gone);
    });
    let ignored = async {
        loop {
            interrupted().await;
        }
    };
    tokio::select! {
        _ = abandoned => {}
        () = terminated() => {}
        () = ignored => {}
    }
}

/// From now on Ctrl-C ends this process only if it says so itself.
pub(crate) fn heed_interrupts() {
    // The runtime takes the signal for good; who listens later is told of later ones.
    #[cfg(unix)]
    drop(tokio::signal::unix::signal(
        tokio::signal::unix::SignalKind::interrupt(),
    ));
}

/// Ctrl-C.
pub(crate) async fn interrupted() {
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
