//! Where a tool's requests run: on the one thread that the process has. Starting it takes microseconds.

use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;

/// Runs a tool's work to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("could not start the runtime")?;
    runtime.block_on(one_kind(work))
}

/// As [`block_on`], for tools that read or write much: what the client does beside goes on while this thread waits for
/// its output, and uses a second processor.
pub(crate) fn block_on_two_threads<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let result = runtime.block_on(one_kind(work));
    // Nothing that is left matters: the tool is done.
    runtime.shutdown_background();
    result
}

/// Work that nobody misses: `None` if it takes longer. Leaves behind what can't be stopped, such as a slow look-up of a
/// name.
pub(crate) fn block_on_within<T>(patience: Duration, work: impl Future<Output = T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let result = runtime.block_on(async { tokio::time::timeout(patience, one_kind(work)).await });
    runtime.shutdown_background();
    result.ok()
}

/// Behind a pointer all work is of one type: the runtime's four ways to run it would otherwise be compiled for each, with
/// the whole tool inside.
fn one_kind<'a, T>(work: impl Future<Output = T> + 'a) -> Pin<Box<dyn Future<Output = T> + 'a>> {
    Box::pin(work)
}
