//! What ends a process that serves.

/// Ctrl-C or SIGTERM.
pub(crate) async fn when_asked() {
    tokio::select! {
        () = interrupted() => {}
        () = terminated() => {}
    }
}

/// For a child of a supervisor: standard input ends because the supervisor is gone or wants it, or SIGTERM. Ctrl-C on a
/// terminal reaches parent and children at once; it is the supervisor's to say when the children stop.
pub(crate) async fn when_abandoned() {
    let (gone, abandoned) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own: reading standard input cannot be cancelled, and must not hold up the end of the runtime.
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
    drop(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()));
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
