//! Whether anybody still reads standard output: known before the next write, where the system can tell.

/// Waits until the reader of stdout has gone away. Never returns where stdout is no pipe or socket.
///
/// Without it, `console-consumer | head -1` would wait for one more record before it could end.
pub(crate) async fn stdout_closed() {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsFd as _;
        use tokio::io::Interest;
        use tokio::io::unix::AsyncFd;

        #[expect(
            deprecated,
            reason = "its successor is unsafe; here the value owns its descriptor, which is what matters"
        )]
        let watch = |stdout| AsyncFd::with_interest(stdout, Interest::ERROR);
        // A duplicate: registering it leaves the process's own stdout alone. A file or a terminal can't be registered
        // or never reports; then there is nothing to wait for.
        let watched = std::io::stdout().as_fd().try_clone_to_owned().and_then(watch);
        if let Ok(watched) = watched
            && watched.ready(Interest::ERROR).await.is_ok()
        {
            return;
        }
    }
    std::future::pending().await
}
